//! `Dataplane`: a proxy, its listeners and their tags.

mod gateway;
mod inbound;
mod outbound;

pub use gateway::{Gateway, GatewayKind};
pub use inbound::{Inbound, SERVICELESS_PORT};
pub(in crate::resource) use outbound::lenient_backend_ref;
pub use outbound::{BackendRef, Destination, Outbound};

use std::cmp::Ordering;
use std::net::IpAddr;

use litemap::LiteMap;

use crate::diag::{Code, Diagnostic};
use crate::keep::Text;
use crate::kuma::{Fidelity, Version};
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::{Decoder, Phase};
use crate::resource::decode::object::{Object, TextMap, key_path};
use crate::resource::decode::origin::Located;
use crate::resource::document::envelope::Body;
use crate::resource::document::header::Header;
use crate::resource::document::labels::WORKLOAD;
use crate::resource::value::address::decode_port;
use crate::resource::value::names::{is_dns_label, is_dns_name};
use crate::resource::value::tags::{self, SERVICE, Tags, ZONE};
use crate::source::Span;
use crate::yaml::Node;

/// A proxy with its listeners.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataplane {
    /// Type, mesh, name and labels.
    pub header: Header,
    /// `networking.address`: an IP address or a DNS name.
    pub address: Text,
    /// `networking.advertisedAddress`: the address for other dataplanes, if it differs.
    pub advertised_address: Option<Text>,
    /// `networking.inbound`.
    pub inbounds: Box<[Inbound]>,
    /// `networking.outbound`.
    pub outbounds: Box<[Outbound]>,
    /// `networking.gateway`.
    pub gateway: Option<Box<Gateway>>,
    /// The place of `networking.transparentProxying`.
    pub transparent_proxying: Option<Box<Span>>,
}

impl Dataplane {
    /// The sets of tags that selectors are matched with: one per inbound, or that of the gateway.
    pub fn tag_sets(&self) -> impl Iterator<Item = &Tags> {
        self.inbounds
            .iter()
            .map(|inbound| &inbound.tags)
            .chain(self.gateway.iter().map(|gateway| &gateway.tags))
    }

    /// The order of two by mesh and name, which is known at once if they are the very same.
    pub(crate) fn cmp_by_name(&self, other: &Self) -> Ordering {
        if std::ptr::eq(self, other) {
            return Ordering::Equal;
        }
        self.header.order().cmp(&other.header.order())
    }

    /// Whether policies cannot tell the two apart.
    #[must_use]
    pub fn matches_as(&self, other: &Self) -> bool {
        let kind = |dataplane: &Self| dataplane.gateway.as_ref().map(|gateway| gateway.kind);
        let (own, others) = (&self.header, &other.header);
        own.id == others.id
            && own.labels == others.labels
            && own.display_name == others.display_name
            && kind(self) == kind(other)
            && self.inbounds.len() == other.inbounds.len()
            && self.tag_sets().eq(other.tag_sets())
    }

    /// The service that identifies the dataplane: the smallest in byte order.
    #[must_use]
    pub fn identifying_service(&self) -> Option<&Text> {
        self.tag_sets().filter_map(|tags| tags.get(SERVICE)).min()
    }

