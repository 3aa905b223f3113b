//! The policies for a dataplane.

use std::sync::Arc;

use foldhash::HashMap;

use super::mesh_route::Routes;
use super::mesh_trace::Traces;
use super::otel;
use super::ranked::{Ranked, Selectors};
use super::targets::{Reached, Targets, of_mesh};
use super::traffic_route::{RoutesOf, TrafficRoutes};
use crate::kuma::{Fidelity, Kuma};
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::kinds::mesh::Mesh;
use crate::resource::kinds::mesh_gateway::MeshGateway;
use crate::resource::kinds::mesh_open_telemetry_backend::MeshOpenTelemetryBackend;
use crate::resource::kinds::mesh_route::MeshRoute;
use crate::resource::kinds::mesh_trace::{Backend, MeshTrace, OpenTelemetryBackend};
use crate::resource::kinds::other_policy::{OtherPolicy, Reach};
use crate::resource::kinds::traffic_route::TrafficRoute;
use crate::resource::kinds::traffic_trace::TrafficTrace;
use crate::resource::{List, Resources, are_same};

/// The policies for a dataplane, of a mesh that stays as it is. Dataplanes that agree in all that policies need share
/// them.
#[derive(Debug)]
pub struct Policies {
    /// The `TrafficTrace` policies that match.
    pub traffic_traces: Arc<Ranked>,
    /// The backend of the winner, as an index in the list of the mesh; `None` if the mesh does not have it.
    pub(super) backend: Option<usize>,
    /// The `MeshGateway` that governs the dataplane.
    pub gateway: Option<Arc<MeshGateway>>,
    /// The `MeshGateway` that policies can target the dataplane by; those of other zones are excluded.
    pub policy_gateway: Option<Arc<MeshGateway>>,
    /// The `MeshTrace` policies that match.
    pub mesh_trace: Arc<Traces>,
    /// The collector that the merged `MeshTrace` refers to, if any and if it exists.
    pub otel_backend: Option<Arc<MeshOpenTelemetryBackend>>,
    /// The policies that configure the proxy in other ways than tracing.
    pub others: Arc<Vec<Arc<OtherPolicy>>>,
    /// The `TrafficRoute`s that the dataplane is a source of.
    pub(super) traffic_routes: Arc<RoutesOf>,
    /// The `MeshHTTPRoute`s for the dataplane.
    pub(super) http_routes: Arc<Routes>,
    /// The `MeshTCPRoute`s for the dataplane.
    pub(super) tcp_routes: Arc<Routes>,
}

impl Policies {
    /// Whether a policy with a backend governs the dataplane.
    pub(super) fn trace(&self) -> bool {
        let merged = self.mesh_trace.merged.as_ref();
        merged.is_some_and(|merged| merged.backend().is_some()) || self.backend.is_some()
    }
}

/// The name of the backend that a policy chooses: its own, or the default of the mesh.
#[must_use]
pub fn backend_name<'a>(policy: &'a TrafficTrace, mesh: Option<&'a Mesh>) -> Option<&'a str> {
    let own = policy.backend.as_ref();
    let name = own.or_else(|| mesh.and_then(|mesh| mesh.default_backend.as_ref()))?;
    Some(&name.value)
}

/// The resources that decide which policies are for a dataplane, and what they say.
#[derive(Debug, Clone, Default)]
pub(super) struct Candidates {
    meshes: List<Mesh>,
    gateways: List<MeshGateway>,
    traffic_traces: List<TrafficTrace>,
    traffic_routes: List<TrafficRoute>,
    mesh_traces: List<MeshTrace>,
    http_routes: List<MeshRoute>,
    tcp_routes: List<MeshRoute>,
    otel_backends: List<MeshOpenTelemetryBackend>,
    others: List<OtherPolicy>,
}

