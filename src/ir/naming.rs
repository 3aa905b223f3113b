//! The listeners of a proxy, with Kuma's names of listeners, clusters and services.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::HashMap;

use super::proxy::{Destination, Direction, Listener, ListenerNaming, PolicyKind, Provider, Tracer, Upstream};
use crate::keep::Text;
use crate::resource::Effective;
use crate::resource::kinds::dataplane::{self, Dataplane, Inbound, SERVICELESS_PORT};
use crate::resource::kinds::mesh_gateway::{GatewayListener, MeshGateway};
use crate::resource::kinds::mesh_service::{MeshService, Port};
use crate::resource::value::address::WrittenIp;
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::Tags;
use crate::select::destination::{Endpoint, ResolvedDestination};
use crate::select::route::ResolvedOutbound;
use crate::spans::{Filling, Template};

/// The naming of listeners, and of services in their spans.
pub(super) struct Naming<'a> {
    pub(super) identity: &'a Text,
    /// The service name in spans that the settings ask for.
    pub(super) service_name: Option<&'a Template>,
    pub(super) dataplane: &'a Dataplane,
    pub(super) zone: &'a str,
    /// The address of outbounds without one.
    pub(super) localhost: &'a Text,
    pub(super) tracer: Option<&'a Tracer>,
    pub(super) unified: bool,
    /// Whether the version is Kuma 3.0 or later.
    pub(super) is_new: bool,
    pub(super) untraced: Option<Text>,
}

