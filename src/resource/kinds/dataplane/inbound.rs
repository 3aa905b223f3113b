//! `networking.inbound`: listeners for requests to the local application.

use std::net::IpAddr;

use crate::diag::{Code, Diagnostic};
use crate::keep::Text;
use crate::kuma::Fidelity;
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::object::{Object, TextMap, key_path};
use crate::resource::decode::origin::{Located, Origin, Spanned};
use crate::resource::document::header::Header;
use crate::resource::value::address::{WrittenIp, decode_ip, decode_port};
use crate::resource::value::names::is_dns_name;
use crate::resource::value::protocol::{self, Protocol};
use crate::resource::value::tags::{self, PROTOCOL, SERVICE, Tags};
use crate::source::Span;
use crate::yaml::Node;

/// A listener for requests to the local application, in little room, since a fleet has many.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbound {
    /// The place of the entry.
    pub span: Span,
    /// The path of the entry, such as `networking.inbound[0]`.
    pub path: Text,
    /// `port`, 1 to 65535.
    pub port: u16,
    /// The fields that few inbounds have.
    pub rare: Option<Box<RareFields>>,
    /// `servicePort`; the default is `port`.
    pub service_port: Option<u16>,
    /// `tags`, with the zone.
    pub tags: Tags,
    /// `tags["kuma.io/service"]`.
    pub service: Option<Text>,
    /// The field `protocol`, from Kuma 2.14 on.
    pub written_protocol: Option<Spanned<Protocol>>,
    /// The tag `kuma.io/protocol`, which sets the protocol of the service.
    pub tagged_protocol: Option<Spanned<Protocol>>,
    /// Whether the inbound is an endpoint of its service: neither `NotReady` nor `Ignored` nor unhealthy.
    pub ready: bool,
}

/// The fields of an inbound that few have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RareFields {
    /// `name`; the default is the port.
    pub name: Option<Text>,
    /// `address`; the default is the address of the dataplane.
    pub address: Option<WrittenIp>,
    /// `serviceAddress`: an IP address in canonical form, or a DNS name, which a control plane rejects although Kuma
    /// documents it. The default is the address of the listener.
    pub service_address: Option<Text>,
    /// `serviceProbe`, with which a control plane watches the health of the application.
    pub service_probe: Option<Origin>,
}

impl Inbound {
    /// A field that few inbounds have.
    #[must_use]
    pub fn rare<'i, T>(&'i self, field: impl FnOnce(&'i RareFields) -> Option<&'i T>) -> Option<&'i T> {
        self.rare.as_deref().and_then(field)
    }

    /// The protocol of the listener: the field, else the tag.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        let written = self.written_protocol.as_ref();
        written.map_or_else(|| self.protocol_of_service(), |written| written.value)
    }

    /// The protocol that the inbound sets for its service: the tag.
    #[must_use]
    pub fn protocol_of_service(&self) -> Protocol {
        let tagged = self.tagged_protocol.as_ref();
        tagged.map_or(Protocol::Unknown, |tagged| tagged.value)
    }

    /// The protocol of the listener with its origin. `header` is that of the dataplane.
    #[must_use]
    pub fn located_protocol(&self, header: &Header) -> Option<Located<Protocol>> {
        let written = self.written_protocol.as_ref();
        let written = written.map(|written| header.located(written, format!("{}.protocol", self.path)));
        written.or_else(|| self.located_tag(header))
    }

    /// The tag `kuma.io/protocol` with its origin. `header` is that of the dataplane.
    #[must_use]
    pub fn located_tag(&self, header: &Header) -> Option<Located<Protocol>> {
        let written = self.tagged_protocol.as_ref()?;
        let path = key_path(&format!("{}.tags", self.path), PROTOCOL);
        Some(header.located(written, path))
    }

    /// The section name of the inbound: its `name`, or the port.
    #[must_use]
    pub fn section(&self) -> String {
        self.rare(|rare| rare.name.as_ref())
            .map_or_else(|| self.port.to_string(), ToString::to_string)
    }
}

/// The port of an inbound without service and without listener.
pub const SERVICELESS_PORT: u16 = 49151;

const FIELDS: [&str; 9] = [
    "port",
    "servicePort",
    "serviceAddress",
    "address",
    "tags",
    "health",
    "serviceProbe",
    "state",
    "name",
];

pub(in crate::resource) fn decode(
    decoder: &mut Decoder,
    context: &Context,
    dataplane: Option<&Located<Text>>,
    path: Text,
    node: &Node,
) -> Option<Inbound> {
    let mut known = FIELDS.to_vec();
    if context.has_protocol_field() {
        known.push("protocol");
    }
    let object = Object::new(decoder, node, path, &known)?;
    let sockets = Sockets::decode(decoder, &object);
    sockets.check(decoder, dataplane);
    let tags = decode_tags(decoder, context, &object);
    let tagged = protocol::decode(decoder, tags.get(PROTOCOL));
    let field = if context.has_protocol_field() {
        let written = object.text(decoder, "protocol");
        protocol::decode(decoder, written.as_ref())
    } else {
        None
    };
    let name = object.text(decoder, "name").filter(|name| !name.value.is_empty());
    let ready = decode_ready(decoder, context, &object);
    let rare = RareFields {
        name: name.map(|name| name.value),
        address: sockets.address.map(|address| address.value),
        service_address: sockets.service_address.map(|address| address.value),
        service_probe: object
            .get("serviceProbe")
            .map(|_| object.origin_of(decoder, "serviceProbe")),
    };
    Some(Inbound {
        span: object.at.span,
        path: object.path.clone(),
        port: sockets.port?.value,
        rare: (rare != RareFields::default()).then(|| Box::new(rare)),
        service_port: sockets.service_port.map(|port| port.value),
        service: tags.get(SERVICE).map(|service| service.value.clone()),
        tags: if context.inbounds_have_tags() {
            context.with_zone(&tags)
        } else {
            Tags::new()
        },
        tagged_protocol: tagged.map(Located::spanned),
        written_protocol: field.map(Located::spanned),
        ready,
    })
}

