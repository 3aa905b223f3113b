//! Where the outbounds of a dataplane lead, and whether a control plane would trace them.

use std::collections::BTreeMap;

use super::destination::Services;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::resource::dataplane::{Dataplane, Destination, Outbound};
use crate::resource::protocol::Protocol;
use crate::resource::tags::{Rank, SERVICE, Selector, Tags};
use crate::resource::traffic_route::TrafficRoute;
use crate::resource::{Chosen, Fidelity, Kuma, Located, Source};

/// An outbound and where it leads.
#[derive(Debug, Clone)]
pub struct Routed<'a> {
    /// The outbound.
    pub outbound: &'a Outbound,
    /// Its service, as its tags name it.
    pub service: &'a str,
    /// What its destination speaks.
    pub protocol: Chosen<Protocol>,
    /// Why it cannot be traced whatever the policies say, in a few words.
    pub untraced_because: Option<String>,
}

pub(super) struct Routing<'a, 's> {
    pub(super) routes: &'a [TrafficRoute],
    /// Whether all dataplanes of the mesh are known.
    pub(super) complete: bool,
    pub(super) services: &'s Services<'a>,
    pub(super) kuma: &'s Kuma,
    pub(super) hints: &'s BTreeMap<String, Protocol>,
}

impl<'a> Routing<'a, '_> {
    /// The outbounds of a dataplane; one of a pair with the same address and port stays.
    ///
    /// Outbounds by `backendRef` are left out: no resource says yet where they lead.
    pub(super) fn outbounds(
        &self,
        dataplane: &'a Dataplane,
        traced: bool,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Routed<'a>> {
        let routes: Vec<&TrafficRoute> = (self.routes.iter())
            .filter(|route| route.header.mesh() == dataplane.header.mesh())
            .collect();
        let mut routed: Vec<Routed> = Vec::new();
        for outbound in &dataplane.outbounds {
            let Destination::Service { service, protocol } = &outbound.to else {
                if self.kuma.fidelity == Fidelity::Documented {
                    let message =
                        "this version of meshtraced does not resolve `backendRef`; the outbound gets no listener";
                    let diagnostic = Diagnostic::warning(Code::UnsupportedResource, &outbound.at, message);
                    let diagnostic = diagnostic.help("name the service by `tags: {kuma.io/service: ...}`");
                    diagnostics.push(diagnostic.resource(dataplane.header.document, (*dataplane.header.id).clone()));
                }
                continue;
            };
            let hint = protocol.as_ref();
            let next = match self.kuma.fidelity {
                Fidelity::Exact => self.exact(dataplane, outbound, &service.value, &routes),
                Fidelity::Documented => self.documented(dataplane, outbound, &service.value, hint, traced, diagnostics),
            };
            let same = |other: &Routed| place(other.outbound) == place(outbound);
            match routed.iter().position(same) {
                None => routed.push(next),
                // Without routes, Kuma merges the chains of both, and an opaque one wins.
                Some(i) if routes.is_empty() && !routed[i].protocol.value.is_http() => {}
                Some(i) => routed[i] = next,
            }
        }
        routed
    }

    /// As the control plane does: only through a `TrafficRoute`.
    fn exact(
        &self,
        dataplane: &Dataplane,
        outbound: &'a Outbound,
        service: &'a str,
        routes: &[&'a TrafficRoute],
    ) -> Routed<'a> {
        let protocol_of = |service: &str| self.services.protocol(dataplane.header.mesh(), service);
        let route = route_of(dataplane, service, routes);
        let unknown = || Chosen::of(None, Protocol::Unknown);
        let both = |a: Chosen<Protocol>, b: Chosen<Protocol>| Chosen {
            value: a.value.common(b.value),
            ..a
        };
        let protocol = match route {
            Some(route) => {
                let services = route.services(service);
                services.map(|to| protocol_of(to).unwrap_or_else(unknown)).reduce(both)
            }
            None => protocol_of(service),
        };
        let because = if routes.is_empty() {
            Some("no TrafficRoute in this mesh, and Kuma traces outbounds only through one".to_owned())
        } else if route.is_none() {
            Some("no TrafficRoute leads there, and Kuma traces outbounds only through one".to_owned())
        } else {
            None
        };
        let protocol = protocol.unwrap_or_else(unknown);
        Routed {
            outbound,
            service,
            protocol,
            untraced_because: because,
        }
    }

    /// As the documentation promises: whenever the destination speaks HTTP.
    fn documented(
        &self,
        dataplane: &Dataplane,
        outbound: &'a Outbound,
        service: &'a str,
        own: Option<&Located<Protocol>>,
        traced: bool,
        diagnostics: &mut Diagnostics,
    ) -> Routed<'a> {
        let known = self.services.protocol(dataplane.header.mesh(), service);
        let by_setting = |&value: &Protocol| {
            let source = Source::Setting(format!("services.{service}"));
            Chosen { value, source }
        };
        let by_outbound = |own| Chosen::of(Some(own), Protocol::Unknown);
        let hint = || self.hints.get(service).map(by_setting).or_else(|| own.map(by_outbound));
        let Some(protocol) = known.or_else(hint) else {
            if traced && self.complete {
                let message = format!(
                    "no dataplane here belongs to the service `{service}`, so what it speaks is not known and this outbound is not traced"
                );
                let help = format!(
                    "say it in the settings (`services: {{{service}: http}}`) or on the outbound (`kuma.io/protocol: http` in its tags)"
                );
                let Destination::Service { service: named, .. } = &outbound.to else {
                    unreachable!("only for services")
                };
                let diagnostic = Diagnostic::warning(Code::UnknownDestination, &named.origin.at, message)
                    .help(help)
                    .path(&named.origin.path);
                diagnostics.push(diagnostic.resource(dataplane.header.document, (*dataplane.header.id).clone()));
            }
            let because = Some(format!("nothing here says what {service} speaks"));
            return Routed {
                outbound,
                service,
                protocol: Chosen::of(None, Protocol::Unknown),
                untraced_because: because,
            };
        };
        Routed {
            outbound,
            service,
            protocol,
            untraced_because: None,
        }
    }
}

fn place(outbound: &Outbound) -> (Option<std::net::IpAddr>, u16) {
    (
        outbound.address.as_ref().map(|address| address.value),
        outbound.port.value,
    )
}

/// The most specific route for a service: by the rank of its best source and destination selectors together,
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
