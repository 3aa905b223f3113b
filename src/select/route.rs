//! The destinations of a dataplane's outbounds, and whether a control plane would trace them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::destination::{ResolvedDestination, Target};
use super::inquiry::{Inquiry, Sources};
use super::instances::common_of_two;
use super::mesh_route::{ListenerKind, MeshRoutes, Routed, hinted};
use super::policies::Policies;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::keep::Text;
use crate::kuma::{Fidelity, Kuma, Version};
use crate::resource::kinds::dataplane::{BackendRef, Dataplane, Destination, Outbound};
use crate::resource::kinds::mesh_service::Port;
use crate::resource::kinds::traffic_route::{TrafficRoute, WeightedTags};
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::{self, PROTOCOL, SERVICE, Tags};
use crate::resource::{Effective, Origin, Spanned, TextMap};

/// An outbound and its destination.
#[derive(Debug, Clone)]
pub struct ResolvedOutbound<'a> {
    /// The outbound as declared.
    pub outbound: &'a Outbound,
    /// The destination as declared.
    pub to: ResolvedDestination<'a>,
    /// The destinations among which routes split the requests; empty when a control plane closes the connections.
    pub targets: Vec<Target<'a>>,
    /// The rules of routes that the destinations do not express.
    pub left_out: Vec<&'a Origin>,
    /// The load balancer that a route asks for.
    pub load_balancer: Option<&'a Origin>,
    /// The protocol of the destinations.
    pub protocol: Effective<Protocol>,
    /// The reason why no policy can trace the outbound.
    pub untraced: Option<Text>,
    /// The reason why a `TrafficTrace` cannot trace the outbound.
    pub untraced_by_traffic_trace: Option<Text>,
}

impl ResolvedOutbound<'_> {
    /// The name of the destination service.
    #[must_use]
    pub fn service(&self) -> &Text {
        match self.to {
            ResolvedDestination::Service(service) => service,
            ResolvedDestination::Resource(service, _) => &service.header.display_name,
        }
    }
}

/// The routes for one dataplane, and what they are resolved with.
pub(super) struct Routing<'a, 's> {
    pub(super) policies: &'a Policies,
    /// Whether all dataplanes of the mesh could be read.
    pub(super) complete: bool,
    pub(super) services: Inquiry<'a>,
    pub(super) kuma: &'s Kuma,
    pub(super) hints: &'s BTreeMap<String, Protocol>,
}

impl<'a> Routing<'a, '_> {
    /// The outbounds of a dataplane; of those with the same address and port, one. And the services that they, and what
    /// is made of them, depend on.
    pub(super) fn outbounds(
        self,
        dataplane: &'a Dataplane,
        diagnostics: &mut Diagnostics,
    ) -> (Vec<ResolvedOutbound<'a>>, Sources) {
        static NO_HINTS: BTreeMap<String, Protocol> = BTreeMap::new();
        let mesh_routes = MeshRoutes {
            http: &self.policies.http_routes,
            tcp: &self.policies.tcp_routes,
            services: &self.services,
            beside_traffic_routes: !self.policies.traffic_routes.is_without_any(),
            version: self.kuma.version,
            hints: match self.kuma.fidelity {
                Fidelity::Documented => self.hints,
                Fidelity::Exact => &NO_HINTS,
            },
        };
        let router = Router {
            routing: &self,
            dataplane,
            traced: self.policies.trace(),
            mesh_routes,
        };
        let mut routed: Vec<ResolvedOutbound> = Vec::with_capacity(dataplane.outbounds.len());
        let mut places: BTreeMap<(IpAddr, u16), usize> = BTreeMap::new();
        for outbound in &dataplane.outbounds {
            let Some(next) = router.resolve(outbound, diagnostics) else {
                continue;
            };
            let i = *places.entry(place(outbound)).or_insert(routed.len());
            match routed.get(i) {
                None => routed.push(next),
                // Without routes, Kuma merges the filter chains of both, and an opaque one wins.
                Some(other) if self.policies.traffic_routes.is_without_any() && !other.protocol.value.is_http() => {}
                Some(_) => routed[i] = next,
            }
        }
        for outbound in &routed {
            router.report_lost(outbound, diagnostics);
            for target in &outbound.targets {
                if let ResolvedDestination::Service(service) = target.to {
                    self.services.note(service);
                }
            }
        }
        (routed, self.services.into_sources())
    }
}

