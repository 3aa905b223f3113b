//! The destinations of a dataplane's outbounds, and whether a control plane would trace them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::destination::{ResolvedDestination, Services};
use super::mesh_route::{ListenerKind, MeshRoutes};
use super::target;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::kuma::{Fidelity, Kuma, Version};
use crate::resource::kinds::dataplane::{BackendRef, Dataplane, Destination, Outbound};
use crate::resource::kinds::mesh_gateway::MeshGateway;
use crate::resource::kinds::mesh_route::MeshRoute;
use crate::resource::kinds::traffic_route::TrafficRoute;
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::{Rank, SERVICE, Selector, Tags};
use crate::resource::{Effective, Located, Provenance, Resources};

/// An outbound and its destination.
#[derive(Debug, Clone)]
pub struct ResolvedOutbound<'a> {
    /// The outbound as declared.
    pub outbound: &'a Outbound,
    /// The destination.
    pub to: ResolvedDestination<'a>,
    /// The protocol of the destination.
    pub protocol: Effective<Protocol>,
    /// The reason why no policy can trace the outbound.
    pub untraced: Option<String>,
    /// The reason why a `TrafficTrace` cannot trace the outbound.
    pub untraced_by_traffic_trace: Option<String>,
}

impl ResolvedOutbound<'_> {
    /// The name of the destination service.
    #[must_use]
    pub fn service(&self) -> &str {
        match self.to {
            ResolvedDestination::Service(service) => service,
            ResolvedDestination::Resource(service, _) => &service.header.display_name,
        }
    }
}

pub(super) struct Routing<'a, 's> {
    pub(super) resources: &'a Resources,
    /// The `MeshGateway` that governs the dataplane.
    pub(super) gateway: Option<&'a MeshGateway>,
    /// Whether all dataplanes of the mesh could be read.
    pub(super) complete: bool,
    pub(super) services: &'s Services<'a>,
    pub(super) kuma: &'s Kuma,
    pub(super) hints: &'s BTreeMap<String, Protocol>,
}

impl<'a> Routing<'a, '_> {
    /// The outbounds of a dataplane; of those with the same address and port, one.
    pub(super) fn outbounds(
        &self,
        dataplane: &'a Dataplane,
        traced: bool,
        diagnostics: &mut Diagnostics,
    ) -> Vec<ResolvedOutbound<'a>> {
        let routes: Vec<&TrafficRoute> = (self.resources.traffic_routes.iter())
            .filter(|route| route.header.mesh() == dataplane.header.mesh())
            .collect();
        let mesh_routes = MeshRoutes {
            http: self.routes_for(dataplane, &self.resources.http_routes),
            tcp: self.routes_for(dataplane, &self.resources.tcp_routes),
            services: self.services,
            dataplane,
            beside_traffic_routes: !routes.is_empty(),
            version: self.kuma.version,
        };
        let router = Router {
            routing: self,
            dataplane,
            has_findings: traced && self.complete,
            routes,
            mesh_routes,
        };
        let mut routed: Vec<ResolvedOutbound> = Vec::new();
        for outbound in &dataplane.outbounds {
            let Some(next) = router.resolve(outbound, diagnostics) else {
                continue;
            };
            let same = |other: &ResolvedOutbound| place(other.outbound) == place(outbound);
            match routed.iter().position(same) {
                None => routed.push(next),
                // Without routes, Kuma merges the filter chains of both, and an opaque one wins.
                Some(i) if router.routes.is_empty() && !routed[i].protocol.value.is_http() => {}
                Some(i) => routed[i] = next,
            }
        }
        routed
    }

    fn routes_for(&self, dataplane: &'a Dataplane, routes: &'a [MeshRoute]) -> Vec<&'a MeshRoute> {
        let is_for = |route: &&MeshRoute| {
            route.header.mesh() == dataplane.header.mesh()
                && target::mismatch(&route.header, &route.target, dataplane, self.gateway).is_none()
        };
        routes.iter().filter(is_for).collect()
    }
}

/// The routes of one dataplane, by which its outbounds are resolved.
struct Router<'a, 'r> {
    routing: &'r Routing<'a, 'r>,
    dataplane: &'a Dataplane,
    /// Whether an outbound without destination is a finding: the dataplane is traced, and all dataplanes of the mesh
    /// could be read.
    has_findings: bool,
    /// The `TrafficRoute`s of the mesh.
    routes: Vec<&'a TrafficRoute>,
    mesh_routes: MeshRoutes<'a, 'r>,
}

