//! The policies that govern each dataplane, and the destinations of its outbounds.
//!
//! Start with [`select`]. The module compares and chooses; it knows neither the text of a policy nor Envoy.

pub mod scope;

mod index;

mod ranked;

pub mod target;

mod targets;

pub mod destination;

mod mesh_route;

mod traffic_route;

pub mod mesh_trace;

pub mod otel;

pub mod route;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use self::ranked::{Candidate, Ranked};

use crate::diag::Diagnostics;
use crate::kuma::{Fidelity, Kuma};
use crate::resource::Resources;
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::kinds::mesh::{Backend, Mesh};
use crate::resource::kinds::mesh_gateway::MeshGateway;
use crate::resource::kinds::mesh_open_telemetry_backend::MeshOpenTelemetryBackend;
use crate::resource::kinds::mesh_route::MeshRoute;
use crate::resource::kinds::mesh_trace::{Backend as MeshTraceBackend, MeshTrace, OpenTelemetryBackend};
use crate::resource::kinds::other_policy::{OtherPolicy, Reach};
use crate::resource::kinds::traffic_trace::TrafficTrace;
use crate::resource::value::protocol::Protocol;
use crate::system::parallel;

use self::destination::Services;
use self::mesh_route::Routes;
use self::mesh_trace::Traces;
use self::ranked::Selectors;
use self::route::Routing;
use self::targets::{Reached, Targets, of_mesh};
use self::traffic_route::TrafficRoutes;

/// The policies that govern every dataplane, in the order of mesh and name.
#[derive(Debug)]
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
    /// The `TrafficTrace` policies that match the dataplane.
    pub traffic_traces: Arc<Ranked<'a>>,
    /// The backend of the winner; `None` if the mesh does not have it.
    pub backend: Option<&'a Backend>,
    /// The `MeshGateway` that governs the dataplane.
    pub gateway: Option<&'a MeshGateway>,
    /// The `MeshGateway` that policies can target the dataplane by; those of other zones are excluded.
    pub policy_gateway: Option<&'a MeshGateway>,
    /// The `MeshTrace` policies that match the dataplane.
    pub mesh_trace: Arc<Traces<'a>>,
    /// The collector that the merged `MeshTrace` refers to, if any and if it exists.
    pub otel_backend: Option<&'a MeshOpenTelemetryBackend>,
    /// The policies that configure the proxy in other ways than tracing.
    pub others: Arc<Vec<&'a OtherPolicy>>,
    /// The outbounds with their destinations, in the order of declaration.
    pub outbounds: Vec<route::ResolvedOutbound<'a>>,
}

impl Selection<'_> {
    /// The `TrafficTrace` policies that match a dataplane.
    #[must_use]
    pub fn matching_traffic_traces(&self) -> BTreeSet<*const TrafficTrace> {
        ranked::matching(self.dataplanes.iter().map(|governed| &*governed.traffic_traces))
    }

    /// The `MeshTrace` policies that match a dataplane.
    #[must_use]
    pub fn matching_mesh_traces(&self) -> BTreeSet<*const MeshTrace> {
        let mut seen = BTreeSet::new();
        let traces = self.dataplanes.iter().map(|governed| &governed.mesh_trace);
        let traces = traces.filter(|traces| seen.insert(Arc::as_ptr(traces)));
        let policies = traces.flat_map(|traces| traces.policies.iter().copied());
        policies.map(std::ptr::from_ref).collect()
    }
}

impl<'a> Governed<'a> {
    /// The `TrafficTrace` that decides.
    #[must_use]
    pub fn winner(&self) -> Option<Candidate<'a>> {
        self.traffic_traces.winner
    }
}

/// The name of the backend that a policy chooses: its own, or the default of the mesh.
#[must_use]
pub fn backend_name<'a>(policy: &'a TrafficTrace, mesh: Option<&'a Mesh>) -> Option<&'a str> {
    let own = policy.backend.as_ref();
    let name = own.or_else(|| mesh.and_then(|mesh| mesh.default_backend.as_ref()))?;
    Some(&name.value)
}

/// The number of dataplanes that are worth another thread.
const MANY: usize = 512;

/// Selects the policies, gateway and destinations of every dataplane.
///
/// `hints` holds the protocols of services that have no dataplane among the resources. The cost follows the number of
/// dataplanes plus that of policies.
pub fn select<'a>(
    resources: &'a Resources,
    kuma: &Kuma,
    hints: &BTreeMap<String, Protocol>,
    diagnostics: &mut Diagnostics,
) -> Selection<'a> {
    let services = Services::of(resources, kuma.fidelity);
    let mut dataplanes = Vec::with_capacity(resources.dataplanes.len());
    for of_mesh in resources.dataplanes.chunk_by(|a, b| a.header.mesh() == b.header.mesh()) {
        let mesh = of_mesh[0].header.mesh();
        let start = || MeshPolicies::new(resources, mesh, kuma, &services, hints);
        // Each thread indexes the policies of the mesh, which pays for many dataplanes only.
        let threads = parallel::cpu_count().min(1 + of_mesh.len() / MANY);
        let governed = parallel::map_with(of_mesh, threads, start, |policies, dataplane| {
            let mut found = Diagnostics::default();
            (policies.govern(dataplane, &mut found), found)
        });
        for (governed, found) in governed {
            dataplanes.push(governed);
            diagnostics.append(found);
        }
    }
    Selection { dataplanes, services }
}

