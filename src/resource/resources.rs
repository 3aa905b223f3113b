//! All valid resources of a snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::document::kind::Kind;
use super::kinds::dataplane::Dataplane;
use super::kinds::external_service::ExternalService;
use super::kinds::mesh::Mesh;
use super::kinds::mesh_gateway::MeshGateway;
use super::kinds::mesh_open_telemetry_backend::MeshOpenTelemetryBackend;
use super::kinds::mesh_route::MeshRoute;
use super::kinds::mesh_service::MeshService;
use super::kinds::mesh_trace::MeshTrace;
use super::kinds::other_policy::OtherPolicy;
use super::kinds::traffic_route::TrafficRoute;
use super::kinds::traffic_trace::TrafficTrace;
use crate::diag::{Diagnostic, Holds, ResourceId};
use crate::source::{Unreadable, UnreadableReason};

/// The meshes of each file, by its path.
pub type Contributions = BTreeMap<String, BTreeSet<String>>;

/// The known files that are unavailable now.
pub(super) fn covered<'k>(
    known: &'k Contributions,
    unreadable: &Unreadable,
) -> Vec<(&'k String, &'k BTreeSet<String>)> {
    let (path, is_glob) = (
        &unreadable.path,
        matches!(unreadable.reason, UnreadableReason::NoMatch(_)),
    );
    let first = if is_glob { "" } else { path.as_str() };
    let candidates = known.range::<str, _>((Bound::Included(first), Bound::Unbounded));
    let candidates = candidates.take_while(|(known, _)| is_glob || known.starts_with(path.as_str()));
    candidates.filter(|(known, _)| unreadable.covers(known)).collect()
}

/// All valid resources of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// `Mesh` by name. The mesh `default` exists even without an entry.
    pub meshes: BTreeMap<String, Arc<Mesh>>,
    /// The names of all existing meshes: those declared, validly or not, and `default`.
    pub declared: BTreeSet<String>,
    /// `TrafficTrace`, sorted by mesh and name.
    pub traffic_traces: Vec<Arc<TrafficTrace>>,
    /// `TrafficRoute`, sorted by mesh and name.
    pub traffic_routes: Vec<Arc<TrafficRoute>>,
    /// `Dataplane`, sorted by mesh and name.
    pub dataplanes: Vec<Arc<Dataplane>>,
    /// `MeshTrace`, sorted by mesh and name.
    pub mesh_traces: Vec<Arc<MeshTrace>>,
    /// `MeshGateway`, sorted by mesh and name.
    pub mesh_gateways: Vec<Arc<MeshGateway>>,
    /// `MeshHTTPRoute`, sorted by mesh and name.
    pub http_routes: Vec<Arc<MeshRoute>>,
    /// `MeshTCPRoute`, sorted by mesh and name.
    pub tcp_routes: Vec<Arc<MeshRoute>>,
    /// `MeshOpenTelemetryBackend`, sorted by mesh and name.
    pub otel_backends: Vec<Arc<MeshOpenTelemetryBackend>>,
    /// `ExternalService`, sorted by mesh and name.
    pub external_services: Vec<Arc<ExternalService>>,
    /// `MeshService`, `MeshExternalService` and `MeshMultiZoneService`, sorted by mesh and name.
    pub mesh_services: Vec<Arc<MeshService>>,
    /// The policies that configure proxies in other ways than tracing, sorted by mesh and name.
    pub other_policies: Vec<Arc<OtherPolicy>>,
    /// The meshes of each file; for an unreadable file, those of its last readable text.
    pub contributions: Contributions,
    /// The meshes of files that are unavailable now.
    pub unavailable: BTreeSet<String>,
    /// The invalid resources, from whose absence nothing must be concluded.
    pub gaps: Gaps,
    /// The number of Kuma resources, valid or not.
    pub seen: usize,
    /// The number of Kuma resources without effect on tracing, by kind.
    pub passed_over: BTreeMap<&'static str, usize>,
}

