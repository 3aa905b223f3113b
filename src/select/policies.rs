//! The policies for each dataplane, kept from one snapshot to the next.

use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;
use std::sync::Arc;
use std::vec;

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
use crate::resource::{Header, Resources};
use crate::system::parallel;

/// The policies for a dataplane. Dataplanes that agree in all that policies need share them.
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

/// The resources of one mesh that decide which policies are for a dataplane.
#[derive(Debug, Clone)]
struct Candidates {
    mesh: Option<Arc<Mesh>>,
    gateways: Vec<Arc<MeshGateway>>,
    traffic_traces: Vec<Arc<TrafficTrace>>,
    traffic_routes: Vec<Arc<TrafficRoute>>,
    mesh_traces: Vec<Arc<MeshTrace>>,
    http_routes: Vec<Arc<MeshRoute>>,
    tcp_routes: Vec<Arc<MeshRoute>>,
    otel_backends: Vec<Arc<MeshOpenTelemetryBackend>>,
    others: Vec<Arc<OtherPolicy>>,
}

impl Candidates {
    fn of(resources: &Resources, mesh: &str) -> Self {
        let routes = |routes: &[Arc<MeshRoute>]| of_mesh(routes, mesh, |route| &route.header).to_vec();
        Self {
            mesh: resources.meshes.get(mesh).cloned(),
            gateways: of_mesh(&resources.mesh_gateways, mesh, |gateway| &gateway.header).to_vec(),
            traffic_traces: of_mesh(&resources.traffic_traces, mesh, |policy| &policy.header).to_vec(),
            traffic_routes: of_mesh(&resources.traffic_routes, mesh, |route| &route.header).to_vec(),
            mesh_traces: of_mesh(&resources.mesh_traces, mesh, |policy| &policy.header).to_vec(),
            http_routes: routes(&resources.http_routes),
            tcp_routes: routes(&resources.tcp_routes),
            otel_backends: of_mesh(&resources.otel_backends, mesh, |backend| &backend.header).to_vec(),
            others: of_mesh(&resources.other_policies, mesh, |policy| &policy.header).to_vec(),
        }
    }

    /// Whether these are the very same resources.
    fn are(&self, other: &Self) -> bool {
        fn same<T>(a: &[Arc<T>], b: &[Arc<T>]) -> bool {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
        }
        same(self.mesh.as_slice(), other.mesh.as_slice())
            && same(&self.gateways, &other.gateways)
            && same(&self.traffic_traces, &other.traffic_traces)
            && same(&self.traffic_routes, &other.traffic_routes)
            && same(&self.mesh_traces, &other.mesh_traces)
            && same(&self.http_routes, &other.http_routes)
            && same(&self.tcp_routes, &other.tcp_routes)
            && same(&self.otel_backends, &other.otel_backends)
            && same(&self.others, &other.others)
    }
}

