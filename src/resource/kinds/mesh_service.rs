//! `MeshService`, `MeshExternalService` and `MeshMultiZoneService`: destinations of a `backendRef`.

use std::net::IpAddr;

use crate::diag::{Code, Diagnostic};
use crate::keep::Text;
use crate::kuma::Version;
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::object::{Object, int_or_text};
use crate::resource::decode::origin::{Located, Origin};
use crate::resource::document::envelope::Body;
use crate::resource::document::header::Header;
use crate::resource::kinds::external_service::enabled_tls;
use crate::resource::value::address::decode_port;
use crate::resource::value::names::is_dns_name;
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::Tags;
use crate::words::closest;

/// A destination of a `backendRef`.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshService {
    /// Type, mesh, name and labels.
    pub header: Header,
    /// The ports of the service.
    pub ports: Vec<Port>,
    /// The dataplanes or endpoints behind the service.
    pub backing: Backing,
}

/// The label with the manager of a resource.
pub(in crate::resource) const MANAGED_BY: &str = "kuma.io/managed-by";
/// The value of the label `kuma.io/managed-by` of synthesized services.
pub(in crate::resource) const GENERATOR: &str = "meshservice-generator";

/// A port of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// `name`; the default is the number.
    pub name: Option<Text>,
    /// `port`.
    pub number: u16,
    /// `appProtocol`; the default is TCP.
    pub protocol: Option<Located<Protocol>>,
    /// Whether `appProtocol` is in lowercase, which 2.14 requires.
    pub is_lowercase: bool,
    /// `targetPort`: the number or the name of an inbound; the default is `port`.
    pub target: Option<String>,
}

/// The dataplanes or endpoints behind a service.
#[derive(Debug, Clone, PartialEq)]
pub enum Backing {
    /// `MeshService`: inbounds with all of the tags, of dataplanes with all of the labels and the name.
    Dataplanes {
        /// `selector.dataplaneTags`.
        tags: Tags,
        /// `selector.dataplaneLabels.matchLabels`.
        labels: Tags,
        /// `selector.dataplaneRef.name`.
        name: Option<Text>,
    },
    /// `MeshMultiZoneService`: the services with all of the labels.
    MeshServices {
        /// `selector.meshService.matchLabels`.
        labels: Tags,
    },
    /// `MeshExternalService`: hosts and ports.
    Endpoints {
        /// Host and port of each endpoint.
        endpoints: Vec<(Text, u16)>,
        /// `tls`, if it is enabled: proxies encrypt their connections to the service.
        tls: Option<Origin>,
    },
}

impl MeshService {
    /// Whether a control plane synthesizes the service from dataplanes.
    #[must_use]
    pub fn is_synthesized(&self) -> bool {
        self.header.label(MANAGED_BY) == Some(GENERATOR)
    }

    /// The port with the given number.
    #[must_use]
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }
}

impl Port {
    /// Whether a `sectionName` means the port: by its name or its number.
    #[must_use]
    pub fn is_called(&self, section: &str) -> bool {
        self.section() == section || self.number.to_string() == section
    }

    /// The name of the port, or its number.
    #[must_use]
    pub fn section(&self) -> String {
        let named = self.name.as_ref().filter(|name| !name.is_empty());
        named.map_or_else(|| self.number.to_string(), ToString::to_string)
    }
}

/// The forms of `selector` of a `MeshService`, one of which is allowed.
const SELECTORS: [&str; 3] = ["dataplaneTags", "dataplaneRef", "dataplaneLabels"];