impl Naming<'_> {
    fn splits(&self) -> bool {
        match self
            .tracer
            .and_then(|tracer| tracer.export.as_ref())
            .map(|export| &export.provider)
        {
            Some(Provider::Datadog(datadog)) => datadog.split_service.value,
            Some(Provider::Zipkin(_) | Provider::OpenTelemetry(_)) | None => false,
        }
    }

    fn is_for_zipkin(&self) -> bool {
        let export = self.tracer.and_then(|tracer| tracer.export.as_ref());
        export.is_some_and(|export| matches!(export.provider, Provider::Zipkin(_)))
    }

    fn is_by_mesh_trace(&self) -> bool {
        self.tracer.is_some_and(|tracer| tracer.by == PolicyKind::MeshTrace)
    }

    /// The service name in the spans of a listener.
    fn reports_as(&self, direction: Direction, service: &Text, to: &str) -> Text {
        let own = match direction {
            // Zipkin spans have the name of the proxy, which is the service that identifies it.
            Direction::Inbound if !self.is_by_mesh_trace() && !self.is_for_zipkin() => service,
            Direction::Inbound | Direction::Outbound | Direction::Gateway => self.identity,
        };
        let own = &self.renamed(own);
        match direction {
            Direction::Inbound if self.splits() => format!("{own}_INBOUND").into(),
            Direction::Gateway if self.splits() && self.is_by_mesh_trace() => format!("{own}_INBOUND").into(),
            Direction::Outbound if self.splits() => format!("{own}_OUTBOUND_{to}").into(),
            Direction::Inbound | Direction::Outbound | Direction::Gateway => own.clone(),
        }
    }

    /// The name of a service in spans.
    fn renamed(&self, service: &Text) -> Text {
        let filling = Filling {
            dataplane: self.dataplane,
            zone: self.zone,
            service,
        };
        let renamed = self.service_name.and_then(|name| name.fill(&filling));
        renamed.map_or_else(|| service.clone(), Into::into)
    }

    /// The cluster of the node in Envoy's terms, from which Zipkin's tracer has its service name.
    pub(super) fn node_cluster(&self) -> Text {
        match self.is_for_zipkin() {
            true => self.renamed(self.identity),
            false => self.identity.clone(),
        }
    }

    /// The listeners of the inbounds; of several at one address and port, Kuma makes only the last.
    pub(super) fn inbounds(&self, dataplane: &Dataplane) -> Vec<Listener> {
        let all = dataplane.inbounds.len() + dataplane.outbounds.len();
        let mut listeners: Vec<Listener> = Vec::with_capacity(all);
        let mut places = HashMap::default();
        let with_service = |inbound: &&Inbound| inbound.port != SERVICELESS_PORT;
        for inbound in dataplane.inbounds.iter().filter(with_service) {
            let listener = self.inbound(dataplane, inbound);
            let place = (listener.address.clone(), listener.port);
            let i = *places.entry(place).or_insert(listeners.len());
            match listeners.get_mut(i) {
                Some(hidden) => *hidden = listener,
                None => listeners.push(listener),
            }
        }
        listeners
    }

    fn inbound(&self, dataplane: &Dataplane, inbound: &Inbound) -> Listener {
        let own = inbound.rare(|rare| rare.address.as_ref());
        let address = own.map_or_else(|| canonical(&dataplane.address), |address| address.canonical());
        let written = own.map_or(&dataplane.address, |address| &address.text);
        let service = inbound.service.as_ref().unwrap_or(self.identity).clone();
        let protocol = Effective::of(inbound.located_protocol(&dataplane.header).as_ref(), Protocol::Unknown);
        let because =
            (self.untraced.clone()).or_else(|| (!protocol.value.is_http()).then(|| speaks(&service, protocol.value)));
        let host = inbound.rare(|rare| rare.service_address.as_ref());
        let host = host.unwrap_or(&address).clone();
        let port = inbound.service_port.unwrap_or(inbound.port);
        let named = if self.unified {
            ListenerNaming::Section(inbound.section().into())
        } else {
            ListenerNaming::Address(written.clone())
        };
        let filed = match &named {
            ListenerNaming::Section(section) => format!("self_inbound_dp_{section}").into(),
            ListenerNaming::Address(_) | ListenerNaming::Resource(_) | ListenerNaming::Gateway(_) => service.clone(),
        };
        Listener {
            direction: Direction::Inbound,
            named,
            at: dataplane.header.location(inbound.span),
            path: inbound.path.clone(),
            address,
            own_address: own.map(|address| address.ip),
            port: inbound.port,
            upstreams: vec![Upstream {
                weight: 1,
                protocol: protocol.value,
                destination: Arc::new(Destination::new(
                    service.clone(),
                    Tags::new(),
                    format!("localhost:{port}"),
                    [Endpoint { host, port }].into(),
                )),
            }],
            protocol,
            reports_as: because
                .is_none()
                .then(|| self.reports_as(Direction::Inbound, &filed, "")),
            untraced_reason: because,
            service,
        }
    }

    /// The listeners of a built-in gateway, one per port.
    pub(super) fn gateway(&self, dataplane: &Dataplane, gateway: &MeshGateway) -> Vec<Listener> {
        let mut ports = BTreeSet::new();
        let of_new_port = gateway
            .listeners
            .iter()
            .filter(|declared| ports.insert(declared.port.value));
        let listener = |declared| self.gateway_listener(dataplane, gateway, declared);
        of_new_port.map(listener).collect()
    }

    fn gateway_listener(&self, dataplane: &Dataplane, gateway: &MeshGateway, declared: &GatewayListener) -> Listener {
        let protocol = declared.protocol.clone().map(|protocol| {
            if protocol.is_http() {
                Protocol::Http
            } else {
                Protocol::Tcp
            }
        });
        let protocol = Effective::of(Some(&protocol), Protocol::Unknown);
        let word = declared.protocol.value.as_str();
        let port = declared.port.value;
        let because = (self.untraced.clone())
            .or_else(|| (!declared.protocol.value.is_http()).then(|| format!("its protocol is {word}").into()));
        Listener {
            direction: Direction::Gateway,
            named: ListenerNaming::Gateway(format!("{}:{word}:{port}", gateway.header.name()).into()),
            at: declared.at.clone(),
            path: declared.path.clone(),
            address: canonical(&dataplane.address),
            own_address: None,
            port,
            protocol,
            service: self.identity.clone(),
            upstreams: Vec::new(),
            reports_as: because
                .is_none()
                .then(|| self.reports_as(Direction::Gateway, self.identity, "")),
            untraced_reason: because,
        }
    }

    pub(super) fn outbound(
        &self,
        dataplane: &Dataplane,
        routed: &ResolvedOutbound,
        upstreams: Vec<Upstream>,
    ) -> Listener {
        let own = routed.outbound.address.as_deref();
        let by_policy = if self.is_by_mesh_trace() {
            &None
        } else {
            &routed.untraced_by_traffic_trace
        };
        let because = (self.untraced.clone())
            .or_else(|| routed.untraced.clone())
            .or_else(|| by_policy.clone())
            .or_else(|| (!routed.protocol.value.is_http()).then(|| speaks(opaque(routed), routed.protocol.value)));
        let named = match routed.to {
            ResolvedDestination::Resource(service, port) if self.unified => {
                ListenerNaming::Resource(self.resource_name(routed, service, port).into())
            }
            ResolvedDestination::Resource(..) | ResolvedDestination::Service(_) => {
                ListenerNaming::Address(own.map_or(self.localhost, |address| &address.text).clone())
            }
        };
        Listener {
            direction: Direction::Outbound,
            at: dataplane.header.location(routed.outbound.span),
            path: routed.outbound.path.clone(),
            address: own.map_or_else(|| self.localhost.clone(), WrittenIp::canonical),
            own_address: own.map(|address| address.ip),
            port: routed.outbound.port,
            protocol: routed.protocol.clone(),
            service: routed.service().clone(),
            upstreams,
            reports_as: because.is_none().then(|| {
                let to = match (routed.to, &named) {
                    (ResolvedDestination::Service(service), _) => service.to_string(),
                    (_, ListenerNaming::Resource(identifier)) if self.is_new => identifier.to_string(),
                    // Before 3.0, spans keep the older service name.
                    (ResolvedDestination::Resource(service, port), _) => destination_name(service, port),
                };
                self.reports_as(Direction::Outbound, self.identity, &to)
            }),
            named,
            untraced_reason: because,
        }
    }

    /// The name of the cluster of a service that is a resource.
    pub(super) fn resource_cluster(&self, routed: &ResolvedOutbound, service: &MeshService, port: &Port) -> String {
        if self.unified {
            self.resource_name(routed, service, port)
        } else {
            destination_name(service, port)
        }
    }

    /// The identifier of a destination, with the port as the outbound itself writes it.
    fn resource_name(&self, routed: &ResolvedOutbound, service: &MeshService, port: &Port) -> String {
        let own = match (&routed.outbound.to, routed.to) {
            (dataplane::Destination::BackendRef(reference), ResolvedDestination::Resource(declared, _))
                if declared.header.id == service.header.id =>
            {
                reference.port.as_ref().map(|port| port.value)
            }
            _ => None,
        };
        identifier(service, own.unwrap_or(port.number))
    }
}

