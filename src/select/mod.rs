//! The policies that govern each dataplane, and the destinations of its outbounds.
//!
//! Start with [`select`]. The module compares and chooses; it knows neither the text of a policy nor Envoy.

pub mod scope;

pub mod target;

pub mod destination;

mod mesh_route;

mod traffic_route;

pub mod mesh_trace;

pub mod otel;

pub mod route;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::diag::Diagnostics;
use crate::kuma::{Fidelity, Kuma, Ties};
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::kinds::mesh::{Backend, Mesh};
use crate::resource::kinds::mesh_gateway::MeshGateway;
use crate::resource::kinds::mesh_open_telemetry_backend::MeshOpenTelemetryBackend;
use crate::resource::kinds::mesh_trace::{Backend as MeshTraceBackend, OpenTelemetryBackend};
use crate::resource::kinds::other_policy::OtherPolicy;
use crate::resource::kinds::traffic_trace::TrafficTrace;
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::{Rank, Selector};
use crate::resource::{Header, Resources};

use self::destination::Services;
use self::mesh_trace::Traces;

/// The policies that govern every dataplane, in the order of mesh and name.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    /// One entry per dataplane.
    pub dataplanes: Vec<Governed<'a>>,
    /// The services of all meshes.
    pub services: Services<'a>,
}

/// The policies that govern one dataplane.
#[derive(Debug, Clone)]
pub struct Governed<'a> {
    /// The dataplane that is governed.
    pub dataplane: &'a Dataplane,
    /// The `Mesh` resource, if there is one.
    pub mesh: Option<&'a Mesh>,
    /// The `TrafficTrace` that decides.
    pub winner: Option<Candidate<'a>>,
    /// The other matching `TrafficTrace` policies, the strongest first.
    pub lost: Vec<Candidate<'a>>,
    /// The backend of the winner; `None` if the mesh does not have it.
    pub backend: Option<&'a Backend>,
    /// The `MeshGateway` that governs the dataplane.
    pub gateway: Option<&'a MeshGateway>,
    /// The `MeshGateway` that policies can target the dataplane by; those of other zones are excluded.
    pub policy_gateway: Option<&'a MeshGateway>,
    /// The `MeshTrace` policies that match the dataplane.
    pub mesh_trace: Traces<'a>,
    /// The collector that the merged `MeshTrace` refers to, if any and if it exists.
    pub otel_backend: Option<&'a MeshOpenTelemetryBackend>,
    /// The policies that configure the proxy in other ways than tracing.
    pub others: Vec<&'a OtherPolicy>,
    /// The outbounds with their destinations, in the order of declaration.
    pub outbounds: Vec<route::ResolvedOutbound<'a>>,
}

/// A policy that matches a dataplane.
#[derive(Debug)]
pub struct Candidate<'a, P = TrafficTrace> {
    /// The policy that matches.
    pub policy: &'a P,
    /// The specificity of the best matching selector.
    pub rank: Rank,
}

impl<P> Clone for Candidate<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Candidate<'_, P> {}

impl Governed<'_> {
    /// The losers that are as specific as the winner, so that only name or creation time decided.
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

/// Selects the policies, gateway and destinations of every dataplane.
///
/// `hints` holds the protocols of services that have no dataplane among the resources.
pub fn select<'a>(
    resources: &'a Resources,
    kuma: &Kuma,
    hints: &BTreeMap<String, Protocol>,
    diagnostics: &mut Diagnostics,
) -> Selection<'a> {
    let services = Services::of(resources, kuma.fidelity);
    let mut dataplanes = Vec::new();
    for dataplane in &resources.dataplanes {
        let mesh = resources.meshes.get(dataplane.header.mesh());
        let gateways = candidates(dataplane, &resources.mesh_gateways, kuma.ties);
        let gateway = gateways.first().map(|best| best.policy);
        let of_zone = of_zone(dataplane, &gateways, kuma);
        let mesh_trace = mesh_trace::traces(dataplane, of_zone, &resources.mesh_traces);
        let otel_backend = otel_backend(&mesh_trace, resources);
        let mut candidates = candidates(dataplane, &resources.traffic_traces, kuma.ties);
        let winner = if candidates.is_empty() {
            None
        } else {
            Some(candidates.remove(0))
        };
        let backend = winner.and_then(|winner| mesh?.backend(backend_name(winner.policy, mesh)?));
        let traced = mesh_trace
            .merged
            .as_ref()
            .is_some_and(|merged| merged.backend.is_some())
            || (winner.is_some() && backend.is_some());
        let routing = route::Routing {
            resources,
            gateway: of_zone,
            complete: resources.gaps.has_all_dataplanes(dataplane.header.mesh()),
            services: &services,
            kuma,
            hints,
        };
        let outbounds = routing.outbounds(dataplane, traced, diagnostics);
        dataplanes.push(Governed {
            dataplane,
            mesh,
            winner,
            lost: candidates,
            backend,
            gateway,
            policy_gateway: of_zone,
            mesh_trace,
            otel_backend,
            others: target::others_for(dataplane, of_zone, &resources.other_policies),
            outbounds,
        });
    }
    Selection { dataplanes, services }
}