pub(in crate::resource) fn decode(
    decoder: &mut Decoder,
    context: &Context,
    header: Header,
    body: &Body,
) -> Option<MeshService> {
    check_length(decoder, &header);
    let spec = body.object(decoder, &["state", "selector", "ports", "identities"])?;
    let selector = spec.object(decoder, "selector", &SELECTORS);
    let is_one = |selector: &Object| SELECTORS.iter().filter(|key| selector.get(key).is_some()).count() <= 1;
    if let Some(selector) = selector.as_ref().filter(|selector| !is_one(selector))
        && context.kuma.version >= Version::V2_14
    {
        let message = format!("only one of {} is allowed", SELECTORS.join(", "));
        decoder.error(Code::NotAllowed, selector.at, &selector.path, message);
    }
    let mut backing = Backing::Dataplanes {
        tags: Tags::new(),
        labels: Tags::new(),
        name: None,
    };
    if let (Some(selector), Backing::Dataplanes { tags, labels, name }) = (&selector, &mut backing) {
        *tags = plain(decoder, selector, "dataplaneTags");
        if let Some(inner) = selector.object(decoder, "dataplaneLabels", &["matchLabels"]) {
            *labels = plain(decoder, &inner, "matchLabels");
        }
        let reference = selector.object(decoder, "dataplaneRef", &["name"]);
        *name = reference
            .and_then(|reference| reference.text(decoder, "name"))
            .map(|name| name.value);
    }
    let mut ports = Vec::new();
    for (path, node) in spec.list(decoder, "ports") {
        let object = Object::new(decoder, node, path, &["name", "port", "targetPort", "appProtocol"]);
        ports.extend(object.and_then(|object| port(decoder, &object)));
    }
    Some(MeshService { ports, header, backing })
}

pub(in crate::resource) fn decode_multi_zone(
    decoder: &mut Decoder,
    header: Header,
    body: &Body,
) -> Option<MeshService> {
    let spec = body.object(decoder, &["selector", "ports"])?;
    let selector = needed(decoder, &spec, "selector", &["meshService"]);
    let inner = selector.and_then(|selector| needed(decoder, &selector, "meshService", &["matchLabels"]));
    let labels = inner.as_ref().map(|inner| plain(decoder, inner, "matchLabels"));
    let labels = labels.unwrap_or_default();
    if let Some(inner) = inner.filter(|_| labels.is_empty()) {
        let help = "for the MeshService with the name NAME: `matchLabels: {kuma.io/display-name: NAME}`";
        let path = inner.path_of("matchLabels");
        decoder.error_help(
            Code::EmptyField,
            inner.at,
            &path,
            "`matchLabels` must not be empty",
            help,
        );
    }
    let mut ports = Vec::new();
    for (path, node) in spec.list(decoder, "ports") {
        if let Some(object) = Object::new(decoder, node, path, &["name", "port", "appProtocol"]) {
            check_port(decoder, &object);
            ports.extend(port(decoder, &object));
        }
    }
    if spec.list(&mut decoder.silent(), "ports").is_empty() {
        let at = spec.get("ports").map_or(spec.at, |entry| &entry.value.at);
        let finding = Diagnostic::error(Code::MissingField, at, "`ports` must not be empty");
        let finding = finding.path(spec.path_of("ports"));
        decoder.undecodable(finding.help("for example `ports: [{port: 80, appProtocol: http}]`"));
    }
    Some(MeshService {
        ports,
        header,
        backing: Backing::MeshServices { labels },
    })
}

/// The protocols of a `MeshExternalService`.
const EXTERNAL: [&str; 4] = ["tcp", "grpc", "http", "http2"];

pub(in crate::resource) fn decode_external(decoder: &mut Decoder, header: Header, body: &Body) -> Option<MeshService> {
    check_length(decoder, &header);
    let spec = body.object(decoder, &["match", "extension", "endpoints", "tls"])?;
    let matched = needed(decoder, &spec, "match", &["type", "port", "protocol"]);
    let port = matched.and_then(|matched| matched_port(decoder, &matched));
    let is_extended = spec.get("extension").is_some();
    let mut endpoints = Vec::new();
    for (path, node) in spec.list(decoder, "endpoints") {
        if let Some(endpoint) = Object::new(decoder, node, path, &["address", "port", "priority"]) {
            endpoints.extend(endpoint_of(decoder, &endpoint, is_extended));
        }
    }
    Some(MeshService {
        ports: vec![port?],
        header,
        backing: Backing::Endpoints {
            endpoints,
            tls: enabled_tls(decoder, &spec),
        },
    })
}