impl Candidates {
    pub(super) fn of(resources: &Resources) -> Self {
        Self {
            meshes: Arc::new(resources.meshes.values().cloned().collect()),
            gateways: Arc::clone(&resources.mesh_gateways),
            traffic_traces: Arc::clone(&resources.traffic_traces),
            traffic_routes: Arc::clone(&resources.traffic_routes),
            mesh_traces: Arc::clone(&resources.mesh_traces),
            http_routes: Arc::clone(&resources.http_routes),
            tcp_routes: Arc::clone(&resources.tcp_routes),
            otel_backends: Arc::clone(&resources.otel_backends),
            others: Arc::clone(&resources.other_policies),
        }
    }

    /// Whether these are the very same resources.
    pub(super) fn are_same(&self, others: &Self) -> bool {
        are_same(&self.meshes, &others.meshes)
            && are_same(&self.traffic_traces, &others.traffic_traces)
            && are_same(&self.mesh_traces, &others.mesh_traces)
            && self.are_same_beside_traces(others)
    }

    /// Whether all but the meshes and the policies that trace are the very same.
    pub(super) fn are_same_beside_traces(&self, others: &Self) -> bool {
        are_same(&self.gateways, &others.gateways)
            && are_same(&self.traffic_routes, &others.traffic_routes)
            && are_same(&self.http_routes, &others.http_routes)
            && are_same(&self.tcp_routes, &others.tcp_routes)
            && are_same(&self.otel_backends, &others.otel_backends)
            && are_same(&self.others, &others.others)
    }

    pub(super) fn mesh(&self, name: &str) -> Option<&Arc<Mesh>> {
        let position = self.meshes.binary_search_by(|mesh| mesh.header.name().cmp(name)).ok()?;
        Some(&self.meshes[position])
    }
}

/// The policies of one mesh, by what they need.
#[derive(Debug)]
pub(super) struct MeshPolicies {
    mesh: String,
    gateways: Selectors<MeshGateway>,
    traffic_traces: Selectors<TrafficTrace>,
    traffic_routes: TrafficRoutes,
    mesh_traces: Targets<MeshTrace, Traces>,
    http_routes: Targets<MeshRoute, Routes>,
    tcp_routes: Targets<MeshRoute, Routes>,
    others: Targets<OtherPolicy, Vec<Arc<OtherPolicy>>>,
    /// The policies of dataplanes, by the addresses of their parts.
    made: HashMap<[usize; 8], Arc<Policies>>,
}

impl MeshPolicies {
    pub(super) fn new(candidates: &Candidates, mesh: &str, kuma: &Kuma) -> Self {
        let gateways = of_mesh(&candidates.gateways, mesh, |gateway| &gateway.header);
        let traffic_traces = of_mesh(&candidates.traffic_traces, mesh, |policy| &policy.header);
        let traffic_routes = of_mesh(&candidates.traffic_routes, mesh, |route| &route.header);
        let mesh_traces = of_mesh(&candidates.mesh_traces, mesh, |policy| &policy.header);
        let routes = |routes| {
            let routes = of_mesh(routes, mesh, |route: &MeshRoute| &route.header);
            Targets::new(routes, |route| (&route.header, Reached::Target(&route.target)))
        };
        let others = of_mesh(&candidates.others, mesh, |policy| &policy.header);
        Self {
            mesh: mesh.to_owned(),
            gateways: Selectors::new(gateways, kuma.ties),
            traffic_traces: Selectors::new(traffic_traces, kuma.ties),
            traffic_routes: TrafficRoutes::new(traffic_routes),
            mesh_traces: Targets::new(mesh_traces, |policy| (&policy.header, Reached::Target(&policy.target))),
            http_routes: routes(&candidates.http_routes),
            tcp_routes: routes(&candidates.tcp_routes),
            others: Targets::new(others, |policy| {
                let reached = match &policy.reach {
                    Reach::Mesh => Reached::Mesh,
                    Reach::Selectors(selectors) => Reached::Selectors(selectors),
                    Reach::Target(target) => Reached::Target(target),
                };
                (&policy.header, reached)
            }),
            made: HashMap::default(),
        }
    }

