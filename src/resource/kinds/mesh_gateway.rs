//! `MeshGateway`: the listeners of built-in gateways.

use crate::diag::{Code, Diagnostic};
use crate::keep::Text;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::object::{Object, TextMap, key_path};
use crate::resource::decode::origin::{Located, Origin};
use crate::resource::document::envelope::Body;
use crate::resource::document::header::Header;
use crate::resource::value::address::decode_port;
use crate::resource::value::tags::{self, PROTOCOL, SERVICE, Selector, Service, Tags, ZONE};
use crate::source::Location;
use crate::words::closest;
use crate::yaml::Node;

/// The listeners of built-in gateways, which the resource selects.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshGateway {
    /// Type, mesh, name and labels.
    pub header: Header,
    /// `selectors`, one of which must match.
    pub selectors: Vec<Selector>,
    /// `tags`, in addition to those of the dataplane.
    pub tags: Tags,
    /// `conf.listeners`.
    pub listeners: Vec<GatewayListener>,
}

/// One of `conf.listeners`.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayListener {
    /// The place of the entry.
    pub at: Location,
    /// The path of the entry, such as `conf.listeners[0]`.
    pub path: Text,
    /// `port`, 1 to 65535.
    pub port: Located<u16>,
    /// `protocol`, the protocol of clients.
    pub protocol: Located<GatewayProtocol>,
    /// `tags`, in addition to those of the gateway.
    pub tags: Tags,
}

/// `protocol` of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GatewayProtocol {
    /// `TCP`, passed on.
    Tcp,
    /// `TLS`, passed on or terminated.
    Tls,
    /// `HTTP`, which can be traced.
    Http,
    /// `HTTPS`, which is terminated and can be traced.
    Https,
}

const PROTOCOLS: [(&str, GatewayProtocol); 4] = [
    ("TCP", GatewayProtocol::Tcp),
    ("TLS", GatewayProtocol::Tls),
    ("HTTP", GatewayProtocol::Http),
    ("HTTPS", GatewayProtocol::Https),
];

impl GatewayProtocol {
    /// The name of the protocol.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        PROTOCOLS
            .iter()
            .find(|(_, protocol)| *protocol == self)
            .map_or("", |(word, _)| word)
    }

    /// Whether requests are parsed, and so can be traced.
    #[must_use]
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

pub(in crate::resource) fn decode(decoder: &mut Decoder, header: Header, body: &Body) -> Option<MeshGateway> {
    let root = body.object(decoder, &["selectors", "tags", "conf"])?;
    let selectors = tags::selectors(decoder, &root, "selectors", Service::Required);
    let own = gateway_tags(decoder, &root);
    let Some(conf) = root.object(decoder, "conf", &["listeners"]) else {
        if root.get("conf").is_none() {
            let path = root.path_of("conf");
            decoder.error(
                Code::EmptyField,
                root.at,
                &path,
                "`conf` is missing; it contains the listeners",
            );
        }
        return None;
    };
    let items = conf.list(decoder, "listeners");
    if items.is_empty() {
        let at = conf.get("listeners").map_or(conf.at, |entry| &entry.key_at);
        let help = "for example `- {port: 8080, protocol: HTTP}`";
        let path = conf.path_of("listeners");
        decoder.error_help(Code::EmptyField, at, &path, "`listeners` must not be empty", help);
    }
    let mut listeners = Vec::new();
    for (path, node) in items {
        listeners.extend(decode_listener(decoder, path, node));
    }
    check_ports(decoder, &listeners);
    Some(MeshGateway {
        header,
        selectors,
        tags: tags::plain(&own),
        listeners,
    })
}

fn decode_listener(decoder: &mut Decoder, path: Text, node: &Node) -> Option<GatewayListener> {
    let known = ["hostname", "port", "protocol", "tls", "tags", "crossMesh", "resources"];
    let object = Object::new(decoder, node, path, &known)?;
    let port = decode_port(decoder, &object, "port", 1);
    let protocol = decode_protocol(decoder, &object);
    let own = gateway_tags(decoder, &object);
    Some(GatewayListener {
        at: object.at.clone(),
        path: object.path.clone(),
        port: port?,
        protocol: protocol?,
        tags: tags::plain(&own),
    })
}

fn decode_protocol(decoder: &mut Decoder, object: &Object) -> Option<Located<GatewayProtocol>> {
    let words = PROTOCOLS.map(|(word, _)| word);
    let written = object.text(decoder, "protocol");
    if written.is_none() && object.get("protocol").is_some() {
        return None;
    }
    let Some(written) = written.filter(|written| !matches!(written.value.as_str(), "" | "NONE")) else {
        let path = object.path_of("protocol");
        let message = "`protocol` must not be empty";
        decoder.error_help(
            Code::EmptyField,
            object.at,
            &path,
            message,
            format!("it must be one of {}", words.join(", ")),
        );
        return None;
    };
    let found = PROTOCOLS.iter().find(|(word, _)| *word == written.value);
    if found.is_none() {
        let Origin { path, at, .. } = &written.origin;
        let message = format!(
            "`protocol` is `{}`; it must be one of {}",
            written.value,
            words.join(", ")
        );
        let finding = Diagnostic::error(Code::InvalidValue, at, message).path(path.as_str());
        decoder.undecodable(match closest(&written.value, words) {
            Some(meant) => finding.help(format!("did you mean `{meant}`?")),
            None => finding,
        });
    }
    found.map(|(_, protocol)| written.clone().map(|_| *protocol))
}

/// Decodes tags in addition to those of a dataplane. The tags that identify a dataplane are not allowed.
fn gateway_tags(decoder: &mut Decoder, object: &Object) -> TextMap {
    let path = object.path_of("tags");
    let tags = object.texts(decoder, "tags").unwrap_or_default();
    tags::check_selector_tags(decoder, &path, &tags);
    for tag in [SERVICE, PROTOCOL, ZONE, "kuma.io/external-service-name"] {
        if let Some(value) = tags.get(tag) {
            let message = format!("the tag `{tag}` belongs to the dataplane and must not be added here");
            decoder.error(Code::NotAllowed, &value.origin.at, &key_path(&path, tag), message);
        }
    }
    tags
}

/// Checks that all listeners on one port have one protocol.
fn check_ports(decoder: &mut Decoder, listeners: &[GatewayListener]) {
    for listener in listeners {
        let differs = |other: &GatewayListener| {
            other.port.value == listener.port.value && other.protocol.value != listener.protocol.value
        };
        if listeners.iter().any(differs) {
            let message = "`protocol` differs from that of another listener on this port";
            decoder.error(Code::NotAllowed, &listener.at, &listener.path, message);
        }
    }
}