/// The port of a `MeshExternalService`.
fn matched_port(decoder: &mut Decoder, matched: &Object) -> Option<Port> {
    let number = decode_port(decoder, matched, "port", 1);
    let written = matched.text(decoder, "protocol");
    if let Some(written) = &written {
        check_protocol(decoder, written, &EXTERNAL);
    }
    Some(Port {
        name: None,
        number: number?.value,
        is_lowercase: true,
        protocol: written.map(|written| written.map(|name| Protocol::parse(&name))),
        target: None,
    })
}

/// Host and port of an endpoint. With an extension, the address is not checked.
fn endpoint_of(decoder: &mut Decoder, endpoint: &Object, is_extended: bool) -> Option<(Text, u16)> {
    let port = decode_port(decoder, endpoint, "port", 1);
    let address = endpoint.text(decoder, "address");
    let text = address.as_ref().map_or("", |address| address.value.as_str());
    let is_host = is_extended || text.parse::<IpAddr>().is_ok() || is_dns_name(text);
    if !is_host && (address.is_some() || endpoint.get("address").is_none()) {
        let at = endpoint.get("address").map_or(endpoint.at, |entry| &entry.value.at);
        let message = format!("`address` is `{text}`, which is neither an IP address nor a DNS name");
        decoder.error(Code::InvalidAddress, at, &endpoint.path_of("address"), message);
        return None;
    }
    Some((address?.value, port?.value))
}

/// Checks the length of the name, which becomes a host name.
fn check_length(decoder: &mut Decoder, header: &Header) {
    let length = header.display_name.len();
    if length > 63 {
        let message = format!("`name` is {length} characters long, more than 63");
        decoder.error(Code::TooLong, &header.at, "name", message);
    }
}

/// Checks a protocol, whose case matters.
fn check_protocol(decoder: &mut Decoder, written: &Located<Text>, known: &[&str]) {
    if known.contains(&written.value.as_str()) {
        return;
    }
    let Origin { path, at, .. } = &written.origin;
    let message = format!(
        "the protocol is `{}`; it must be one of {}",
        written.value,
        known.join(", ")
    );
    match closest(&written.value, known.iter().copied()) {
        Some(meant) => decoder.error_help(
            Code::UnknownValue,
            at,
            path,
            message,
            format!("did you mean `{meant}`?"),
        ),
        None => decoder.error(Code::UnknownValue, at, path, message),
    }
}

/// The mapping in a required field.
fn needed<'a>(decoder: &mut Decoder, object: &Object<'a>, key: &str, known: &[&str]) -> Option<Object<'a>> {
    if !object.has(key) {
        let finding = Diagnostic::error(Code::MissingField, object.at, format!("`{key}` is missing"));
        decoder.undecodable(finding.path(object.path_of(key)));
    }
    object.object(decoder, key, known)
}

/// Checks a port of a `MeshMultiZoneService`, which has rules of its own.
fn check_port(decoder: &mut Decoder, object: &Object) {
    if let Some(name) = object.text(decoder, "name").filter(|name| name.value.is_empty()) {
        let Origin { path, at, .. } = &name.origin;
        decoder.error(Code::EmptyField, at, path, "`name` must not be empty");
    }
    if let Some(written) = object.text(decoder, "appProtocol") {
        check_protocol(decoder, &written, &Protocol::SUPPORTED);
    }
}

fn port(decoder: &mut Decoder, object: &Object) -> Option<Port> {
    let number = decode_port(decoder, object, "port", 1);
    let written = object.text(decoder, "appProtocol");
    let target = object.get("targetPort").and_then(|entry| int_or_text(&entry.value));
    Some(Port {
        name: object.text(decoder, "name").map(|name| name.value),
        number: number?.value,
        is_lowercase: written
            .as_ref()
            .is_none_or(|word| word.value == word.value.to_lowercase()),
        // Kuma accepts any protocol in a `MeshService`.
        protocol: written.map(|written| written.map(|name| Protocol::parse(&name))),
        target,
    })
}

fn plain(decoder: &mut Decoder, object: &Object, key: &str) -> Tags {
    let texts = object.texts(decoder, key).unwrap_or_default();
    texts.into_iter().map(|(key, value)| (key, value.value)).collect()
}