/// The tags of an inbound; none in versions whose inbounds have no tags.
fn decode_tags(decoder: &mut Decoder, context: &Context, object: &Object) -> TextMap {
    let tags_path = object.field_path(decoder, "tags");
    let mut tags = object.texts(decoder, "tags").unwrap_or_default();
    if context.inbounds_have_tags() {
        tags::check_tags(decoder, &tags_path, &tags);
    } else {
        warn_of_unread_protocol(decoder, object, &tags);
        tags.clear();
    }
    if !tags.contains_key(SERVICE) && !context.may_lack_tags(&tags) {
        let at = object.get("tags").map_or(object.at, |entry| &entry.key_at);
        let written = tags.get("service").map(|written| written.value.as_str());
        let service = written.unwrap_or("SERVICE");
        let help = format!("add the service of the inbound: `kuma.io/service: {service}`");
        decoder.error_help(
            Code::MissingField,
            at,
            &key_path(&tags_path, SERVICE),
            format!("the tag `{SERVICE}` is missing"),
            help,
        );
    }
    tags
}

/// Warns of the protocol in the tags of an inbound, where Kuma reads it from the field alone.
fn warn_of_unread_protocol(decoder: &mut Decoder, object: &Object, tags: &TextMap) {
    let tagged = tags.get(PROTOCOL).filter(|_| object.get("protocol").is_none());
    if let Some(protocol) = tagged.filter(|tagged| Protocol::parse(&tagged.value).is_http()) {
        let Origin { path, at, .. } = &protocol.origin;
        let message = "Kuma 3.0 reads no tags of an inbound, so this one has no protocol and is not traced";
        let finding = Diagnostic::warning(Code::SupersededField, at, message).path(path.clone());
        decoder.report(finding.help(format!(
            "add the field `protocol: {}`; `meshtraced migrate --to 3.0` does",
            protocol.value
        )));
    }
}

/// Whether neither `state` nor `health` excludes the inbound from requests.
fn decode_ready(decoder: &mut Decoder, context: &Context, object: &Object) -> bool {
    let is_ready = object
        .word(decoder, "state", &["Ready", "NotReady", "Ignored"])
        .unwrap_or(0)
        == 0;
    let health = object.object(decoder, "health", &["ready"]);
    let healthy = health.is_none_or(|health| health.boolean(decoder, "ready").is_some_and(|ready| ready.value));
    // A control plane counts an application with a probe as not ready until the probe succeeds.
    let is_asked = context.kuma.fidelity == Fidelity::Exact && object.get("serviceProbe").is_some();
    is_ready && healthy && !is_asked
}

/// The address of the application.
fn decode_service_address(decoder: &mut Decoder, object: &Object) -> Option<Located<Text>> {
    object.get("serviceAddress")?;
    let written = object.text(&mut decoder.silent(), "serviceAddress");
    match written {
        Some(name) if !decoder.is_exact() && name.value.parse::<IpAddr>().is_err() && is_dns_name(&name.value) => {
            Some(name)
        }
        _ => decode_ip(decoder, object, "serviceAddress")
            .map(|address| address.map(|address| address.ip.to_string().into())),
    }
}

/// The addresses and ports on which the proxy and the application listen.
struct Sockets {
    address: Option<Located<WrittenIp>>,
    port: Option<Located<u16>>,
    service_address: Option<Located<Text>>,
    service_port: Option<Located<u16>>,
}

impl Sockets {
    fn decode(decoder: &mut Decoder, object: &Object) -> Self {
        let port = decode_port(decoder, object, "port", 1);
        let service_port = object
            .get("servicePort")
            .and_then(|_| decode_port(decoder, object, "servicePort", 0));
        Self {
            port,
            service_port: service_port.filter(|port| port.value != 0),
            address: decode_ip(decoder, object, "address"),
            service_address: decode_service_address(decoder, object),
        }
    }

    /// Reports an application with the same address and port as its proxy.
    fn check(&self, decoder: &mut Decoder, dataplane: Option<&Located<Text>>) {
        let Some(service_address) = &self.service_address else {
            return;
        };
        let listens_at = [
            self.address.as_ref().map(|address| address.value.ip),
            dataplane.and_then(|address| address.value.parse().ok()),
        ];
        let is_port = |own: &Located<u16>| self.port.as_ref().is_some_and(|port| port.value == own.value);
        let same_port = self.service_port.as_ref().is_none_or(is_port);
        let ip = service_address.value.parse().ok();
        if same_port && ip.is_some() && listens_at.contains(&ip) {
            let Origin { path, at, .. } = &service_address.origin;
            let message = "`serviceAddress` and `servicePort` must differ from the address and port of the listener";
            decoder.error(Code::InvalidAddress, at, path, message);
        }
    }
}
