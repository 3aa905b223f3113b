//! `Dataplane`: one proxy, its listeners and their tags.

use std::net::IpAddr;

use super::decode::{Decoder, Located, Object, Origin, TextMap, closest, key_path};
use super::protocol::Protocol;
use super::tags::{self, PROTOCOL, SERVICE, Tags, ZONE};
use super::{Context, HEADER, Header};
use crate::diag::Code;
use crate::source::Location;
use crate::yaml::Node;

/// A proxy and what it listens to.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataplane {
    /// What every resource has.
    pub header: Header,
    /// `networking.address`: an IP address or a DNS name.
    pub address: Located<String>,
    /// `networking.advertisedAddress`: where others reach it, if not at its address.
    pub advertised_address: Option<Located<String>>,
    /// `networking.inbound`.
    pub inbounds: Vec<Inbound>,
    /// `networking.outbound`.
    pub outbounds: Vec<Outbound>,
    /// `networking.gateway`.
    pub gateway: Option<Gateway>,
    /// `networking.transparentProxying`, where it is.
    pub transparent_proxying: Option<Location>,
}

/// A listener for requests to the local application.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbound {
    /// Where the entry stands.
    pub at: Location,
    /// Its path, such as `networking.inbound[0]`.
    pub path: String,
    /// `port`, 1 to 65535.
    pub port: Located<u16>,
    /// `address`; absent means the address of the dataplane.
    pub address: Option<Located<IpAddr>>,
    /// `servicePort`; absent means `port`.
    pub service_port: Option<Located<u16>>,
    /// `serviceAddress`; absent means the address of the listener.
    pub service_address: Option<Located<IpAddr>>,
    /// `tags`, with the zone.
    pub tags: Tags,
    /// `tags["kuma.io/service"]`.
    pub service: Option<Located<String>>,
    /// What its listener speaks: `protocol` from Kuma 2.14 on, else the tag `kuma.io/protocol`.
    pub protocol: Option<Located<Protocol>>,
    /// The tag `kuma.io/protocol`, from which the protocol of the service follows.
    pub tagged_protocol: Option<Located<Protocol>>,
    /// Whether it takes part as an endpoint of its service: neither `NotReady` nor `Ignored` nor unhealthy.
    pub ready: bool,
}

/// Port of an inbound that belongs to no service and gets no listener.
pub const SERVICELESS_PORT: u16 = 49151;

/// A listener for requests of the local application to a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Outbound {
    /// Where the entry stands.
    pub at: Location,
    /// Its path, such as `networking.inbound[0]`.
    pub path: String,
    /// `port`, 1 to 65535.
    pub port: Located<u16>,
    /// `address`; absent means 127.0.0.1.
    pub address: Option<Located<IpAddr>>,
    /// Where it leads.
    pub to: Destination,
}

/// Where an outbound leads.
#[derive(Debug, Clone, PartialEq)]
pub enum Destination {
    /// `tags`.
    Service {
        /// `tags["kuma.io/service"]`.
        service: Located<String>,
        /// What the outbound itself says of the protocol, which Kuma does not look at.
        protocol: Option<Located<Protocol>>,
    },
    /// `backendRef`, which `TrafficTrace` never traces.
    BackendRef,
}

/// `networking.gateway`.
#[derive(Debug, Clone, PartialEq)]
pub struct Gateway {
    /// `type`.
    pub kind: GatewayKind,
    /// `tags`, with the zone.
    pub tags: Tags,
}

/// Who configures the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayKind {
    /// `DELEGATED`: somebody else; Kuma sees its outbounds only.
    Delegated,
    /// `BUILTIN`: Kuma, by `MeshGateway`.
    Builtin,
}

impl Dataplane {
    /// The tag sets that selectors are held against: one per inbound, or that of the gateway.
    pub fn tag_sets(&self) -> impl Iterator<Item = &Tags> {
        self.inbounds
            .iter()
            .map(|inbound| &inbound.tags)
            .chain(self.gateway.iter().map(|gateway| &gateway.tags))
    }