impl<'a> Router<'a, '_> {
    /// The outbound with its destination; `None` when a control plane makes no listener for it.
    fn resolve(&self, outbound: &'a Outbound, diagnostics: &mut Diagnostics) -> Option<ResolvedOutbound<'a>> {
        match (&outbound.to, self.routing.kuma.fidelity) {
            (Destination::BackendRef(reference), _) => self.to_resource(outbound, reference, diagnostics),
            (Destination::Service { service, .. }, Fidelity::Exact) => self.exact(outbound, &service.value),
            (Destination::Service { service, protocol }, Fidelity::Documented) => {
                let mut resolved = self.documented(outbound, service, protocol.as_ref(), diagnostics);
                if let Some(route) = self.mesh_routes.opaque(ResolvedDestination::Service(&service.value)) {
                    resolved.protocol.value = Protocol::Tcp;
                    resolved.untraced = Some(format!("MeshTCPRoute {} makes it opaque", route.header.name()));
                }
                Some(resolved)
            }
        }
    }

    /// An outbound to a service that is a resource; `None`, as in Kuma, when the service does not exist.
    fn to_resource(
        &self,
        outbound: &'a Outbound,
        reference: &'a BackendRef,
        diagnostics: &mut Diagnostics,
    ) -> Option<ResolvedOutbound<'a>> {
        let Some((service, port)) = self.routing.services.resolve(self.dataplane, reference) else {
            if self.has_findings {
                let named = reference.name.as_ref().map_or_else(
                    || "with these labels".to_owned(),
                    |name| format!("`{}` with this port", name.value),
                );
                let message = format!(
                    "there is no {} {named}, so this outbound gets no listener",
                    reference.kind.value
                );
                let at = reference.name.as_ref().map_or(&outbound.at, |name| &name.origin.at);
                let path = format!("{}.backendRef", outbound.path);
                let finding = Diagnostic::warning(Code::UnknownDestination, at, message).path(path);
                let finding = finding.help(format!("declare it: `type: {}`", reference.kind.value));
                diagnostics.push(finding.resource(self.dataplane.header.document, (*self.dataplane.header.id).clone()));
            }
            return None;
        };
        let is_external = reference.kind.value == "MeshExternalService";
        let to = ResolvedDestination::Resource(service, port);
        let mut protocol = Effective::of(port.protocol.as_ref(), Protocol::Tcp);
        let made = match self.routing.kuma.fidelity {
            // Kuma 2.14 does not know the protocol `HTTP` in capitals, and makes neither listener.
            Fidelity::Exact if self.routing.kuma.version >= Version::V2_14 && !port.is_lowercase => {
                ListenerKind::Nothing
            }
            Fidelity::Exact => self.mesh_routes.listener(to, protocol.value),
            Fidelity::Documented if self.mesh_routes.opaque(to).is_some() => ListenerKind::Tcp,
            Fidelity::Documented => ListenerKind::Http,
        };
        match made {
            ListenerKind::Nothing => return None,
            ListenerKind::Tcp => protocol.value = Protocol::Tcp,
            ListenerKind::Http if self.routing.kuma.fidelity == Fidelity::Exact && !protocol.value.is_http() => {
                protocol.value = Protocol::Http;
            }
            ListenerKind::Http => {}
        }
        Some(ResolvedOutbound {
            outbound,
            to,
            protocol,
            untraced: is_external.then(|| "policies do not apply to a MeshExternalService".to_owned()),
            untraced_by_traffic_trace: Some("a TrafficTrace does not apply to outbounds with `backendRef`".to_owned()),
        })
    }

    /// The outbound as the control plane resolves it: a `TrafficTrace` applies only through a `TrafficRoute`. `None`
    /// without a listener.
    fn exact(&self, outbound: &'a Outbound, service: &'a str) -> Option<ResolvedOutbound<'a>> {
        let protocol_of = |service: &str| {
            let known = self.routing.services.protocol(self.dataplane.header.mesh(), service);
            known.unwrap_or_else(|| Effective::of(None, Protocol::Unknown))
        };
        let both = |a: Effective<Protocol>, b: Effective<Protocol>| Effective {
            value: a.value.common(b.value),
            ..a
        };
        let own = protocol_of(service);
        let routed = |protocol, untraced: Option<&str>, by_traffic_trace: Option<&str>| ResolvedOutbound {
            outbound,
            to: ResolvedDestination::Service(service),
            protocol,
            untraced: untraced.map(str::to_owned),
            untraced_by_traffic_trace: by_traffic_trace.map(str::to_owned),
        };
        let by_none = "no TrafficRoute in this mesh, and Kuma traces outbounds only through one";
        let by_route = "a MeshHTTPRoute replaces the TrafficRoute";
        let because = if self.routes.is_empty() { by_none } else { by_route };
        Some(
            match self
                .mesh_routes
                .listener(ResolvedDestination::Service(service), own.value)
            {
                ListenerKind::Nothing if self.routes.is_empty() => return None,
                ListenerKind::Tcp => {
                    let opaque = own.value.is_http().then_some("a MeshTCPRoute makes it opaque");
                    let protocol = Effective {
                        value: if own.value.is_http() { Protocol::Tcp } else { own.value },
                        ..own
                    };
                    routed(protocol, opaque, Some(because))
                }
                ListenerKind::Http => {
                    let protocol = Effective {
                        value: if own.value.is_http() { own.value } else { Protocol::Http },
                        ..own
                    };
                    routed(protocol, None, Some(because))
                }
                ListenerKind::Nothing => match route_of(self.dataplane, service, &self.routes) {
                    Some(route) => {
                        let protocol = route.services(service).map(protocol_of).reduce(both);
                        routed(protocol.unwrap_or(own), None, None)
                    }
                    None => {
                        let lost = "none of the TrafficRoutes leads to this service";
                        routed(own, Some(lost), Some(lost))
                    }
                },
            },
        )
    }

    /// The outbound as the documentation describes it: traced whenever the destination speaks HTTP.
    fn documented(
        &self,
        outbound: &'a Outbound,
        named: &'a Located<String>,
        own: Option<&Located<Protocol>>,
        diagnostics: &mut Diagnostics,
    ) -> ResolvedOutbound<'a> {
        let service = &*named.value;
        let known = self.routing.services.protocol(self.dataplane.header.mesh(), service);
        let by_setting = |&value: &Protocol| {
            let source = Provenance::Setting(format!("services.{service}"));
            Effective { value, source }
        };
        let by_outbound = |own| Effective::of(Some(own), Protocol::Unknown);
        let hint = || {
            self.routing
                .hints
                .get(service)
                .map(by_setting)
                .or_else(|| own.map(by_outbound))
        };
        let Some(protocol) = known.or_else(hint) else {
            if self.has_findings {
                let message = format!(
                    "no dataplane here belongs to the service `{service}`, so its protocol is not known and this outbound is not traced"
                );
                let help = format!(
                    "set the protocol in the settings (`services: {{{service}: http}}`) or on the outbound (`kuma.io/protocol: http` in its tags)"
                );
                let diagnostic = Diagnostic::warning(Code::UnknownDestination, &named.origin.at, message)
                    .help(help)
                    .path(&named.origin.path);
                diagnostics
                    .push(diagnostic.resource(self.dataplane.header.document, (*self.dataplane.header.id).clone()));
            }
            return ResolvedOutbound {
                outbound,
                to: ResolvedDestination::Service(service),
                protocol: Effective::of(None, Protocol::Unknown),
                untraced: Some(format!("the protocol of {service} is not known")),
                untraced_by_traffic_trace: None,
            };
        };
        ResolvedOutbound {
            outbound,
            to: ResolvedDestination::Service(service),
            protocol,
            untraced: None,
            untraced_by_traffic_trace: None,
        }
    }
}

