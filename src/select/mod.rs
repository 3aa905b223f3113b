//! Which policy governs which dataplane, and where its outbounds lead.
//!
//! Start with [`select`]. It compares and chooses; it knows neither the text of a policy nor Envoy.

pub mod destination;
pub mod route;
pub mod scope;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::diag::Diagnostics;
use crate::resource::dataplane::Dataplane;
use crate::resource::mesh::{Backend, Mesh};
use crate::resource::protocol::Protocol;
use crate::resource::tags::Rank;
use crate::resource::traffic_trace::TrafficTrace;
use crate::resource::{Header, Kuma, Resources, Ties};

use self::destination::Services;

/// What governs every dataplane, in the order of mesh and name.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    /// One entry per dataplane.
    pub dataplanes: Vec<Governed<'a>>,
    /// Where every service is.
    pub services: Services<'a>,
}

/// What governs one dataplane.
#[derive(Debug, Clone)]
pub struct Governed<'a> {
    /// The dataplane.
    pub dataplane: &'a Dataplane,
    /// Its mesh, where there is a document for it.
    pub mesh: Option<&'a Mesh>,
    /// The policy that won.
    pub winner: Option<Candidate<'a>>,
    /// The policies that match too and lost, the best first.
    pub lost: Vec<Candidate<'a>>,
    /// The backend that the winner sends spans to, where the mesh has it.
    pub backend: Option<&'a Backend>,
    /// Its outbounds with their destinations, in the order written.
    pub outbounds: Vec<route::Routed<'a>>,
}

/// A policy that matches a dataplane.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The policy.
    pub policy: &'a TrafficTrace,
    /// How specific its best matching selector is.
    pub rank: Rank,
}

impl Governed<'_> {
    /// The losers that are as specific as the winner: only the name, or the time, decided.
    pub fn tied(&self) -> impl Iterator<Item = &Candidate<'_>> {
        let rank = self.winner.map(|winner| winner.rank);
        self.lost.iter().filter(move |lost| Some(lost.rank) == rank)
    }
}

/// The name of the backend that a policy chooses: its own, or the default of the mesh.
#[must_use]
pub fn backend_name<'a>(policy: &'a TrafficTrace, mesh: Option<&'a Mesh>) -> Option<&'a str> {
    let own = policy.backend.as_ref();
    let name = own.or_else(|| mesh.and_then(|mesh| mesh.default_backend.as_ref()))?;
    Some(&name.value)
}

/// Finds out what governs every dataplane.
///
/// `hints` are the protocols of services that are not among the resources.
pub fn select<'a>(
    resources: &'a Resources,
    kuma: &Kuma,
    hints: &BTreeMap<String, Protocol>,
    diagnostics: &mut Diagnostics,
) -> Selection<'a> {
    let services = Services::of(&resources.dataplanes);
    let mut dataplanes = Vec::new();
    for dataplane in &resources.dataplanes {
        let mesh = resources.meshes.get(dataplane.header.mesh());
        let mut candidates = candidates(dataplane, &resources.traffic_traces, kuma.ties);
        let winner = if candidates.is_empty() {
            None
        } else {
            Some(candidates.remove(0))
        };
        let backend = winner.and_then(|winner| mesh?.backend(backend_name(winner.policy, mesh)?));
        let routing = route::Routing {
            routes: &resources.traffic_routes,
            complete: resources.gaps.has_all_dataplanes(dataplane.header.mesh()),
            services: &services,
            kuma,
            hints,
        };
        let outbounds = routing.outbounds(dataplane, winner.is_some() && backend.is_some(), diagnostics);
        dataplanes.push(Governed {
            dataplane,
            mesh,
            winner,
            lost: candidates,
            backend,
            outbounds,
        });
    }
    Selection { dataplanes, services }
}

/// The policies that match, the winner first.
///
/// Policies are compared by the best of their matching selectors. Of equals the latest `creationTime` wins
/// where the settings say so, and then the smallest name.
fn candidates<'a>(dataplane: &Dataplane, policies: &'a [TrafficTrace], ties: Ties) -> Vec<Candidate<'a>> {
    let of_mesh = policies
        .iter()
        .filter(|policy| policy.header.mesh() == dataplane.header.mesh());
    let mut candidates: Vec<Candidate> = of_mesh
        .filter_map(|policy| {
            let matching = policy
                .selectors
                .iter()
                .filter(|selector| dataplane.tag_sets().any(|tags| selector.matches(tags)));
            let rank = matching.map(|selector| selector.rank()).max()?;
            Some(Candidate { policy, rank })
        })
        .collect();
    candidates.sort_by(|a, b| {
        b.rank
            .cmp(&a.rank)
            .then_with(|| precedence(&a.policy.header, &b.policy.header, ties))
    });
    candidates
}

/// Who comes first of two equally specific policies.
fn precedence(a: &Header, b: &Header, ties: Ties) -> Ordering {
    let by_time = match ties {
        Ties::Name => Ordering::Equal,
        Ties::CreationTime => b.creation_time.cmp(&a.creation_time),
    };
    by_time.then_with(|| a.name().cmp(b.name()))
}