/// The gateway that policies can target a dataplane by: the strongest that is not from another zone.
fn of_zone<'a>(dataplane: &Dataplane, gateways: &[Candidate<'a, MeshGateway>], kuma: &Kuma) -> Option<&'a MeshGateway> {
    let is_near = |gateway: &MeshGateway| {
        let is_global = gateway.header.origin_precedence() == 0;
        let own = gateway.header.zone().unwrap_or(&kuma.zone);
        is_global || dataplane.header.zone().is_none_or(|zone| zone == own)
    };
    let mut near = gateways.iter().map(|candidate| candidate.policy);
    near.find(|gateway| kuma.fidelity == Fidelity::Documented || is_near(gateway))
}

/// A resource that matches dataplanes by at least one of its selectors.
trait Selecting {
    fn header(&self) -> &Header;
    fn selectors(&self) -> &[Selector];
}

impl Selecting for TrafficTrace {
    fn header(&self) -> &Header {
        &self.header
    }

    fn selectors(&self) -> &[Selector] {
        &self.selectors
    }
}

impl Selecting for MeshGateway {
    fn header(&self) -> &Header {
        &self.header
    }

    fn selectors(&self) -> &[Selector] {
        &self.selectors
    }
}

/// The collector that the policies refer to.
fn otel_backend<'a>(traces: &Traces<'a>, resources: &'a Resources) -> Option<&'a MeshOpenTelemetryBackend> {
    let merged = traces.merged.as_ref()?;
    match merged.backend? {
        MeshTraceBackend::OpenTelemetry(OpenTelemetryBackend::BackendRef { labels }) => {
            let mesh = merged.strongest.header.mesh();
            otel::backends(&resources.otel_backends, mesh, &labels.value)
                .first()
                .copied()
        }
        MeshTraceBackend::OpenTelemetry(OpenTelemetryBackend::Endpoint { .. })
        | MeshTraceBackend::Zipkin(_)
        | MeshTraceBackend::Datadog(_) => None,
    }
}

/// The matching policies, the winner first.
///
/// Policies are compared by their best matching selector. Among equals the latest `creationTime` wins
/// if `ties` asks for it, then the smallest name.
fn candidates<'a, P: Selecting>(dataplane: &Dataplane, policies: &'a [P], ties: Ties) -> Vec<Candidate<'a, P>> {
    let of_mesh = policies
        .iter()
        .filter(|policy| policy.header().mesh() == dataplane.header.mesh());
    let mut candidates: Vec<Candidate<P>> = of_mesh
        .filter_map(|policy| {
            let matching = policy
                .selectors()
                .iter()
                .filter(|selector| dataplane.tag_sets().any(|tags| selector.matches(tags)));
            let rank = matching.map(|selector| selector.rank()).max()?;
            Some(Candidate { policy, rank })
        })
        .collect();
    candidates.sort_by(|a, b| {
        b.rank
            .cmp(&a.rank)
            .then_with(|| precedence(a.policy.header(), b.policy.header(), ties))
    });
    candidates
}

/// The order of two equally specific policies.
fn precedence(a: &Header, b: &Header, ties: Ties) -> Ordering {
    let by_time = match ties {
        Ties::Name => Ordering::Equal,
        Ties::CreationTime => b.creation_time.cmp(&a.creation_time),
    };
    by_time.then_with(|| a.name().cmp(b.name()))
}