/// The policies of one mesh.
struct MeshPolicies<'a, 's> {
    resources: &'a Resources,
    mesh: Option<&'a Mesh>,
    /// Whether all dataplanes of the mesh could be read.
    complete: bool,
    services: &'s Services<'a>,
    kuma: &'s Kuma,
    hints: &'s BTreeMap<String, Protocol>,
    gateways: Selectors<'a, MeshGateway>,
    traffic_traces: Selectors<'a, TrafficTrace>,
    traffic_routes: TrafficRoutes<'a>,
    mesh_traces: Targets<'a, MeshTrace, Traces<'a>>,
    http_routes: Targets<'a, MeshRoute, Routes<'a>>,
    tcp_routes: Targets<'a, MeshRoute, Routes<'a>>,
    others: Targets<'a, OtherPolicy, Vec<&'a OtherPolicy>>,
}

impl<'a, 's> MeshPolicies<'a, 's> {
    fn new(
        resources: &'a Resources,
        mesh: &str,
        kuma: &'s Kuma,
        services: &'s Services<'a>,
        hints: &'s BTreeMap<String, Protocol>,
    ) -> Self {
        let routes = |routes: &'a [Arc<MeshRoute>]| of_mesh(routes, mesh, |route: &MeshRoute| &route.header);
        let of_route = |route: &'a MeshRoute| (&route.header, Reached::Target(&route.target));
        let of_trace = |policy: &'a MeshTrace| (&policy.header, Reached::Target(&policy.target));
        let of_other = |policy: &'a OtherPolicy| {
            let reached = match &policy.reach {
                Reach::Mesh => Reached::Mesh,
                Reach::Selectors(selectors) => Reached::Selectors(selectors),
                Reach::Target(target) => Reached::Target(target),
            };
            (&policy.header, reached)
        };
        let gateways = of_mesh(&resources.mesh_gateways, mesh, |gateway| &gateway.header);
        let traffic_traces = of_mesh(&resources.traffic_traces, mesh, |policy| &policy.header);
        let traffic_routes = of_mesh(&resources.traffic_routes, mesh, |route| &route.header);
        let mesh_traces = of_mesh(&resources.mesh_traces, mesh, |policy| &policy.header);
        let others = of_mesh(&resources.other_policies, mesh, |policy| &policy.header);
        Self {
            resources,
            mesh: resources.mesh(mesh),
            complete: resources.gaps.has_all_dataplanes(mesh),
            services,
            kuma,
            hints,
            gateways: Selectors::new(gateways, kuma.ties),
            traffic_traces: Selectors::new(traffic_traces, kuma.ties),
            traffic_routes: TrafficRoutes::new(traffic_routes),
            mesh_traces: Targets::new(mesh_traces, of_trace),
            http_routes: Targets::new(routes(&resources.http_routes), of_route),
            tcp_routes: Targets::new(routes(&resources.tcp_routes), of_route),
            others: Targets::new(others, of_other),
        }
    }

    /// The policies that govern a dataplane of the mesh.
    fn govern(&mut self, dataplane: &'a Dataplane, diagnostics: &mut Diagnostics) -> Governed<'a> {
        let gateways = self.gateways.for_dataplane(dataplane);
        let policy_gateway = of_zone(dataplane, &gateways, self.kuma);
        let mesh_trace = self.mesh_traces.for_dataplane(dataplane, policy_gateway, Traces::of);
        let traffic_traces = self.traffic_traces.for_dataplane(dataplane);
        let backend = traffic_traces
            .winner
            .and_then(|winner| self.mesh?.backend(backend_name(winner.policy, self.mesh)?));
        let merged = mesh_trace.merged.as_ref();
        let traced = merged.is_some_and(|merged| merged.backend.is_some()) || backend.is_some();
        let routing = Routing {
            traffic_routes: self.traffic_routes.for_dataplane(dataplane),
            http: self.http_routes.for_dataplane(dataplane, policy_gateway, Routes::of),
            tcp: self.tcp_routes.for_dataplane(dataplane, policy_gateway, Routes::of),
            complete: self.complete,
            services: self.services,
            kuma: self.kuma,
            hints: self.hints,
        };
        Governed {
            dataplane,
            mesh: self.mesh,
            backend,
            gateway: gateways.winner.map(|best| best.policy),
            policy_gateway,
            otel_backend: otel_backend(&mesh_trace, self.resources),
            others: self
                .others
                .for_dataplane(dataplane, policy_gateway, |policies| policies),
            outbounds: routing.outbounds(dataplane, traced, diagnostics),
            traffic_traces,
            mesh_trace,
        }
    }
}

/// The gateway that policies can target a dataplane by: the strongest that is not from another zone.
fn of_zone<'a>(dataplane: &Dataplane, gateways: &Ranked<'a, MeshGateway>, kuma: &Kuma) -> Option<&'a MeshGateway> {
    let is_near = |gateway: &MeshGateway| {
        let is_global = gateway.header.origin_precedence() == 0;
        let own = gateway.header.zone().unwrap_or(&kuma.zone);
        is_global || dataplane.header.zone().is_none_or(|zone| zone == own)
    };
    let strongest = gateways.winner.map(|winner| winner.policy)?;
    if kuma.fidelity == Fidelity::Documented || is_near(strongest) {
        return Some(strongest);
    }
    let others = gateways.lost();
    let mut others = others.into_iter().map(|candidate| candidate.policy);
    others.find(|gateway| is_near(gateway))
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