    /// Whether `networking.address` is an IPv6 address.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        (self.address.parse::<IpAddr>()).is_ok_and(|address| address.is_ipv6())
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

pub(in crate::resource) fn decode(
    decoder: &mut Decoder,
    context: &Context,
    mut header: Header,
    body: &Body,
) -> Option<Dataplane> {
    let root = body.object(decoder, &["networking", "metrics", "probes", "envoy"])?;
    let networking = decode_networking(decoder, &root)?;
    check_workload(decoder, context, &header);
    let address = decode_address(decoder, &networking);
    let gateway = gateway::decode(decoder, context, &networking);
    let inbound_items = networking.list(decoder, "inbound");
    let outbound_items = networking.list(decoder, "outbound");
    let shape = Shape {
        gateway: gateway.as_ref().map(|gateway| gateway.kind),
        has_inbounds: !inbound_items.is_empty(),
        has_outbounds: !outbound_items.is_empty(),
    };
    check_shape(decoder, context, &networking, &shape);
    warn_of_unread_service(decoder, context, &header, &networking, &inbound_items);
    let mut inbounds = Vec::with_capacity(inbound_items.len());
    for (path, node) in inbound_items {
        inbounds.extend(inbound::decode(decoder, context, address.as_ref(), path, node));
    }
    let mut outbounds = Vec::with_capacity(outbound_items.len());
    for (path, node) in outbound_items {
        outbounds.extend(outbound::decode(decoder, context, path, node));
    }
    if context.kuma.version < Version::V3_0 {
        let is_builtin = gateway
            .as_ref()
            .is_some_and(|gateway| gateway.kind == GatewayKind::Builtin);
        let proxy_type = if is_builtin { "gateway" } else { "sidecar" };
        let mut labels = LiteMap::clone(&header.labels);
        labels.insert(context.texts.get("kuma.io/proxy-type"), context.texts.get(proxy_type));
        header.labels = context.texts.share_map(labels);
    }
    check_probes(decoder, &root, gateway.as_ref());
    report_zone_proxy(decoder, context, &networking);
    Some(Dataplane {
        header,
        address: address?.value,
        advertised_address: networking
            .text(decoder, "advertisedAddress")
            .map(|address| address.value)
            .filter(|address| !address.is_empty()),
        inbounds: inbounds.into(),
        outbounds: outbounds.into(),
        gateway: gateway.map(Box::new),
        transparent_proxying: transparent_proxying(decoder, &networking).map(Box::new),
    })
}

fn decode_networking<'a>(decoder: &mut Decoder, root: &Object<'a>) -> Option<Object<'a>> {
    let networking = root.object(decoder, "networking", &NETWORKING);
    if networking.is_none() && root.get("networking").is_none() {
        let help = "it contains the address of the proxy, its inbounds and its outbounds";
        decoder.error_help(
            Code::MissingField,
            root.at,
            &root.path_of("networking"),
            "`networking` is missing",
            help,
        );
    }
    networking
}

/// Reports the listeners of a zone proxy, which meshtraced does not compile.
fn report_zone_proxy(decoder: &mut Decoder, context: &Context, networking: &Object) {
    if let Some(listeners) = networking
        .get("listeners")
        .filter(|_| context.kuma.version >= Version::V2_14)
    {
        let message = "the listeners of a zone proxy need a control plane; meshtraced ignores them";
        let finding = Diagnostic::warning(Code::ZoneProxy, &listeners.key_at, message);
        decoder.report(finding.path(networking.path_of("listeners")));
    }
}

/// The place of `transparentProxying`, if it redirects traffic.
fn transparent_proxying(decoder: &Decoder, networking: &Object) -> Option<Span> {
    let entry = networking.get("transparentProxying").filter(|_| {
        let ports = networking.open_object(&mut decoder.silent(), "transparentProxying");
        let is_set = |key| {
            let port = ports.as_ref().and_then(|ports| ports.whole(&mut decoder.silent(), key));
            port.is_some_and(|port| port.value != 0)
        };
        is_set("redirectPortInbound") || is_set("redirectPortOutbound")
    });
    entry.map(|entry| entry.key_at.span)
}

/// Checks the workload, which from 2.14 on becomes the name of a resource.
fn check_workload(decoder: &mut Decoder, context: &Context, header: &Header) {
    let workload = header.label(WORKLOAD).filter(|workload| !workload.is_empty());
    if let Some(workload) = workload.filter(|workload| !is_dns_label(workload))
        && context.kuma.version >= Version::V2_14
    {
        let message = format!(
            "the workload `{workload}` must consist of lowercase letters, digits and `-`, and begin with a letter"
        );
        let finding = Diagnostic::error(Code::InvalidValue, &header.at, message);
        decoder.phase = Phase::Metadata;
        decoder.report(finding.path("labels[\"kuma.io/workload\"]"));
        decoder.phase = Phase::Semantics;
    }
}

/// Warns of a service in the tags of an inbound or a gateway, where Kuma reads it from a label.
fn warn_of_unread_service(
    decoder: &mut Decoder,
    context: &Context,
    header: &Header,
    networking: &Object,
    inbounds: &[(Text, &Node)],
) {
    if context.inbounds_have_tags() || header.label(WORKLOAD).is_some() {
        return;
    }
    let tag = |path: &str, node: &Node| {
        let service = node.map()?.get("tags")?.value.map()?.get(SERVICE)?;
        let path = key_path(&format!("{path}.tags"), SERVICE);
        Some((path, service.key_at.clone(), service.value.text()?.to_owned()))
    };
    let gateway = networking.get("gateway").map(|entry| &entry.value);
    let of_gateway = || tag(&networking.path_of("gateway"), gateway?);
    if let Some((path, at, name)) = (inbounds.iter().find_map(|(path, node)| tag(path, node))).or_else(of_gateway) {
        let message = "Kuma 3.0 takes the service from the label `kuma.io/workload`, not from tags; without it, the service is `unknown`";
        let finding = Diagnostic::warning(Code::SupersededField, &at, message).path(path);
        let help = format!("add `labels: {{kuma.io/workload: {name}}}`; `meshtraced migrate --to 3.0` does");
        decoder.report(finding.help(help));
    }
}