    /// The policies for a dataplane of the mesh.
    pub(super) fn of(&mut self, dataplane: &Dataplane, candidates: &Candidates, kuma: &Kuma) -> Arc<Policies> {
        let gateways = self.gateways.for_dataplane(dataplane);
        let policy_gateway = of_zone(dataplane, &gateways, kuma);
        let gateway = policy_gateway.as_deref();
        let mesh_trace = self.mesh_traces.for_dataplane(dataplane, gateway, Traces::of);
        let traffic_traces = self.traffic_traces.for_dataplane(dataplane);
        let traffic_routes = self.traffic_routes.for_dataplane(dataplane);
        let http_routes = self.http_routes.for_dataplane(dataplane, gateway, Routes::of);
        let tcp_routes = self.tcp_routes.for_dataplane(dataplane, gateway, Routes::of);
        let others = self.others.for_dataplane(dataplane, gateway, |policies| policies);
        let parts = [
            Arc::as_ptr(&gateways).addr(),
            policy_gateway.as_ref().map_or(0, |gateway| Arc::as_ptr(gateway).addr()),
            Arc::as_ptr(&mesh_trace).addr(),
            Arc::as_ptr(&traffic_traces).addr(),
            Arc::as_ptr(&traffic_routes).addr(),
            Arc::as_ptr(&http_routes).addr(),
            Arc::as_ptr(&tcp_routes).addr(),
            Arc::as_ptr(&others).addr(),
        ];
        let mesh = candidates.mesh(&self.mesh).map(Arc::as_ref);
        let made = self.made.entry(parts).or_insert_with(|| {
            Arc::new(Policies {
                backend: backend(&traffic_traces, mesh),
                gateway: gateways.winner.as_ref().map(|winner| Arc::clone(&winner.policy)),
                policy_gateway,
                otel_backend: otel_backend(&mesh_trace, candidates),
                mesh_trace,
                traffic_traces,
                traffic_routes,
                http_routes,
                tcp_routes,
                others,
            })
        });
        Arc::clone(made)
    }
}

/// The backend of the strongest `TrafficTrace`, as an index in the list of the mesh.
fn backend(traffic_traces: &Ranked, mesh: Option<&Mesh>) -> Option<usize> {
    let mesh = mesh?;
    let winner = traffic_traces.winner.as_ref()?;
    mesh.position(backend_name(&winner.policy, Some(mesh))?)
}

/// The gateway that policies can target a dataplane by: the strongest that is not from another zone.
fn of_zone(dataplane: &Dataplane, gateways: &Ranked<MeshGateway>, kuma: &Kuma) -> Option<Arc<MeshGateway>> {
    let is_near = |gateway: &MeshGateway| {
        let is_global = gateway.header.origin_precedence() == 0;
        let own = gateway.header.zone().unwrap_or(&kuma.zone);
        is_global || dataplane.header.zone().is_none_or(|zone| zone == own)
    };
    let strongest = &gateways.winner.as_ref()?.policy;
    if kuma.fidelity == Fidelity::Documented || is_near(strongest) {
        return Some(Arc::clone(strongest));
    }
    let others = gateways.lost().into_iter().map(|candidate| &candidate.policy);
    others.into_iter().find(|gateway| is_near(gateway)).cloned()
}

/// The collector that the policies refer to.
fn otel_backend(traces: &Traces, candidates: &Candidates) -> Option<Arc<MeshOpenTelemetryBackend>> {
    let merged = traces.merged.as_ref()?;
    match merged.backend()? {
        Backend::OpenTelemetry(OpenTelemetryBackend::BackendRef { labels }) => {
            let mesh = merged.strongest.header.mesh();
            let found = otel::backends(&candidates.otel_backends, mesh, &labels.value);
            found.first().map(|backend| Arc::clone(backend))
        }
        Backend::OpenTelemetry(OpenTelemetryBackend::Endpoint { .. }) | Backend::Zipkin(_) | Backend::Datadog(_) => {
            None
        }
    }
}