fn short_kind(service: &MeshService) -> &'static str {
    match service.header.id.kind.as_str() {
        "MeshService" => "msvc",
        "MeshMultiZoneService" => "mzsvc",
        _ => "extsvc",
    }
}

/// Kuma's identifier of a port of a resource.
fn identifier(service: &MeshService, port: u16) -> String {
    let header = &service.header;
    let part = |text: Option<&str>| text.unwrap_or_default().to_owned();
    format!(
        "kri_{}_{}_{}_{}_{}_{}",
        short_kind(service),
        header.mesh(),
        part(header.zone()),
        part(header.namespace()),
        header.display_name,
        port
    )
}

/// Kuma's older name of a port of a resource.
fn destination_name(service: &MeshService, port: &Port) -> String {
    let header = &service.header;
    let part = |text: Option<&str>| text.unwrap_or_default().to_owned();
    format!(
        "{}_{}_{}_{}_{}_{}",
        header.mesh(),
        header.display_name,
        part(header.namespace()),
        part(header.zone()),
        short_kind(service),
        port.number
    )
}

/// The service that makes an outbound opaque: the first of its destinations that does not speak HTTP.
fn opaque<'r>(routed: &'r ResolvedOutbound) -> &'r str {
    let target = routed.targets.iter().find(|target| !target.protocol.value.is_http());
    match target.map(|target| target.to) {
        Some(ResolvedDestination::Service(service)) => service,
        Some(ResolvedDestination::Resource(service, _)) => &service.header.display_name,
        None => routed.service(),
    }
}

fn speaks(service: &str, protocol: Protocol) -> Text {
    match protocol {
        Protocol::Unknown => format!("{service} has no protocol").into(),
        known => format!("{service} speaks {known}").into(),
    }
}

/// An IP address in canonical form; other names unchanged.
fn canonical(address: &Text) -> Text {
    match address.parse::<IpAddr>() {
        Ok(ip) => {
            let text = address.clone();
            WrittenIp { ip, text }.canonical()
        }
        Err(_) => address.clone(),
    }
}