    /// The byte-wise smallest service of the dataplane, by which it is known: `unknown` without any.
    #[must_use]
    pub fn identifying_service(&self) -> &str {
        self.tag_sets()
            .filter_map(|tags| tags.get(SERVICE))
            .min()
            .map_or("unknown", String::as_str)
    }

    /// Whether `networking.address` is an IPv6 address.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.address
            .value
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_ipv6())
    }
}

const NETWORKING: [&str; 8] = [
    "address",
    "advertisedAddress",
    "gateway",
    "inbound",
    "outbound",
    "admin",
    "transparentProxying",
    "listeners",
];

pub(super) fn decode(decoder: &mut Decoder, context: &Context, header: Header, document: &Node) -> Option<Dataplane> {
    let known: Vec<&str> = HEADER
        .iter()
        .chain(&["mesh", "networking", "metrics", "probes"])
        .copied()
        .collect();
    let root = Object::new(decoder, document, "", &known)?;
    let Some(networking) = root.object(decoder, "networking", &NETWORKING) else {
        if root.get("networking").is_none() {
            let help = "it has the address of the proxy, its inbounds and its outbounds";
            decoder.error_help(
                Code::MissingField,
                root.at,
                "networking",
                "`networking` must be defined",
                help,
            );
        }
        return None;
    };
    let address = decode_address(decoder, &networking);
    let gateway = decode_gateway(decoder, context, &networking);
    let inbound_items = networking.list(decoder, "inbound");
    let outbound_items = networking.list(decoder, "outbound");
    check_shape(
        decoder,
        context,
        &networking,
        gateway.as_ref(),
        !inbound_items.is_empty(),
        !outbound_items.is_empty(),
    );
    let mut inbounds = Vec::new();
    for (path, node) in inbound_items {
        inbounds.extend(decode_inbound(decoder, context, address.as_ref(), path, node));
    }
    let mut outbounds = Vec::new();
    for (path, node) in outbound_items {
        outbounds.extend(decode_outbound(decoder, path, node));
    }
    let transparent = networking.get("transparentProxying");
    Some(Dataplane {
        header,
        address: address?,
        advertised_address: networking
            .text(decoder, "advertisedAddress")
            .filter(|address| !address.value.is_empty()),
        inbounds,
        outbounds,
        gateway,
        transparent_proxying: transparent.map(|entry| entry.key_at.clone()),
    })
}

/// What may stand beside what.
fn check_shape(
    decoder: &mut Decoder,
    context: &Context,
    networking: &Object,
    gateway: Option<&Gateway>,
    has_inbounds: bool,
    has_outbounds: bool,
) {
    let mut refuse = |field: &str, message: &str| {
        let at = networking.get(field).map_or(networking.at, |entry| &entry.key_at);
        decoder.error(Code::NotAllowed, at, &networking.path_of(field), message);
    };
    match gateway.map(|gateway| gateway.kind) {
        Some(kind) => {
            if has_inbounds {
                refuse("inbound", "a gateway has no inbounds");
            }
            if has_outbounds && kind == GatewayKind::Builtin {
                refuse("outbound", "a built-in gateway has no outbounds");
            }
        }
        // A gateway that could not be decoded has been reported already.
        None if networking.get("gateway").is_some() => {}
        None if !has_inbounds && !context.inbounds_optional() => {
            let (message, help) = (
                "a dataplane must have at least one inbound, or a gateway",
                "an inbound has a `port` and `tags` with `kuma.io/service`",
            );
            decoder.error_help(Code::MissingField, networking.at, &networking.path, message, help);
        }
        None => {}
    }
}

fn decode_address(decoder: &mut Decoder, networking: &Object) -> Option<Located<String>> {
    let path = networking.path_of("address");
    let entry = networking.get("address");
    let address = networking.text(decoder, "address");
    if address.is_none() && entry.is_some() {
        return None;
    }
    let Some(address) = address.filter(|address| !address.value.is_empty()) else {
        let at = entry.map_or(networking.at, |entry| &entry.value.at);
        decoder.error(Code::EmptyField, at, &path, "`address` must not be empty");
        return None;
    };
    let at = &address.origin.at;
    match address.value.as_str() {
        "0.0.0.0" | "::" => {
            let help = "write the address by which other proxies reach this one";
            decoder.error_help(
                Code::NotAllowed,
                at,
                &path,
                format!("`address` must not be `{}`", address.value),
                help,
            );
            None
        }
        text if text.parse::<IpAddr>().is_ok() || is_dns_name(text) => Some(address),
        text => {
            let message = format!("`address` is `{text}`, which is neither an IP address nor a DNS name");
            decoder.error(Code::InvalidAddress, at, &path, message);
            None
        }
    }
}

