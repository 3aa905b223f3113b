//! `networking.outbound`: listeners for requests of the local application to services.

use crate::diag::Code;
use crate::keep::Text;
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::{Decoder, Phase};
use crate::resource::decode::object::{Object, TextMap, key_path};
use crate::resource::decode::origin::{Located, Spanned};
use crate::resource::value::address::{WrittenIp, decode_ip, decode_port};
use crate::resource::value::tags::{self, SERVICE};
use crate::source::Span;
use crate::yaml::Node;

/// A listener for requests of the local application to a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Outbound {
    /// The place of the entry.
    pub span: Span,
    /// The path of the entry, such as `networking.outbound[0]`.
    pub path: Text,
    /// `port`, 1 to 65535.
    pub port: u16,
    /// `address`; the default is 127.0.0.1.
    pub address: Option<Box<WrittenIp>>,
    /// The destination.
    pub to: Destination,
}

impl Outbound {
    /// The path of the tag `kuma.io/service`.
    #[must_use]
    pub fn service_path(&self) -> String {
        key_path(&format!("{}.tags", self.path), SERVICE)
    }
}

/// The destination of an outbound.
#[derive(Debug, Clone, PartialEq)]
pub enum Destination {
    /// `tags`.
    Service {
        /// `tags["kuma.io/service"]`.
        service: Spanned<Text>,
        /// The other tags, all of which an endpoint must have; `None` without any, as with most outbounds.
        tags: Option<Box<TextMap>>,
    },
    /// `backendRef`, which `TrafficTrace` never traces.
    BackendRef(Box<BackendRef>),
}

/// `backendRef`: a port of a service that is a resource; in a route, also a service by its tags.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendRef {
    /// `backendRef.kind`.
    pub kind: Located<Text>,
    /// `name`; absent if labels select the service.
    pub name: Option<Located<Text>>,
    /// `namespace`, in a route; the default is that of the route.
    pub namespace: Option<Located<Text>>,
    /// `backendRef.labels`.
    pub labels: TextMap,
    /// `tags`, in a route, all of which an endpoint must have.
    pub tags: TextMap,
    /// `port`; without effect for a `MeshExternalService`, which has one port.
    pub port: Option<Located<u16>>,
    /// `sectionName`, in a route: the name or number of the port.
    pub section: Option<Located<Text>>,
}

impl BackendRef {
    /// Whether the reference is to a resource, rather than to a service by its tags.
    #[must_use]
    pub fn is_of_resource(&self) -> bool {
        match self.kind.value.as_str() {
            "MeshService" => self.port.is_some() || self.section.is_some(),
            "MeshExternalService" | "MeshMultiZoneService" => true,
            _ => false,
        }
    }
}

pub(in crate::resource) fn decode(
    decoder: &mut Decoder,
    context: &Context,
    path: Text,
    node: &Node,
) -> Option<Outbound> {
    let object = Object::new(decoder, node, path, &["address", "port", "tags", "backendRef"])?;
    let port = decode_port(decoder, &object, "port", 1);
    let address = decode_ip(decoder, &object, "address");
    let tags_path = object.field_path(decoder, "tags");
    let tags = object.texts(decoder, "tags").unwrap_or_default();
    let backend_ref = object.object(decoder, "backendRef", &["kind", "name", "namespace", "labels", "port"]);
    let to = match backend_ref {
        Some(backend_ref) => {
            let reference = decode_backend_ref(decoder, &backend_ref);
            if !tags.is_empty() {
                let at = object.get("tags").map_or(object.at, |entry| &entry.key_at);
                decoder.error(
                    Code::NotAllowed,
                    at,
                    &backend_ref.path,
                    "an outbound must not have both `backendRef` and `tags`",
                );
            }
            reference.map(|reference| Destination::BackendRef(Box::new(reference)))
        }
        None if object.get("backendRef").is_some() => None,
        None if !context.inbounds_have_tags() => {
            let path = object.path_of("backendRef");
            let help = "add the destination: `backendRef: {kind: MeshService, name: backend, port: 80}`";
            decoder.error_help(Code::MissingField, object.at, &path, "`backendRef` is missing", help);
            None
        }
        None => {
            tags::check_tags(decoder, &tags_path, &tags);
            decode_destination(decoder, &object, &tags_path, &tags)
        }
    };
    Some(Outbound {
        span: object.at.span,
        path: object.path.clone(),
        port: port?.value,
        address: address.map(|address| Box::new(address.value)),
        to: to?,
    })
}

