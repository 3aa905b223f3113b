//! The effect of `MeshHTTPRoute` and `MeshTCPRoute` on the outbounds of a dataplane.
//!
//! A control plane makes listeners in three passes: by `TrafficRoute` if the mesh has any, then for HTTP, then for
//! TCP. A later pass replaces the listeners of an earlier one. The last two passes are skipped if the mesh has
//! `TrafficRoute`s and no route of those passes has a destination by tags.

use super::destination::{ResolvedDestination, Services};
use crate::kuma::Version;
use crate::resource::kinds::dataplane::{BackendRef, Dataplane};
use crate::resource::kinds::mesh_route::{MeshRoute, RouteRule, RouteTo};
use crate::resource::value::protocol::Protocol;

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

/// The routes for a dataplane.
pub(super) struct MeshRoutes<'a, 's> {
    pub(super) http: Vec<&'a MeshRoute>,
    pub(super) tcp: Vec<&'a MeshRoute>,
    pub(super) services: &'s Services<'a>,
    pub(super) dataplane: &'a Dataplane,
    /// Whether the mesh has `TrafficRoute`s.
    pub(super) beside_traffic_routes: bool,
    pub(super) version: Version,
}

impl<'a> MeshRoutes<'a, '_> {
    /// The listener for a destination with the given protocol.
    pub(super) fn listener(&self, destination: ResolvedDestination<'a>, protocol: Protocol) -> ListenerKind {
        let tcp = self.runs(&self.tcp).then(|| self.tcp_listener(destination, protocol));
        if tcp == Some(true) {
            return ListenerKind::Tcp;
        }
        let http = self.runs(&self.http) && self.http_listener(destination, protocol);
        if http {
            ListenerKind::Http
        } else {
            ListenerKind::Nothing
        }
    }

    /// The `MeshTCPRoute` that makes requests to a destination opaque, when the protocol is not known.
    pub(super) fn opaque(&self, destination: ResolvedDestination<'a>) -> Option<&'a MeshRoute> {
        let has_http_rules = self.rules(&self.http, destination).is_some();
        let mut routes = self.tcp.iter().filter(|_| !has_http_rules);
        routes
            .find(|route| route.to.iter().any(|to| self.is_for(to, destination)))
            .copied()
    }

    fn runs(&self, routes: &[&MeshRoute]) -> bool {
        !self.beside_traffic_routes || routes.iter().flat_map(|route| &route.to).any(RouteTo::is_by_tags)
    }

    fn http_listener(&self, destination: ResolvedDestination<'a>, protocol: Protocol) -> bool {
        let rules = self.rules(&self.http, destination).unwrap_or_default();
        let takes_all = rules.iter().any(|rule| rule.is_catch_all);
        // Without a matching rule, requests go to the destination itself; up to 2.13 also with a rule without
        // backends.
        let by_default = protocol.is_http() && (!takes_all || self.version < Version::V2_14);
        by_default
            || rules.iter().any(|rule| {
                let places = rule.backend_refs.as_ref();
                places.map_or(protocol.is_http(), |to| to.iter().any(|to| self.speaks_http(to)))
            })
    }

    fn tcp_listener(&self, destination: ResolvedDestination<'a>, protocol: Protocol) -> bool {
        let rules = self.rules(&self.tcp, destination);
        if protocol.is_http() && (rules.is_none() || self.rules(&self.http, destination).is_some()) {
            return false;
        }
        rules.is_none_or(|rules| rules.iter().any(|rule| rule.backend_refs.is_some()))
    }

    /// The rules for a destination; `None` when no route matches it.
    fn rules(&self, routes: &[&'a MeshRoute], destination: ResolvedDestination<'a>) -> Option<Vec<&'a RouteRule>> {
        let entries = routes.iter().flat_map(|route| &route.to);
        let mut entries = entries.filter(|to| self.is_for(to, destination)).peekable();
        entries.peek()?;
        Some(entries.flat_map(|to| &to.rules).collect())
    }

    fn is_for(&self, to: &'a RouteTo, destination: ResolvedDestination) -> bool {
        match destination {
            ResolvedDestination::Service(service) => to.is_for_service(service),
            ResolvedDestination::Resource(service, port) => {
                let Some(reference) = &to.destination else { return false };
                // Comparing names first is cheap, and they differ in most cases.
                if reference
                    .name
                    .as_ref()
                    .is_some_and(|name| name.value != service.header.display_name)
                {
                    return false;
                }
                let resolved = self.services.resolve(self.dataplane, reference);
                resolved.is_some_and(|(other, _)| {
                    let is_port = reference.port.as_ref().is_none_or(|own| own.value == port.number.value);
                    other.header.id == service.header.id && is_port
                })
            }
        }
    }

    /// Whether the destination of a route speaks HTTP.
    fn speaks_http(&self, to: &BackendRef) -> bool {
        if let Some((_, port)) = self.services.resolve(self.dataplane, to) {
            return port.protocol.as_ref().is_some_and(|protocol| protocol.value.is_http());
        }
        let mesh = self.dataplane.header.mesh();
        let protocol = to
            .name
            .as_ref()
            .and_then(|name| self.services.protocol(mesh, &name.value));
        protocol.is_some_and(|protocol| protocol.value.is_http())
    }
}