/// The policies of one mesh, by what they need.
#[derive(Debug)]
struct MeshPolicies {
    candidates: Candidates,
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
    fn new(candidates: &Candidates, kuma: &Kuma) -> Self {
        let of_route: fn(&MeshRoute) -> (&Header, Reached<'_>) =
            |route| (&route.header, Reached::Target(&route.target));
        Self {
            gateways: Selectors::new(&candidates.gateways, kuma.ties),
            traffic_traces: Selectors::new(&candidates.traffic_traces, kuma.ties),
            traffic_routes: TrafficRoutes::new(&candidates.traffic_routes),
            mesh_traces: Targets::new(&candidates.mesh_traces, |policy| {
                (&policy.header, Reached::Target(&policy.target))
            }),
            http_routes: Targets::new(&candidates.http_routes, of_route),
            tcp_routes: Targets::new(&candidates.tcp_routes, of_route),
            others: Targets::new(&candidates.others, |policy| {
                let reached = match &policy.reach {
                    Reach::Mesh => Reached::Mesh,
                    Reach::Selectors(selectors) => Reached::Selectors(selectors),
                    Reach::Target(target) => Reached::Target(target),
                };
                (&policy.header, reached)
            }),
            made: HashMap::new(),
            candidates: candidates.clone(),
        }
    }

    /// The policies for a dataplane of the mesh.
    fn of(&mut self, dataplane: &Dataplane, kuma: &Kuma) -> Arc<Policies> {
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
        let candidates = &self.candidates;
        let made = self.made.entry(parts).or_insert_with(|| {
            Arc::new(Policies {
                backend: backend(&traffic_traces, candidates),
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
fn backend(traffic_traces: &Ranked, candidates: &Candidates) -> Option<usize> {
    let mesh = candidates.mesh.as_deref()?;
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

/// The number of dataplanes that are worth another thread.
const MANY: usize = 512;

/// The policies for the dataplanes of one mesh.
#[derive(Debug)]
struct OfMesh {
    candidates: Candidates,
    /// The candidates by what they need, once a dataplane asked for them.
    index: Option<MeshPolicies>,
}

impl OfMesh {
    /// The policies for dataplanes of the mesh.
    fn find(&mut self, dataplanes: &[&Arc<Dataplane>], kuma: &Kuma) -> Vec<Arc<Policies>> {
        let threads = parallel::cpu_count().min(1 + dataplanes.len() / MANY);
        let index = || MeshPolicies::new(&self.candidates, kuma);
        if threads > 1 {
            // Each thread indexes the candidates, which pays for many dataplanes only.
            return parallel::map_with(dataplanes, threads, index, |index, dataplane| index.of(dataplane, kuma));
        }
        let index = match dataplanes {
            [] => return Vec::new(),
            _ => self.index.get_or_insert_with(index),
        };
        dataplanes.iter().map(|dataplane| index.of(dataplane, kuma)).collect()
    }
}

/// The policies for each dataplane of the last snapshot.
///
/// It grows with the dataplanes and the policies of one snapshot: what the next one does not have is forgotten.
#[derive(Debug, Default)]
pub struct Memory {
    kuma: Option<Kuma>,
    /// The meshes with dataplanes.
    meshes: BTreeMap<String, OfMesh>,
    /// The dataplanes, sorted by mesh and name, with their policies.
    dataplanes: Vec<(Arc<Dataplane>, Arc<Policies>)>,
}

impl Memory {
    /// Finds the policies of the dataplanes of a snapshot that are new or whose candidates are.
    pub(super) fn update(&mut self, resources: &Resources, kuma: &Kuma) {
        if self.kuma.as_ref() != Some(kuma) {
            *self = Self::default();
            self.kuma = Some(kuma.clone());
        }
        let mut last = std::mem::take(&mut self.dataplanes).into_iter().peekable();
        let mut last_meshes = std::mem::take(&mut self.meshes);
        self.dataplanes.reserve_exact(resources.dataplanes.len());
        for of_mesh in resources.dataplanes.chunk_by(|a, b| a.header.mesh() == b.header.mesh()) {
            let mesh = of_mesh[0].header.mesh();
            let candidates = Candidates::of(resources, mesh);
            let known = last_meshes.remove(mesh).filter(|last| last.candidates.are(&candidates));
            let is_known = known.is_some();
            let mut known = known.unwrap_or(OfMesh {
                candidates,
                index: None,
            });
            let found: Vec<Option<Arc<Policies>>> = (of_mesh.iter())
                .map(|dataplane| same(&mut last, dataplane).filter(|_| is_known))
                .collect();
            let missing = of_mesh.iter().zip(&found).filter(|(_, found)| found.is_none());
            let missing: Vec<&Arc<Dataplane>> = missing.map(|(dataplane, _)| dataplane).collect();
            let mut new = known.find(&missing, kuma).into_iter();
            let found = found.into_iter().filter_map(|found| found.or_else(|| new.next()));
            self.dataplanes.extend(of_mesh.iter().cloned().zip(found));
            self.meshes.insert(mesh.to_owned(), known);
        }
    }

    /// The dataplanes with their policies, in the order of mesh and name.
    pub(super) fn dataplanes(&self) -> &[(Arc<Dataplane>, Arc<Policies>)] {
        &self.dataplanes
    }
}

/// The policies of a dataplane in the last snapshot, of which the dataplanes before it are skipped.
fn same(
    last: &mut Peekable<vec::IntoIter<(Arc<Dataplane>, Arc<Policies>)>>,
    dataplane: &Arc<Dataplane>,
) -> Option<Arc<Policies>> {
    let is_before =
        |last: &Arc<Dataplane>| !Arc::ptr_eq(last, dataplane) && last.header.order() < dataplane.header.order();
    while last.next_if(|(last, _)| is_before(last)).is_some() {}
    let same = last.next_if(|(last, _)| Arc::ptr_eq(last, dataplane));
    same.map(|(_, policies)| policies)
}