fn decode_destination(decoder: &mut Decoder, object: &Object, path: &str, tags: &TextMap) -> Option<Destination> {
    let Some(service) = tags.get(SERVICE) else {
        let at = object.get("tags").map_or(object.at, |entry| &entry.key_at);
        let written = tags.get("service").map(|written| written.value.as_str());
        let service = written.unwrap_or("SERVICE");
        let help = format!("add the destination: `tags: {{kuma.io/service: {service}}}`");
        decoder.error_help(
            Code::MissingField,
            at,
            path,
            format!("the mandatory tag `{SERVICE}` is missing"),
            help,
        );
        return None;
    };
    let others = tags.iter().filter(|(tag, _)| *tag != SERVICE);
    let others: TextMap = others.map(|(tag, value)| (tag.clone(), value.clone())).collect();
    Some(Destination::Service {
        service: service.clone().spanned(),
        tags: (!others.is_empty()).then(|| Box::new(others)),
    })
}

/// The `backendRef` of a route, without checks.
pub(in crate::resource) fn lenient_backend_ref(decoder: &mut Decoder, object: &Object) -> BackendRef {
    let kind = object.text(decoder, "kind");
    BackendRef {
        kind: kind
            .unwrap_or_else(|| decoder.located(decoder.shared("Mesh"), &object.field_path(decoder, "kind"), object.at)),
        name: filled(decoder, object, "name"),
        namespace: filled(decoder, object, "namespace"),
        labels: object.texts(decoder, "labels").unwrap_or_default(),
        tags: object.texts(decoder, "tags").unwrap_or_default(),
        port: any_port(decoder, object).filter(|port| port.value > 0),
        section: filled(decoder, object, "sectionName"),
    }
}

fn filled(decoder: &mut Decoder, object: &Object, key: &str) -> Option<Located<Text>> {
    object.text(decoder, key).filter(|text| !text.value.is_empty())
}

/// A port, without an error if it is invalid.
fn any_port(decoder: &mut Decoder, object: &Object) -> Option<Located<u16>> {
    let port = object.whole(decoder, "port")?;
    let number = u16::try_from(port.value).ok()?;
    Some(port.map(|_| number))
}

fn decode_backend_ref(decoder: &mut Decoder, object: &Object) -> Option<BackendRef> {
    let kinds = ["MeshExternalService", "MeshMultiZoneService", "MeshService"];
    let before = decoder.errors();
    let kind = object.text(decoder, "kind");
    let word = kind.as_ref().map_or("", |kind| kind.value.as_str());
    if !kinds.contains(&word) {
        let at = object.get("kind").map_or(object.at, |entry| &entry.value.at);
        let message = format!("`kind` is `{word}`; it must be one of {}", kinds.join(", "));
        decoder.error(Code::UnknownType, at, &object.path_of("kind"), message);
    }
    let name = filled(decoder, object, "name");
    let labels = object.texts(decoder, "labels").unwrap_or_default();
    if name.is_none() && labels.is_empty() && !decoder.failed_at(Phase::Schema) {
        let message = "either `name` or `labels` is required";
        decoder.error(Code::MissingField, object.at, &object.path, message);
    }
    let port = if word == "MeshExternalService" {
        // The service has one port; the number here is only a part of a name.
        any_port(decoder, object)
    } else {
        decode_port(decoder, object, "port", 1)
    };
    (decoder.errors() == before).then_some(BackendRef {
        kind: kind?,
        name,
        namespace: None,
        labels,
        tags: TextMap::new(),
        port,
        section: None,
    })
}