/// A valid resource, which several snapshots can share.
#[derive(Debug, Clone)]
pub(super) enum Resource {
    Mesh(Arc<Mesh>),
    TrafficTrace(Arc<TrafficTrace>),
    TrafficRoute(Arc<TrafficRoute>),
    Dataplane(Arc<Dataplane>),
    MeshTrace(Arc<MeshTrace>),
    MeshGateway(Arc<MeshGateway>),
    MeshHttpRoute(Arc<MeshRoute>),
    MeshTcpRoute(Arc<MeshRoute>),
    MeshOpenTelemetryBackend(Arc<MeshOpenTelemetryBackend>),
    ExternalService(Arc<ExternalService>),
    /// A `MeshService`, `MeshExternalService` or `MeshMultiZoneService`.
    MeshService(Arc<MeshService>),
    OtherPolicy(Arc<OtherPolicy>),
}

impl Resources {
    /// The `Mesh` with that name.
    #[must_use]
    pub fn mesh(&self, name: &str) -> Option<&Mesh> {
        self.meshes.get(name).map(Arc::as_ref)
    }

    /// Adds a resource.
    pub(super) fn add(&mut self, resource: Resource) {
        match resource {
            Resource::Mesh(mesh) => drop(self.meshes.insert(mesh.header.name().to_owned(), mesh)),
            Resource::TrafficTrace(policy) => self.traffic_traces.push(policy),
            Resource::TrafficRoute(route) => self.traffic_routes.push(route),
            Resource::Dataplane(dataplane) => self.dataplanes.push(dataplane),
            Resource::MeshTrace(policy) => self.mesh_traces.push(policy),
            Resource::MeshGateway(gateway) => self.mesh_gateways.push(gateway),
            Resource::MeshHttpRoute(route) => self.http_routes.push(route),
            Resource::MeshTcpRoute(route) => self.tcp_routes.push(route),
            Resource::MeshOpenTelemetryBackend(backend) => self.otel_backends.push(backend),
            Resource::ExternalService(service) => self.external_services.push(service),
            Resource::MeshService(service) => self.mesh_services.push(service),
            Resource::OtherPolicy(policy) => self.other_policies.push(policy),
        }
    }
}

/// The invalid resources of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Gaps {
    /// Whether the mesh of an invalid document is not known.
    anything: bool,
    /// The meshes with an invalid document.
    documents: BTreeSet<String>,
    /// The meshes with an invalid dataplane.
    dataplanes: BTreeSet<String>,
}

impl Gaps {
    /// Whether all dataplanes of a mesh are valid.
    #[must_use]
    pub fn has_all_dataplanes(&self, mesh: &str) -> bool {
        self.has_all_documents(mesh) && !self.dataplanes.contains(mesh)
    }

    /// Whether every document of a mesh is valid.
    #[must_use]
    pub fn has_all_documents(&self, mesh: &str) -> bool {
        !self.anything && !self.documents.contains(mesh)
    }

    /// Adds the invalid resources of a file.
    pub(super) fn add(&mut self, of_file: &Self) {
        self.anything |= of_file.anything;
        self.documents.extend(of_file.documents.iter().cloned());
        self.dataplanes.extend(of_file.dataplanes.iter().cloned());
    }

    /// Records an invalid resource.
    pub(super) fn miss(&mut self, id: &ResourceId, kind: Kind) {
        match kind {
            Kind::Dataplane => {
                self.dataplanes.insert(id.mesh.clone());
            }
            Kind::ExternalService | Kind::MeshExternalService | Kind::MeshMultiZoneService | Kind::MeshService => {
                self.dataplanes.insert(id.mesh.clone());
            }
            _ => {}
        }
    }

    /// Records the meshes that an error holds.
    pub(super) fn note(&mut self, diagnostic: &Diagnostic) {
        match &diagnostic.holds {
            // A proxy that cannot be written does not make its dataplane invalid.
            Holds::Nothing | Holds::Proxies(_) => {}
            Holds::Meshes(meshes) => self.documents.extend(meshes.iter().cloned()),
            Holds::All => self.anything = true,
        }
    }
}