/// Checks that probes have a port, and that a built-in gateway has no probes.
fn check_probes(decoder: &mut Decoder, root: &Object, gateway: Option<&Gateway>) {
    let Some(probes) = root.open_object(decoder, "probes") else {
        return;
    };
    if gateway.is_some_and(|gateway| gateway.kind == GatewayKind::Builtin) {
        let message = "a built-in gateway has no probes";
        decoder.error(Code::NotAllowed, probes.at, &root.path_of("networking.probes"), message);
    } else {
        decode_port(decoder, &probes, "port", 1);
    }
}

/// The parts of `networking`.
struct Shape {
    gateway: Option<GatewayKind>,
    has_inbounds: bool,
    has_outbounds: bool,
}

/// Reports parts of `networking` that exclude each other, and one that has neither inbounds nor a gateway.
fn check_shape(decoder: &mut Decoder, context: &Context, networking: &Object, shape: &Shape) {
    let mut refuse = |field: &str, message: &str| {
        let at = networking.get(field).map_or(networking.at, |entry| &entry.key_at);
        decoder.error(Code::NotAllowed, at, &networking.path_of(field), message);
    };
    match shape.gateway {
        Some(kind) => {
            if networking.get("listeners").is_some() && context.kuma.version >= Version::V2_14 {
                refuse("listeners", "a gateway has no listeners of zone proxies");
            }
            if shape.has_inbounds {
                refuse("inbound", "a gateway has no inbounds");
            }
            if shape.has_outbounds && kind == GatewayKind::Builtin {
                refuse("outbound", "a built-in gateway has no outbounds");
            }
        }
        // A gateway that could not be decoded has been reported already.
        None if networking.get("gateway").is_some() => {}
        None if !shape.has_inbounds && !context.inbounds_optional() => {
            let (message, help) = (
                "a dataplane must have an inbound or a gateway",
                "an inbound has a `port` and `tags` with `kuma.io/service`",
            );
            decoder.error_help(Code::MissingField, networking.at, &networking.path, message, help);
        }
        None => {}
    }
}

fn decode_address(decoder: &mut Decoder, networking: &Object) -> Option<Located<Text>> {
    let path = || networking.path_of("address");
    let entry = networking.get("address");
    let address = networking.text(decoder, "address");
    if address.is_none() && entry.is_some() {
        return None;
    }
    let Some(address) = address.filter(|address| !address.value.is_empty()) else {
        let at = entry.map_or(networking.at, |entry| &entry.value.at);
        let message = match entry {
            Some(_) => "`address` must not be empty",
            None => "`address` is missing",
        };
        let help = "add the IP address at which other proxies reach this one: `address: 10.0.0.1`";
        decoder.error_help(Code::EmptyField, at, &path(), message, help);
        return None;
    };
    let at = &address.origin.at;
    match address.value.as_str() {
        "0.0.0.0" | "::" => {
            let help = "write the address at which other proxies reach this one";
            decoder.error_help(
                Code::NotAllowed,
                at,
                &path(),
                format!("`address` must not be `{}`", address.value),
                help,
            );
            None
        }
        text if text.parse::<IpAddr>().is_ok() || is_dns_name(text) => Some(address),
        text => {
            let message = format!("`address` is `{text}`, which is neither an IP address nor a DNS name");
            decoder.error(Code::InvalidAddress, at, &path(), message);
            None
        }
    }
}

impl Context<'_> {
    /// Whether an inbound or gateway may have the given tags without a service.
    pub(in crate::resource) fn may_lack_tags(&self, tags: &TextMap) -> bool {
        tags.is_empty() && self.inbounds_optional()
    }

    /// The tags, with the zone tag that a control plane adds.
    pub(in crate::resource) fn with_zone(&self, tags: &TextMap) -> Tags {
        let mut tags = tags::plain(tags);
        match self.kuma.fidelity {
            Fidelity::Exact => {
                tags.insert(self.texts.get(ZONE), self.texts.get(&self.kuma.zone));
            }
            Fidelity::Documented => {
                tags.try_insert(self.texts.get(ZONE), self.texts.get(&self.kuma.zone));
            }
        }
        tags
    }
}
