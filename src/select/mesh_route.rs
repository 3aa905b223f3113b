//! The effect of `MeshHTTPRoute` and `MeshTCPRoute` on the outbounds of a dataplane.
//!
//! A control plane makes listeners in three passes: by `TrafficRoute` if the mesh has any, then for HTTP, then for
//! TCP. A later pass replaces the listeners of an earlier one. The last two passes are skipped if the mesh has
//! `TrafficRoute`s and no route of those passes has a destination by tags.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashMap;

use super::destination::{ResolvedDestination, Target};
use super::inquiry::Inquiry;
use super::target;
use crate::keep::Text;
use crate::kuma::Version;
use crate::resource::kinds::mesh_route::{MeshRoute, RouteRule, RouteTo, WeightedRef};
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::{self, Tags};
use crate::resource::{Effective, Origin, Provenance};

/// The kind of listener that the routes make for an outbound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenerKind {
    /// A listener that parses HTTP.
    Http,
    /// A listener that forwards TCP.
    Tcp,
    /// No listener; one made by a `TrafficRoute` stays.
    Nothing,
}

/// The destinations that routes give to the requests of an outbound.
#[derive(Debug, Clone, Default)]
pub(super) struct Routed<'a> {
    /// The destinations; empty when requests go to the destination of the outbound itself.
    pub(super) targets: Vec<Target<'a>>,
    /// The rules for some requests only, or with filters: the destinations do not express them.
    pub(super) left_out: Vec<&'a Origin>,
    /// The load balancer that a route asks for.
    pub(super) load_balancer: Option<&'a Origin>,
}

/// The routes of one kind for a dataplane, by increasing precedence, with their entries by destination.
#[derive(Debug)]
pub(super) struct Routes {
    /// Each entry as its route and the index in that.
    entries: Vec<(Arc<MeshRoute>, usize)>,
    /// The entries for any service, as indices.
    any_service: Vec<usize>,
    /// The entries for a service by its tag.
    by_service: HashMap<Text, Vec<usize>>,
    /// The entries that name a resource.
    by_resource: HashMap<Text, Vec<usize>>,
    /// The entries that refer to a resource by labels.
    by_labels: Vec<usize>,
    /// Whether an entry is for services by tags.
    is_by_tags: bool,
}

impl Routes {
    /// The given routes, which are in the order of their names.
    pub(super) fn of(mut routes: Vec<Arc<MeshRoute>>) -> Self {
        target::sort(&mut routes);
        let each = |route: Arc<MeshRoute>| (0..route.to.len()).map(move |to| (Arc::clone(&route), to));
        let mut sorted = Self {
            entries: routes.into_iter().flat_map(each).collect(),
            any_service: Vec::new(),
            by_service: HashMap::default(),
            by_resource: HashMap::default(),
            by_labels: Vec::new(),
            is_by_tags: false,
        };
        for (i, (route, to)) in sorted.entries.iter().enumerate() {
            let to = &route.to[*to];
            sorted.is_by_tags |= to.is_by_tags();
            let name = to.destination.as_ref().map(|reference| reference.name.as_ref());
            match name {
                _ if to.is_for_any_service() => sorted.any_service.push(i),
                Some(Some(name)) if to.is_by_tags() => sorted.by_service.entry(name.value.clone()).or_default().push(i),
                _ => {}
            }
            match name {
                Some(Some(name)) => sorted.by_resource.entry(name.value.clone()).or_default().push(i),
                Some(None) => sorted.by_labels.push(i),
                None => {}
            }
        }
        sorted
    }

    /// The entries that may be for a destination, by increasing precedence.
    fn candidates(&self, destination: ResolvedDestination) -> Vec<(&MeshRoute, &RouteTo)> {
        let (by_name, others) = match destination {
            ResolvedDestination::Service(service) => (self.by_service.get(service.as_str()), &self.any_service),
            ResolvedDestination::Resource(service, _) => (
                self.by_resource.get(service.header.display_name.as_str()),
                &self.by_labels,
            ),
        };
        let mut found: Vec<usize> = by_name.into_iter().flatten().chain(others).copied().collect();
        found.sort_unstable();
        let entry = |i: usize| {
            let (route, to) = &self.entries[i];
            (&**route, &route.to[*to])
        };
        found.into_iter().map(entry).collect()
    }
}

/// The routes for a dataplane.
pub(super) struct MeshRoutes<'a, 's> {
    pub(super) http: &'a Routes,
    pub(super) tcp: &'a Routes,
    pub(super) services: &'s Inquiry<'a>,
    /// Whether the mesh has `TrafficRoute`s.
    pub(super) beside_traffic_routes: bool,
    pub(super) version: Version,
    /// The protocols of services without instances.
    pub(super) hints: &'s BTreeMap<String, Protocol>,
}

