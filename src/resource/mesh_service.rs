//! `MeshService`, `MeshExternalService` and `MeshMultiZoneService`: destinations that `backendRef` names.

use std::collections::BTreeMap;

use super::Header;
use super::decode::{Decoder, Located, Object, int_or_text};
use super::header::Body;
use super::protocol::{self, Protocol};
use super::{dataplane, tags::Tags};
use crate::yaml::Node;

/// A destination that `backendRef` names.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshService {
    /// What every resource has.
    pub header: Header,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Who takes the requests.
    pub backing: Backing,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// `name`; absent means the number.
    pub name: Option<Located<String>>,
    /// `port`.
    pub number: Located<u16>,
    /// `appProtocol`; absent means TCP.
    pub protocol: Option<Located<Protocol>>,
    /// `targetPort`: the number or the name of an inbound; absent means `port`.
    pub target: Option<String>,
}

/// Who takes the requests for a service.
#[derive(Debug, Clone, PartialEq)]
pub enum Backing {
    /// `MeshService`: inbounds with all of these tags, of dataplanes with all of these labels and that name.
    Dataplanes {
        /// `selector.dataplaneTags`.
        tags: Tags,
        /// `selector.dataplaneLabels.matchLabels`.
        labels: Tags,
        /// `selector.dataplaneRef.name`.
        name: Option<String>,
    },
    /// `MeshMultiZoneService`: the services with all of these labels.
    MeshServices {
        /// `selector.meshService.matchLabels`.
        labels: Tags,
    },
    /// `MeshExternalService`: hosts and ports.
    Endpoints(Vec<(String, u16)>),
}

impl MeshService {
    /// The port with that number.
    #[must_use]
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number.value == number)
    }
}

impl Port {
    /// Its name, or its number.
    #[must_use]
    pub fn section(&self) -> String {
        let named = self.name.as_ref().filter(|name| !name.value.is_empty());
        named.map_or_else(|| self.number.value.to_string(), |name| name.value.clone())
    }
}

pub(super) fn decode(decoder: &mut Decoder, header: Header, body: &Body) -> Option<MeshService> {
    let spec = body.object(decoder, &["state", "selector", "ports", "identities"])?;
    let selector = spec.object(
        decoder,
        "selector",
        &["dataplaneTags", "dataplaneRef", "dataplaneLabels"],
    );
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
    Some(MeshService {
        ports: ports(decoder, &spec),
        header,
        backing,
    })
}

pub(super) fn decode_multi_zone(decoder: &mut Decoder, header: Header, body: &Body) -> Option<MeshService> {
    let spec = body.object(decoder, &["selector", "ports"])?;
    let selector = spec.object(decoder, "selector", &["meshService"]);
    let inner = selector.and_then(|selector| selector.object(decoder, "meshService", &["matchLabels"]));
    let labels = inner
        .map(|inner| plain(decoder, &inner, "matchLabels"))
        .unwrap_or_default();
    Some(MeshService {
        ports: ports(decoder, &spec),
        header,
        backing: Backing::MeshServices { labels },
    })
}

pub(super) fn decode_external(decoder: &mut Decoder, header: Header, body: &Body) -> Option<MeshService> {
    let spec = body.object(decoder, &["match", "extension", "endpoints", "tls"])?;
    let matched = spec.object(decoder, "match", &["type", "port", "protocol"])?;
    let number = dataplane::decode_port(decoder, &matched, "port", 1);
    let written = matched.text(decoder, "protocol");
    let protocol = protocol::decode(decoder, written.as_ref());
    let mut endpoints = Vec::new();
    for (path, node) in spec.list(decoder, "endpoints") {
        let Some(endpoint) = Object::new(decoder, node, path, &["address", "port", "priority"]) else {
            continue;
        };
        let address = endpoint.text(decoder, "address");
        let port = dataplane::decode_port(decoder, &endpoint, "port", 1);
        endpoints.extend(address.zip(port).map(|(address, port)| (address.value, port.value)));
    }
    Some(MeshService {
        ports: vec![Port {
            name: None,
            number: number?,
            protocol,
            target: None,
        }],
        header,
        backing: Backing::Endpoints(endpoints),
    })
}

fn ports(decoder: &mut Decoder, spec: &Object) -> Vec<Port> {
    let items = spec.list(decoder, "ports");
    items
        .into_iter()
        .filter_map(|(path, node)| port(decoder, path, node))
        .collect()
}

fn port(decoder: &mut Decoder, path: String, node: &Node) -> Option<Port> {
    let object = Object::new(decoder, node, path, &["name", "port", "targetPort", "appProtocol"])?;
    let number = dataplane::decode_port(decoder, &object, "port", 1);
    let written = object.text(decoder, "appProtocol");
    let target = object.get("targetPort").and_then(|entry| int_or_text(&entry.value));
    Some(Port {
        name: object.text(decoder, "name"),
        number: number?,
        // Kuma checks nothing here.
        protocol: written.map(|written| written.map(|name| Protocol::parse(&name))),
        target,
    })
}

fn plain(decoder: &mut Decoder, object: &Object, key: &str) -> Tags {
    let texts = object.texts(decoder, key).unwrap_or_default();
    texts
        .into_iter()
        .map(|(key, value)| (key, value.value))
        .collect::<BTreeMap<_, _>>()
}