fn place(outbound: &Outbound) -> (IpAddr, u16) {
    (
        (outbound.address.as_ref()).map_or(Ipv4Addr::LOCALHOST.into(), |address| address.value.ip),
        outbound.port.value,
    )
}

/// The most specific route for a service: by the combined rank of its best source and destination selectors,
/// then by name.
fn route_of<'a>(dataplane: &Dataplane, service: &str, routes: &[&'a TrafficRoute]) -> Option<&'a TrafficRoute> {
    let outbound: Tags = [(SERVICE.to_owned(), service.to_owned())].into();
    let best = |selectors: &[Selector], matches: &dyn Fn(&Selector) -> bool| -> Option<Rank> {
        selectors
            .iter()
            .filter(|selector| matches(selector))
            .map(Selector::rank)
            .max()
    };
    let mut winner: Option<(Rank, &'a TrafficRoute)> = None;
    for route in routes {
        let source = best(&route.sources, &|selector| {
            dataplane.tag_sets().any(|tags| selector.matches(tags))
        });
        let destination = best(&route.destinations, &|selector| selector.matches(&outbound));
        let (Some(source), Some(destination)) = (source, destination) else {
            continue;
        };
        let rank = source.with(destination);
        if winner.is_none_or(|(best, _)| rank > best) {
            winner = Some((rank, route));
        }
    }
    winner.map(|(_, route)| route)
}