impl<'a> MeshRoutes<'a, '_> {
    /// The listener for a destination with the given protocol.
    pub(super) fn listener(&self, destination: ResolvedDestination<'a>, protocol: Protocol) -> ListenerKind {
        let tcp = self.runs(self.tcp).then(|| self.tcp_listener(destination, protocol));
        if tcp == Some(true) {
            return ListenerKind::Tcp;
        }
        let http = self.runs(self.http) && self.http_listener(destination, protocol);
        if http {
            ListenerKind::Http
        } else {
            ListenerKind::Nothing
        }
    }

    /// The `MeshTCPRoute` that makes requests to a destination opaque, when the protocol is not known.
    pub(super) fn opaque(&self, destination: ResolvedDestination<'a>) -> Option<&'a MeshRoute> {
        if self.rules(self.http, destination).is_some() {
            return None;
        }
        let mut entries = self.tcp.candidates(destination).into_iter();
        let (route, _) = entries.find(|(_, to)| self.is_for(to, destination))?;
        Some(route)
    }

    /// The destinations by `MeshTCPRoute` of connections to a destination.
    pub(super) fn routed_tcp(&self, destination: ResolvedDestination<'a>) -> Routed<'a> {
        let rules = self.rules(self.tcp, destination).unwrap_or_default();
        self.routed(&rules, |_| true)
    }

    /// The destinations by `MeshHTTPRoute` of requests to a destination; without those that do not speak HTTP, as in
    /// Kuma. `None` when no route is for the destination.
    pub(super) fn routed_http(&self, destination: ResolvedDestination<'a>) -> Option<Routed<'a>> {
        let rules = self.rules(self.http, destination)?;
        Some(self.routed(&rules, |target| target.protocol.value.is_http()))
    }

    /// The destinations by rules in order of precedence: those of the last one for every request.
    fn routed(&self, rules: &[&'a RouteRule], fits: impl Fn(&Target) -> bool) -> Routed<'a> {
        let mut routed = Routed::default();
        for rule in rules {
            let leads = rule.backend_refs.as_ref();
            if rule.has_filters || (!rule.is_catch_all && leads.is_some()) {
                routed.left_out.push(&rule.origin);
            }
            if let Some(leads) = leads.filter(|_| rule.is_catch_all) {
                routed.targets = leads.iter().filter_map(|lead| self.target(lead)).collect();
            }
        }
        routed.targets.retain(fits);
        routed
    }

    /// The destination that a route names; `None` when it is a resource that does not exist.
    fn target(&self, lead: &'a WeightedRef) -> Option<Target<'a>> {
        let WeightedRef { weight, reference } = lead;
        if reference.is_of_resource() {
            let (service, port) = self.services.resolve(reference)?;
            return Some(Target {
                to: ResolvedDestination::Resource(service, port),
                tags: Tags::new(),
                weight: *weight,
                protocol: Effective::of(port.protocol.as_ref(), Protocol::Tcp),
            });
        }
        let service = &reference.name.as_ref()?.value;
        let tags = tags::plain(&reference.tags);
        let known = self.services.protocol(service, &tags);
        let known = known.or_else(|| hinted(self.hints, service));
        Some(Target {
            to: ResolvedDestination::Service(service),
            tags,
            weight: *weight,
            protocol: known.unwrap_or_else(|| Effective::of(None, Protocol::Unknown)),
        })
    }

    fn runs(&self, routes: &Routes) -> bool {
        !self.beside_traffic_routes || routes.is_by_tags
    }

    fn http_listener(&self, destination: ResolvedDestination<'a>, protocol: Protocol) -> bool {
        let rules = self.rules(self.http, destination).unwrap_or_default();
        let takes_all = rules.iter().any(|rule| rule.is_catch_all);
        // Without a matching rule, requests go to the destination itself; up to 2.13 also with a rule without
        // backends.
        let by_default = protocol.is_http() && (!takes_all || self.version < Version::V2_14);
        by_default
            || rules.iter().any(|rule| {
                let leads = rule.backend_refs.as_ref();
                leads.map_or(protocol.is_http(), |leads| {
                    let mut targets = leads.iter().filter_map(|lead| self.target(lead));
                    targets.any(|target| target.protocol.value.is_http())
                })
            })
    }

    fn tcp_listener(&self, destination: ResolvedDestination<'a>, protocol: Protocol) -> bool {
        let rules = self.rules(self.tcp, destination);
        if protocol.is_http() && (rules.is_none() || self.rules(self.http, destination).is_some()) {
            return false;
        }
        rules.is_none_or(|rules| rules.iter().any(|rule| rule.backend_refs.is_some()))
    }

    /// The rules for a destination; `None` when no route matches it.
    fn rules(&self, routes: &'a Routes, destination: ResolvedDestination<'a>) -> Option<Vec<&'a RouteRule>> {
        let entries = routes.candidates(destination).into_iter().map(|(_, to)| to);
        let mut entries = entries.filter(|to| self.is_for(to, destination)).peekable();
        entries.peek()?;
        Some(entries.flat_map(|to| &to.rules).collect())
    }

    /// Whether an entry is for a destination; it must be among the candidates for it.
    fn is_for(&self, to: &'a RouteTo, destination: ResolvedDestination) -> bool {
        match destination {
            ResolvedDestination::Service(_) => true,
            ResolvedDestination::Resource(service, port) => {
                let Some(reference) = &to.destination else { return false };
                let resolved = self.services.resolve(reference);
                resolved.is_some_and(|(other, _)| {
                    let is_port = reference.port.as_ref().is_none_or(|own| own.value == port.number);
                    let is_section = (reference.section.as_ref()).is_none_or(|section| port.is_called(&section.value));
                    other.header.id == service.header.id && is_port && is_section
                })
            }
        }
    }
}

/// The protocol that the settings give to a service.
pub(super) fn hinted(hints: &BTreeMap<String, Protocol>, service: &str) -> Option<Effective<Protocol>> {
    let source = || Provenance::Setting(format!("services.{service}"));
    hints.get(service).map(|&value| Effective {
        value,
        source: source(),
    })
}
