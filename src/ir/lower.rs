//! From the selection to effective tracing.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::left_out::left_out;
use super::proxy::{
    Direction, Endpoint, Listener, ListenerNaming, Policy, PolicyKind, Provider, Proxy, Specificity, Tracer, Upstream,
};
use super::tracer::{LowerContext, tracers};
use crate::kuma::{Fidelity, Kuma, Version};
use crate::resource::kinds::dataplane::{Dataplane, Destination, GatewayKind, Inbound, SERVICELESS_PORT};
use crate::resource::kinds::mesh_gateway::{GatewayListener, MeshGateway};
use crate::resource::kinds::mesh_service::{MeshService, Port};
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::{MESH, SERVICE, Tags};
use crate::resource::{Effective, Origin, WORKLOAD};
use crate::select::destination::{ResolvedDestination, Target};
use crate::select::route::ResolvedOutbound;
use crate::select::{Candidate, Governed, Selection};

/// Effective tracing of every dataplane, in the order of mesh and name.
#[must_use]
pub fn lower(selection: &Selection, kuma: &Kuma) -> Vec<Proxy> {
    let lower_one = |governed| lower_one(governed, selection, kuma);
    selection.dataplanes.iter().map(lower_one).collect()
}

fn lower_one(governed: &Governed, selection: &Selection, kuma: &Kuma) -> Proxy {
    let dataplane = governed.dataplane;
    let unified_naming = has_unified_naming(governed, kuma);
    let is_gateway = dataplane
        .gateway
        .as_ref()
        .is_some_and(|own| own.kind == GatewayKind::Builtin);
    let context = LowerContext {
        kuma,
        unified_naming,
        is_gateway,
    };
    let (tracer, idle_tracer) = tracers(governed, context);
    let identity = identity(dataplane, kuma);
    let naming = Naming {
        identity: &identity,
        tracer: tracer.as_ref(),
        unified: unified_naming,
        is_new: kuma.version >= Version::V3_0,
        untraced: why_untraced(governed, tracer.as_ref()),
    };
    let mut listeners = naming.inbounds(dataplane);
    if let Some(gateway) = governed.gateway.filter(|_| is_gateway) {
        listeners.extend(naming.gateway(dataplane, gateway));
    }
    listeners.extend(outbounds(governed, selection, &naming));
    let mut proxy = Proxy {
        mesh: dataplane.header.mesh().to_owned(),
        name: dataplane.header.name().to_owned(),
        at: dataplane.header.at.clone(),
        service: identity.clone(),
        ipv6: dataplane.is_ipv6(),
        transparent: dataplane.transparent_proxying.clone(),
        is_gateway,
        unified_naming,
        traffic_trace: governed.winner.as_ref().map(of_traffic_trace),
        lost: governed.lost.iter().map(of_traffic_trace).collect(),
        mesh_traces: (governed.mesh_trace.policies.iter().copied())
            .map(of_mesh_trace)
            .collect(),
        tracer,
        idle_tracer,
        listeners,
        left_out: left_out(governed, &selection.services),
    };
    // A collector without any traced listener is left out, although a control plane keeps it.
    if kuma.fidelity == Fidelity::Documented && proxy.traced().next().is_none() {
        proxy.tracer = None;
    }
    proxy
}

/// The listeners of the outbounds. With transparent proxying, a control plane binds them to addresses of its own.
fn outbounds(governed: &Governed, selection: &Selection, naming: &Naming) -> Vec<Listener> {
    let dataplane = governed.dataplane;
    let known = governed
        .outbounds
        .iter()
        .filter(|_| dataplane.transparent_proxying.is_none());
    let listener = |routed: &ResolvedOutbound| {
        let upstreams = routed.targets.iter().map(|target| {
            let endpoints = endpoints(target, dataplane, selection);
            naming.upstream(routed, target, endpoints)
        });
        naming.outbound(routed, upstreams.collect())
    };
    known.map(listener).collect()
}