/// A DNS name as Kuma accepts it: labels of letters, digits, `-` and `_`, at most 63 long, 255 in all.
fn is_dns_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 255 && text.split('.').all(label)
}

fn decode_gateway(decoder: &mut Decoder, context: &Context, networking: &Object) -> Option<Gateway> {
    let object = networking.object(decoder, "gateway", &["tags", "type"])?;
    let kind = match object.text(decoder, "type") {
        None if object.get("type").is_some() => return None,
        None => GatewayKind::Delegated,
        Some(kind) => match kind.value.as_str() {
            "DELEGATED" => GatewayKind::Delegated,
            "BUILTIN" => GatewayKind::Builtin,
            other => {
                let Origin { path, at, .. } = &kind.origin;
                let message = format!("a gateway has type `{other}`; known are `DELEGATED` and `BUILTIN`");
                decoder.error(Code::InvalidValue, at, path, message);
                return None;
            }
        },
    };
    let path = object.path_of("tags");
    let tags = object.texts(decoder, "tags").unwrap_or_default();
    if !tags.contains_key(SERVICE) && !context.may_lack_tags(&tags) {
        let at = object.get("tags").map_or(object.at, |entry| &entry.key_at);
        decoder.error(
            Code::MissingField,
            at,
            &path,
            format!("mandatory tag `{SERVICE}` is missing"),
        );
    }
    tags::check_tags(decoder, &path, &tags);
    if let Some(protocol) = tags
        .get(PROTOCOL)
        .filter(|protocol| Protocol::parse(&protocol.value) != Protocol::Tcp)
    {
        let Origin { path, at, .. } = &protocol.origin;
        let message = format!("the protocol of a gateway can only be `tcp`, not `{}`", protocol.value);
        decoder.error(Code::UnknownValue, at, path, message);
    }
    Some(Gateway {
        kind,
        tags: context.with_zone(&tags),
    })
}

fn decode_inbound(
    decoder: &mut Decoder,
    context: &Context,
    dataplane: Option<&Located<String>>,
    path: String,
    node: &Node,
) -> Option<Inbound> {
    let known = [
        "port",
        "servicePort",
        "serviceAddress",
        "address",
        "tags",
        "health",
        "serviceProbe",
        "state",
        "name",
        "protocol",
    ];
    let object = Object::new(decoder, node, path, &known)?;
    let port = decode_port(decoder, &object, "port", 1);
    let service_port = object
        .get("servicePort")
        .and_then(|_| decode_port(decoder, &object, "servicePort", 0));
    let service_port = service_port.filter(|port| port.value != 0);
    let address = decode_ip(decoder, &object, "address");
    let service_address = decode_ip(decoder, &object, "serviceAddress");
    check_service_address(
        decoder,
        dataplane,
        address.as_ref(),
        service_address.as_ref(),
        port.as_ref(),
        service_port.as_ref(),
    );
    let tags_path = object.path_of("tags");
    let tags = object.texts(decoder, "tags").unwrap_or_default();
    tags::check_tags(decoder, &tags_path, &tags);
    if !tags.contains_key(SERVICE) && !context.may_lack_tags(&tags) {
        let at = object.get("tags").map_or(object.at, |entry| &entry.key_at);
        let help = "every inbound names the service it belongs to: `kuma.io/service: web`";
        decoder.error_help(
            Code::MissingField,
            at,
            &key_path(&tags_path, SERVICE),
            format!("the tag `{SERVICE}` has to exist"),
            help,
        );
    }
    let tagged = decode_protocol(decoder, tags.get(PROTOCOL));
    let field = if context.has_protocol_field() {
        let written = object.text(decoder, "protocol");
        decode_protocol(decoder, written.as_ref())
    } else {
        None
    };
    Some(Inbound {
        at: object.at.clone(),
        path: object.path.clone(),
        port: port?,
        address,
        service_port,
        service_address,
        service: tags.get(SERVICE).cloned(),
        tags: context.with_zone(&tags),
        tagged_protocol: tagged.clone(),
        protocol: field.or(tagged),
        ready: decode_ready(decoder, &object),
    })
}