/// The routes of one dataplane, by which its outbounds are resolved.
struct Router<'a, 'r> {
    routing: &'r Routing<'a, 'r>,
    dataplane: &'a Dataplane,
    /// Whether a policy traces the dataplane.
    traced: bool,
    mesh_routes: MeshRoutes<'a, 'r>,
}

impl<'a> Router<'a, '_> {
    /// The outbound with its destination; `None` when a control plane makes no listener for it.
    fn resolve(&self, outbound: &'a Outbound, diagnostics: &mut Diagnostics) -> Option<ResolvedOutbound<'a>> {
        match (&outbound.to, self.routing.kuma.fidelity) {
            (Destination::BackendRef(reference), _) => self.to_resource(outbound, reference, diagnostics),
            (Destination::Service { service, tags }, Fidelity::Exact) => {
                self.exact(outbound, &service.value, tags.as_deref())
            }
            (Destination::Service { service, tags }, Fidelity::Documented) => {
                Some(self.documented(outbound, service, tags.as_deref(), diagnostics))
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
        let Some((service, port)) = self.routing.services.resolve(reference) else {
            self.report_no_resource(outbound, reference, diagnostics);
            return None;
        };
        let is_external = reference.kind.value == "MeshExternalService";
        let to = ResolvedDestination::Resource(service, port);
        let own = Effective::of(port.protocol.as_ref(), Protocol::Tcp);
        let mut protocol = own.clone();
        let made = self.listener_to(to, port, own.value);
        let routed = match made {
            ListenerKind::Nothing => return None,
            ListenerKind::Tcp => {
                if own.value.is_http() {
                    protocol.value = Protocol::Tcp;
                }
                self.mesh_routes.routed_tcp(to)
            }
            ListenerKind::Http => self.mesh_routes.routed_http(to).unwrap_or_default(),
        };
        let routed = routed.or(Target {
            to,
            tags: Tags::new(),
            weight: 1,
            protocol: own,
        });
        match self.routing.kuma.fidelity {
            Fidelity::Exact if made == ListenerKind::Http && !protocol.value.is_http() => {
                protocol.value = Protocol::Http;
            }
            Fidelity::Documented if made == ListenerKind::Http => protocol = common(&routed.targets, protocol),
            Fidelity::Exact | Fidelity::Documented => {}
        }
        Some(ResolvedOutbound {
            outbound,
            to,
            targets: routed.targets,
            left_out: routed.left_out,
            load_balancer: routed.load_balancer,
            protocol,
            untraced: is_external.then(|| "policies do not apply to a MeshExternalService".into()),
            untraced_by_traffic_trace: Some("a TrafficTrace does not apply to outbounds with `backendRef`".into()),
        })
    }

    /// The kind of listener for a port of a resource that speaks the given protocol.
    fn listener_to(&self, to: ResolvedDestination<'a>, port: &Port, protocol: Protocol) -> ListenerKind {
        match self.routing.kuma.fidelity {
            // Kuma 2.14 does not know the protocol `HTTP` in capitals, and makes neither listener.
            Fidelity::Exact if self.routing.kuma.version >= Version::V2_14 && !port.is_lowercase => {
                ListenerKind::Nothing
            }
            Fidelity::Exact => self.mesh_routes.listener(to, protocol),
            // A MeshHTTPRoute does not reach destinations that do not speak HTTP.
            Fidelity::Documented if self.mesh_routes.opaque(to).is_some() || !protocol.is_http() => ListenerKind::Tcp,
            Fidelity::Documented => ListenerKind::Http,
        }
    }

    /// The outbound as the control plane resolves it: a `TrafficTrace` applies only through a `TrafficRoute`. `None`
    /// without a listener.
    fn exact(&self, outbound: &'a Outbound, service: &'a Text, tags: Option<&TextMap>) -> Option<ResolvedOutbound<'a>> {
        let to = ResolvedDestination::Service(service);
        let tags = tags.map(tags::plain).unwrap_or_default();
        // A control plane knows one protocol per service, whatever the tags.
        let own = self.known_protocol(service, &Tags::new());
        let itself = Target {
            to,
            tags: tags.clone(),
            weight: 1,
            protocol: own.clone(),
        };
        let resolved =
            |routed: Routed<'a>, protocol, untraced: Option<&str>, by_traffic_trace: &str| ResolvedOutbound {
                outbound,
                to,
                targets: routed.targets,
                left_out: routed.left_out,
                load_balancer: routed.load_balancer,
                protocol,
                untraced: untraced.map(Into::into),
                untraced_by_traffic_trace: Some(by_traffic_trace.into()),
            };
        let because = if self.routing.policies.traffic_routes.is_without_any() {
            "no TrafficRoute in this mesh, and Kuma traces outbounds only through one"
        } else {
            "a MeshHTTPRoute replaces the TrafficRoute"
        };
        let speaks = |protocol, own: Effective<Protocol>| Effective { value: protocol, ..own };
        Some(match self.mesh_routes.listener(to, own.value) {
            ListenerKind::Nothing if self.routing.policies.traffic_routes.is_without_any() => return None,
            ListenerKind::Tcp => {
                let is_http = own.value.is_http();
                let opaque = is_http.then_some("a MeshTCPRoute makes it opaque");
                let protocol = if is_http { Protocol::Tcp } else { own.value };
                let routed = self.mesh_routes.routed_tcp(to).or(itself);
                resolved(routed, speaks(protocol, own), opaque, because)
            }
            ListenerKind::Http => {
                let protocol = if own.value.is_http() { own.value } else { Protocol::Http };
                let routed = self.mesh_routes.routed_http(to).unwrap_or_default().or(itself);
                resolved(routed, speaks(protocol, own), None, because)
            }
            ListenerKind::Nothing => match self.routing.policies.traffic_routes.to(service) {
                Some(route) => {
                    let by_route = self.by_traffic_route(route, service, &tags);
                    let all = route.all_targets().map(|target| self.routed(target, service, &tags));
                    let protocol = common(&all.collect::<Vec<_>>(), own);
                    ResolvedOutbound {
                        untraced_by_traffic_trace: None,
                        ..resolved(by_route, protocol, None, "")
                    }
                }
                None => {
                    let lost = "none of the TrafficRoutes leads to this service";
                    resolved(Routed::default(), own, Some(lost), lost)
                }
            },
        })
    }

    /// The outbound as the documentation describes it: traced whenever the destination speaks HTTP.
    fn documented(
        &self,
        outbound: &'a Outbound,
        named: &'a Spanned<Text>,
        written: Option<&'a TextMap>,
        diagnostics: &mut Diagnostics,
    ) -> ResolvedOutbound<'a> {
        let service = &named.value;
        let to = ResolvedDestination::Service(service);
        let itself = self.itself(service, written);
        let own = itself.protocol.clone();
        let opaque = self.mesh_routes.opaque(to);
        // A MeshHTTPRoute does not reach destinations that do not speak HTTP.
        let by_http = self.mesh_routes.routed_http(to).filter(|_| own.value.is_http());
        let routed = match (opaque, by_http) {
            (Some(_), _) => self.mesh_routes.routed_tcp(to),
            (None, Some(routed)) => routed,
            (None, None) => self
                .routing
                .policies
                .traffic_routes
                .to(service)
                .map(|route| self.by_traffic_route(route, service, &itself.tags))
                .unwrap_or_default(),
        };
        let routed = routed.or(itself);
        let unknown = routed.targets.iter().find_map(|target| match target.to {
            ResolvedDestination::Service(name) => (!self.knows(name) && !target.protocol.is_written()).then_some(name),
            ResolvedDestination::Resource(..) => None,
        });
        let mut protocol = common(&routed.targets, own);
        let untraced = match (opaque, unknown) {
            (Some(route), _) => {
                protocol.value = Protocol::Tcp;
                Some(format!("MeshTCPRoute {} makes it opaque", route.header.name()).into())
            }
            (None, Some(unknown)) => {
                self.report_unknown(outbound, named, unknown, diagnostics);
                protocol = Effective::of(None, Protocol::Unknown);
                Some(format!("the protocol of {unknown} is not known").into())
            }
            (None, None) => None,
        };
        ResolvedOutbound {
            outbound,
            to,
            targets: routed.targets,
            left_out: routed.left_out,
            load_balancer: routed.load_balancer,
            protocol,
            untraced,
            untraced_by_traffic_trace: None,
        }
    }

    /// The destination of an outbound as declared: its protocol is that of its instances, by the settings, or by the
    /// outbound itself.
    fn itself(&self, service: &'a Text, written: Option<&TextMap>) -> Target<'a> {
        let tags = written.map(tags::plain).unwrap_or_default();
        let known = self.known_protocol(service, &tags);
        let by_outbound = || {
            let written = written?.get(PROTOCOL)?;
            let protocol = written.clone().map(|name| Protocol::parse(&name));
            Some(Effective::of(Some(&protocol), Protocol::Unknown))
        };
        let is_known = self.knows(service) || known.is_written();
        Target {
            to: ResolvedDestination::Service(service),
            tags,
            weight: 1,
            protocol: if is_known {
                known
            } else {
                by_outbound().unwrap_or(known)
            },
        }
    }

    /// The destinations that a `TrafficRoute` gives to the requests of an outbound, without the part for some
    /// requests of HTTP only.
    fn by_traffic_route(&self, route: &'a TrafficRoute, service: &'a Text, tags: &Tags) -> Routed<'a> {
        let targets = route.targets.iter().map(|target| self.routed(target, service, tags));
        Routed {
            targets: targets.collect(),
            left_out: route.http.iter().map(|rule| &rule.origin).collect(),
            load_balancer: route.load_balancer.as_ref(),
        }
    }

    /// A destination of a `TrafficRoute` for an outbound with the given service and other tags.
    fn routed(&self, target: &'a WeightedTags, service: &'a Text, tags: &Tags) -> Target<'a> {
        let own = target.tags.get(SERVICE);
        let service = own.filter(|own| *own != "*").unwrap_or(service);
        let mut tags = target.for_outbound(tags);
        tags.remove(SERVICE);
        let narrow = match self.routing.kuma.fidelity {
            Fidelity::Documented => &tags,
            Fidelity::Exact => &Tags::new(),
        };
        Target {
            to: ResolvedDestination::Service(service),
            weight: target.weight,
            protocol: self.known_protocol(service, narrow),
            tags,
        }
    }

    /// The protocol of a service, of its instances or by the settings.
    fn known_protocol(&self, service: &Text, tags: &Tags) -> Effective<Protocol> {
        let known = self.routing.services.protocol(service, tags);
        let known = known.or_else(|| hinted(self.mesh_routes.hints, service));
        known.unwrap_or_else(|| Effective::of(None, Protocol::Unknown))
    }

    fn knows(&self, service: &Text) -> bool {
        self.routing.services.knows(service)
    }

    fn report_no_resource(&self, outbound: &Outbound, reference: &BackendRef, diagnostics: &mut Diagnostics) {
        if !self.traced || !self.routing.complete {
            return;
        }
        let named = reference.name.as_ref().map_or_else(
            || "with these labels".to_owned(),
            |name| format!("`{}` with this port", name.value),
        );
        let kind = &reference.kind.value;
        let message = format!("there is no {kind} {named}, so this outbound gets no listener");
        let own = || self.dataplane.header.location(outbound.span);
        let at = reference.name.as_ref().map_or_else(own, |name| name.origin.at.clone());
        let finding = Diagnostic::warning(Code::UnknownDestination, &at, message);
        let finding = finding.path(format!("{}.backendRef", outbound.path));
        self.report(finding.help(format!("declare it: `type: {kind}`")), diagnostics);
    }

    fn report_unknown(&self, outbound: &Outbound, named: &Spanned<Text>, service: &str, diagnostics: &mut Diagnostics) {
        if !self.traced || !self.routing.complete {
            return;
        }
        let message = format!(
            "no dataplane here belongs to the service `{service}`, so its protocol is not known and this outbound is not traced"
        );
        let in_settings = format!("set the protocol in the settings (`services: {{{service}: http}}`)");
        let help = if service == named.value {
            format!("{in_settings} or on the outbound (`kuma.io/protocol: http` in its tags)")
        } else {
            in_settings
        };
        let at = self.dataplane.header.location(named.span);
        let finding = Diagnostic::warning(Code::UnknownDestination, &at, message);
        self.report(finding.help(help).path(outbound.service_path()), diagnostics);
    }

    /// Reports an outbound of which no endpoint has the tags.
    fn report_lost(&self, outbound: &ResolvedOutbound, diagnostics: &mut Diagnostics) {
        for target in outbound.targets.iter().filter(|_| self.routing.complete) {
            let ResolvedDestination::Service(service) = target.to else {
                continue;
            };
            if !self.routing.services.lacks(service, &target.tags) {
                continue;
            }
            let tags: Vec<String> = target
                .tags
                .iter()
                .map(|(tag, value)| format!("{tag}: {value}"))
                .collect();
            let noun = if tags.len() == 1 { "the tag" } else { "all of the tags" };
            let message = format!(
                "no dataplane of the service `{service}` has {noun} `{}`, so requests of this outbound fail",
                tags.join(", ")
            );
            let named = match &outbound.outbound.to {
                Destination::Service { tags, .. } => tags.as_ref().and_then(|tags| tags.values().next()),
                Destination::BackendRef(_) => None,
            };
            let own = || self.dataplane.header.location(outbound.outbound.span);
            let at = named.map_or_else(own, |tag| tag.origin.at.clone());
            let path = named.map_or(&outbound.outbound.path, |tag| &tag.origin.path);
            let finding = Diagnostic::warning(Code::UnknownDestination, &at, message).path(path);
            let help = "tags of an outbound narrow down its endpoints; only an inbound with all of them is one";
            self.report(finding.help(help), diagnostics);
        }
    }

    fn report(&self, finding: Diagnostic, diagnostics: &mut Diagnostics) {
        let header = &self.dataplane.header;
        diagnostics.push(finding.resource(header.document, &header.id));
    }
}

impl<'a> Routed<'a> {
    /// The destinations, or the given one when routes name none.
    fn or(mut self, itself: Target<'a>) -> Self {
        if self.targets.is_empty() {
            self.targets = vec![itself];
        }
        self
    }
}

/// The common protocol of all destinations.
fn common(targets: &[Target], otherwise: Effective<Protocol>) -> Effective<Protocol> {
    let protocols = targets.iter().map(|target| target.protocol.clone());
    protocols.reduce(common_of_two).unwrap_or(otherwise)
}

fn place(outbound: &Outbound) -> (IpAddr, u16) {
    (
        (outbound.address.as_ref()).map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip),
        outbound.port,
    )
}