/// The endpoints of a destination, sorted.
fn endpoints(target: &Target, dataplane: &Dataplane, selection: &Selection) -> Vec<Endpoint> {
    let services = &selection.services;
    let found = match target.to {
        ResolvedDestination::Service(service) => services.endpoints(dataplane.header.mesh(), service, &target.tags),
        ResolvedDestination::Resource(service, port) => services.endpoints_of(service, port),
    };
    let endpoints: BTreeSet<Endpoint> = found.into_iter().map(|(host, port)| Endpoint { host, port }).collect();
    endpoints.into_iter().collect()
}

/// Whether listeners and clusters are named after resources: always in Kuma 3.0, before where the settings and the
/// mesh ask for it.
fn has_unified_naming(governed: &Governed, kuma: &Kuma) -> bool {
    let is_new = kuma.version >= Version::V3_0;
    let exclusive = is_new || governed.mesh.is_some_and(|mesh| mesh.has_exclusive_mesh_services);
    kuma.unified_naming.unwrap_or(is_new) && exclusive
}

/// The service that identifies a dataplane: from its tags in Kuma 2, from its label in 3.0.
fn identity(dataplane: &Dataplane, kuma: &Kuma) -> String {
    let name = if kuma.version >= Version::V3_0 {
        dataplane.header.label(WORKLOAD).unwrap_or("unknown")
    } else {
        dataplane.identifying_service()
    };
    name.to_owned()
}

fn of_traffic_trace(candidate: &Candidate) -> Policy {
    let header = &candidate.policy.header;
    Policy {
        name: header.name().to_owned(),
        origin: Origin {
            resource: header.id.clone(),
            path: "selectors".to_owned(),
            at: header.at.clone(),
        },
        specificity: Specificity::Tags {
            tags: candidate.rank.tags(),
            exact: candidate.rank.exact,
        },
    }
}

fn of_mesh_trace(policy: &MeshTrace) -> Policy {
    Policy {
        name: policy.header.name().to_owned(),
        origin: Origin {
            resource: policy.header.id.clone(),
            path: "spec.targetRef".to_owned(),
            at: policy.header.at.clone(),
        },
        specificity: Specificity::Target(policy.target.target.kind()),
    }
}

/// The reason why no listener of the dataplane is traced; `None` when it has a policy and a backend.
fn why_untraced(governed: &Governed, tracer: Option<&Tracer>) -> Option<String> {
    if tracer.is_some() {
        return None;
    }
    if let Some(merged) = &governed.mesh_trace.merged {
        let name = merged.strongest.header.name();
        return Some(match merged.backend {
            None => format!("MeshTrace {name} switches tracing off"),
            Some(_) => format!("the backend of MeshTrace {name} does not exist"),
        });
    }
    Some(match governed.winner {
        Some(winner) => format!("the backend of {} does not exist", winner.policy.header.name()),
        None => "no policy selects this dataplane".to_owned(),
    })
}