/// Neither `state` nor `health` says that it takes no requests.
fn decode_ready(decoder: &mut Decoder, object: &Object) -> bool {
    let state = object.text(decoder, "state");
    let ready_state = match state.as_ref().map(|state| state.value.as_str()) {
        None | Some("Ready") => true,
        Some("NotReady" | "Ignored") => false,
        Some(other) => {
            let Origin { path, at, .. } = &state.as_ref().expect("matched above").origin;
            let message = format!("`state` is `{other}`; known are `Ready`, `NotReady` and `Ignored`");
            decoder.error(Code::InvalidValue, at, path, message);
            true
        }
    };
    let health = object.object(decoder, "health", &["ready"]);
    let healthy = health.is_none_or(|health| health.boolean(decoder, "ready").is_some_and(|ready| ready.value));
    ready_state && healthy
}

/// An application that listens where its proxy does cannot work.
fn check_service_address(
    decoder: &mut Decoder,
    dataplane: Option<&Located<String>>,
    address: Option<&Located<IpAddr>>,
    service_address: Option<&Located<IpAddr>>,
    port: Option<&Located<u16>>,
    service_port: Option<&Located<u16>>,
) {
    let Some(service_address) = service_address else { return };
    let listens_at = [
        address.map(|address| address.value),
        dataplane.and_then(|address| address.value.parse().ok()),
    ];
    let same_port = service_port.is_none_or(|own| port.is_some_and(|port| port.value == own.value));
    if same_port && listens_at.contains(&Some(service_address.value)) {
        let Origin { path, at, .. } = &service_address.origin;
        let message = "`serviceAddress` and `servicePort` must differ from the address and port of the listener";
        decoder.error(Code::InvalidAddress, at, path, message);
    }
}

fn decode_protocol(decoder: &mut Decoder, written: Option<&Located<String>>) -> Option<Located<Protocol>> {
    let written = written.filter(|written| !written.value.is_empty())?;
    let Origin { path, at, .. } = &written.origin;
    match Protocol::parse(&written.value) {
        Protocol::Unknown => {
            let message = format!("the protocol `{}` is not known", written.value);
            let help = match closest(&written.value, Protocol::SUPPORTED) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known are {}", Protocol::SUPPORTED.join(", ")),
            };
            decoder.error_help(Code::UnknownValue, at, path, message, help);
            None
        }
        protocol @ (Protocol::Tls | Protocol::Mysql) => {
            let message =
                format!("Kuma accepts the protocol `{protocol}` and then gives the proxy no configuration at all");
            decoder.error_help(Code::UnknownValue, at, path, message, "write `tcp`");
            None
        }
        protocol => Some(written.clone().map(|_| protocol)),
    }
}

fn decode_outbound(decoder: &mut Decoder, path: String, node: &Node) -> Option<Outbound> {
    let object = Object::new(decoder, node, path, &["address", "port", "tags", "backendRef"])?;
    let port = decode_port(decoder, &object, "port", 1);
    let address = decode_ip(decoder, &object, "address");
    let tags_path = object.path_of("tags");
    let tags = object.texts(decoder, "tags").unwrap_or_default();
    let backend_ref = object.object(decoder, "backendRef", &["kind", "name", "namespace", "labels", "port"]);
    let to = match backend_ref {
        Some(backend_ref) => {
            check_backend_ref(decoder, &backend_ref);
            if !tags.is_empty() {
                let at = object.get("tags").map_or(object.at, |entry| &entry.key_at);
                decoder.error(
                    Code::NotAllowed,
                    at,
                    &backend_ref.path,
                    "`backendRef` and `tags` cannot both be there",
                );
            }
            Some(Destination::BackendRef)
        }
        None if object.get("backendRef").is_some() => None,
        None => {
            tags::check_tags(decoder, &tags_path, &tags);
            decode_destination(decoder, &object, &tags_path, &tags)
        }
    };
    Some(Outbound {
        at: object.at.clone(),
        path: object.path.clone(),
        port: port?,
        address,
        to: to?,
    })
}