/// The naming of listeners, and of services in their spans.
struct Naming<'a> {
    identity: &'a str,
    tracer: Option<&'a Tracer>,
    unified: bool,
    /// Whether the version is Kuma 3.0 or later.
    is_new: bool,
    untraced: Option<String>,
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
    fn reports_as(&self, direction: Direction, service: &str, to: &str) -> String {
        let own = match direction {
            // Zipkin spans have the name of the proxy, which is the service that identifies it.
            Direction::Inbound if !self.is_by_mesh_trace() && !self.is_for_zipkin() => service,
            Direction::Inbound | Direction::Outbound | Direction::Gateway => self.identity,
        };
        match direction {
            Direction::Inbound if self.splits() => format!("{own}_INBOUND"),
            Direction::Gateway if self.splits() && self.is_by_mesh_trace() => format!("{own}_INBOUND"),
            Direction::Outbound if self.splits() => format!("{own}_OUTBOUND_{to}"),
            Direction::Inbound | Direction::Outbound | Direction::Gateway => own.to_owned(),
        }
    }

    /// The listeners of the inbounds; of several at one address and port, Kuma makes only the last.
    fn inbounds(&self, dataplane: &Dataplane) -> Vec<Listener> {
        let mut listeners: Vec<Listener> = Vec::new();
        let with_service = |inbound: &&Inbound| inbound.port.value != SERVICELESS_PORT;
        for inbound in dataplane.inbounds.iter().filter(with_service) {
            let listener = self.inbound(dataplane, inbound);
            let place = (&listener.address, listener.port);
            match listeners.iter().position(|other| (&other.address, other.port) == place) {
                Some(i) => listeners[i] = listener,
                None => listeners.push(listener),
            }
        }
        listeners
    }

    fn inbound(&self, dataplane: &Dataplane, inbound: &Inbound) -> Listener {
        let own = inbound.address.as_ref();
        let address = own.map_or_else(
            || canonical(&dataplane.address.value),
            |address| address.value.ip.to_string(),
        );
        let written = own.map_or(&dataplane.address.value, |address| &address.value.text);
        let section = inbound.section();
        let service = match &inbound.service {
            Some(service) => service.value.clone(),
            None => self.identity.to_owned(),
        };
        let protocol = Effective::of(inbound.protocol.as_ref(), Protocol::Unknown);
        let because =
            (self.untraced.clone()).or_else(|| (!protocol.value.is_http()).then(|| speaks(&service, protocol.value)));
        let host = (inbound.service_address.as_ref()).map_or_else(|| address.clone(), |address| address.value.clone());
        let port = (inbound.service_port.as_ref()).map_or(inbound.port.value, |port| port.value);
        let named = if self.unified {
            ListenerNaming::Section(section.clone())
        } else {
            ListenerNaming::Address(written.clone())
        };
        let filed = match &named {
            ListenerNaming::Section(section) => format!("self_inbound_dp_{section}"),
            ListenerNaming::Address(_) | ListenerNaming::Resource(_) | ListenerNaming::Gateway(_) => service.clone(),
        };
        Listener {
            direction: Direction::Inbound,
            named,
            at: inbound.at.clone(),
            path: inbound.path.clone(),
            address,
            port: inbound.port.value,
            upstreams: vec![Upstream {
                service: service.clone(),
                tags: Tags::new(),
                cluster: format!("localhost:{port}"),
                weight: 1,
                protocol: protocol.value,
                endpoints: vec![Endpoint { host, port }],
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
    fn gateway(&self, dataplane: &Dataplane, gateway: &MeshGateway) -> Vec<Listener> {
        let mut listeners: Vec<Listener> = Vec::new();
        for declared in &gateway.listeners {
            if listeners.iter().all(|other| other.port != declared.port.value) {
                listeners.push(self.gateway_listener(dataplane, gateway, declared));
            }
        }
        listeners
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
            .or_else(|| (!declared.protocol.value.is_http()).then(|| format!("its protocol is {word}")));
        Listener {
            direction: Direction::Gateway,
            named: ListenerNaming::Gateway(format!("{}:{word}:{port}", gateway.header.name())),
            at: declared.at.clone(),
            path: declared.path.clone(),
            address: canonical(&dataplane.address.value),
            port,
            protocol,
            service: self.identity.to_owned(),
            upstreams: Vec::new(),
            reports_as: because
                .is_none()
                .then(|| self.reports_as(Direction::Gateway, self.identity, "")),
            untraced_reason: because,
        }
    }

    fn outbound(&self, routed: &ResolvedOutbound, upstreams: Vec<Upstream>) -> Listener {
        let own = routed.outbound.address.as_ref().map(|address| &address.value);
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
                ListenerNaming::Resource(self.resource_name(routed, service, port))
            }
            ResolvedDestination::Resource(..) | ResolvedDestination::Service(_) => {
                let written = own.map_or("127.0.0.1", |address| address.text.as_str());
                ListenerNaming::Address(written.to_owned())
            }
        };
        Listener {
            direction: Direction::Outbound,
            at: routed.outbound.at.clone(),
            path: routed.outbound.path.clone(),
            address: own.map_or_else(|| "127.0.0.1".to_owned(), |address| address.ip.to_string()),
            port: routed.outbound.port.value,
            protocol: routed.protocol.clone(),
            service: routed.service().to_owned(),
            upstreams,
            reports_as: because.is_none().then(|| {
                let to = match (routed.to, &named) {
                    (ResolvedDestination::Service(service), _) => service.to_owned(),
                    (_, ListenerNaming::Resource(identifier)) if self.is_new => identifier.clone(),
                    // Before 3.0, spans keep the older service name.
                    (ResolvedDestination::Resource(service, port), _) => destination_name(service, port),
                };
                self.reports_as(Direction::Outbound, "", &to)
            }),
            named,
            untraced_reason: because,
        }
    }

    /// One of the destinations of an outbound.
    fn upstream(&self, routed: &ResolvedOutbound, target: &Target, endpoints: Vec<Endpoint>) -> Upstream {
        let (service, cluster) = match target.to {
            ResolvedDestination::Service(service) => (service, cluster_name(service, &target.tags)),
            ResolvedDestination::Resource(service, port) if self.unified => {
                (&*service.header.display_name, self.resource_name(routed, service, port))
            }
            ResolvedDestination::Resource(service, port) => {
                (&*service.header.display_name, destination_name(service, port))
            }
        };
        Upstream {
            service: service.to_owned(),
            tags: target.tags.clone(),
            cluster,
            weight: target.weight,
            protocol: target.protocol.value,
            endpoints,
        }
    }

    /// The identifier of a destination, with the port as the outbound itself writes it.
    fn resource_name(&self, routed: &ResolvedOutbound, service: &MeshService, port: &Port) -> String {
        let own = match (&routed.outbound.to, routed.to) {
            (Destination::BackendRef(reference), ResolvedDestination::Resource(declared, _))
                if declared.header.id == service.header.id =>
            {
                reference.port.as_ref().map(|port| port.value)
            }
            _ => None,
        };
        identifier(service, own.unwrap_or(port.number.value))
    }
}

/// Kuma's name for the cluster of a service: the service, with a hash of all tags if it is narrowed down by some.
fn cluster_name(service: &str, tags: &Tags) -> String {
    if tags.is_empty() {
        return service.to_owned();
    }
    let mut all = tags.clone();
    all.insert(SERVICE.to_owned(), service.to_owned());
    let mut hash = Sha256::new();
    for (tag, value) in &all {
        hash.update(tag);
        hash.update(value);
    }
    let digest: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    match tags.get(MESH) {
        Some(mesh) => format!("{service}-{digest}_{mesh}"),
        None => format!("{service}-{digest}"),
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
        port.number.value
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

fn speaks(service: &str, protocol: Protocol) -> String {
    match protocol {
        Protocol::Unknown => format!("{service} has no protocol"),
        known => format!("{service} speaks {known}"),
    }
}

/// An IP address in canonical form; other names unchanged.
fn canonical(address: &str) -> String {
    address
        .parse::<IpAddr>()
        .map_or_else(|_| address.to_owned(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_named_as_kuma_names_them() {
        let tags = Tags::from([("version".to_owned(), "2.0".to_owned())]);
        assert_eq!(cluster_name("backend", &Tags::new()), "backend");
        // SHA-256 of `kuma.io/servicebackendversion2.0`, in hexadecimal, begins so.
        assert_eq!(cluster_name("backend", &tags), "backend-7ca7868fd5459179");
        let other = Tags::from([(MESH.to_owned(), "other".to_owned())]);
        assert!(cluster_name("backend", &other).ends_with("_other"));
    }
}