fn decode_destination(decoder: &mut Decoder, object: &Object, path: &str, tags: &TextMap) -> Option<Destination> {
    let Some(service) = tags.get(SERVICE) else {
        let at = object.get("tags").map_or(object.at, |entry| &entry.key_at);
        let help = "an outbound names the service it leads to: `tags: {kuma.io/service: backend}`";
        decoder.error_help(
            Code::MissingField,
            at,
            path,
            format!("mandatory tag `{SERVICE}` is missing"),
            help,
        );
        return None;
    };
    let protocol = tags
        .get(PROTOCOL)
        .map(|written| written.clone().map(|name| Protocol::parse(&name)));
    Some(Destination::Service {
        service: service.clone(),
        protocol,
    })
}

fn check_backend_ref(decoder: &mut Decoder, backend_ref: &Object) {
    let kinds = ["MeshExternalService", "MeshMultiZoneService", "MeshService"];
    let kind = backend_ref.text(decoder, "kind");
    let kind = kind.as_ref().map_or("", |kind| kind.value.as_str());
    if !kinds.contains(&kind) {
        let at = backend_ref.get("kind").map_or(backend_ref.at, |entry| &entry.value.at);
        let message = format!("`kind` is `{kind}`; known are {}", kinds.join(", "));
        decoder.error(Code::UnknownType, at, &backend_ref.path_of("kind"), message);
    }
    let name = backend_ref
        .text(decoder, "name")
        .is_some_and(|name| !name.value.is_empty());
    let labels = backend_ref
        .texts(decoder, "labels")
        .is_some_and(|labels| !labels.is_empty());
    if !name && !labels {
        decoder.error(
            Code::MissingField,
            backend_ref.at,
            &backend_ref.path,
            "either `name` or `labels` should be specified",
        );
    }
    if kind != "MeshExternalService" {
        decode_port(decoder, backend_ref, "port", 1);
    }
}

fn decode_port(decoder: &mut Decoder, object: &Object, key: &str, least: u16) -> Option<Located<u16>> {
    let path = object.path_of(key);
    if object.get(key).is_none() {
        decoder.error(
            Code::PortOutOfRange,
            object.at,
            &path,
            format!("`{key}` is missing; it must be in 1..=65535"),
        );
        return None;
    }
    let written = object.whole(decoder, key)?;
    match u16::try_from(written.value) {
        Ok(port) if port >= least => Some(written.map(|_| port)),
        _ => {
            let message = format!("`{key}` is {}; it must be in {least}..=65535", written.value);
            decoder.error(Code::PortOutOfRange, &written.origin.at, &path, message);
            None
        }
    }
}

fn decode_ip(decoder: &mut Decoder, object: &Object, key: &str) -> Option<Located<IpAddr>> {
    let written = object.text(decoder, key).filter(|address| !address.value.is_empty())?;
    let Origin { path, at, .. } = &written.origin;
    match written.value.parse() {
        Ok(address) => Some(written.map(|_| address)),
        Err(_) => {
            let message = format!("`{key}` is `{}`, which is not an IP address", written.value);
            decoder.error(Code::InvalidAddress, at, path, message);
            None
        }
    }
}

impl Context<'_> {
    /// Whether an inbound or gateway may have these tags although no service is among them.
    fn may_lack_tags(&self, tags: &TextMap) -> bool {
        tags.is_empty() && self.inbounds_optional()
    }

    /// The tags with that of the zone, as a control plane would have added it.
    fn with_zone(&self, tags: &TextMap) -> Tags {
        let mut tags = tags::plain(tags);
        match self.kuma.fidelity {
            super::Fidelity::Exact => {
                tags.insert(ZONE.to_owned(), self.kuma.zone.clone());
            }
            super::Fidelity::Documented => {
                tags.entry(ZONE.to_owned()).or_insert_with(|| self.kuma.zone.clone());
            }
        }
        tags
    }
}
