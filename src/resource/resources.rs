//! All resources that could be understood.

use std::collections::{BTreeMap, BTreeSet};

use super::document::kind::Kind;
use super::kinds::dataplane::Dataplane;
use super::kinds::external_service::ExternalService;
use super::kinds::mesh::Mesh;
use super::kinds::mesh_gateway::MeshGateway;
use super::kinds::mesh_open_telemetry_backend::MeshOpenTelemetryBackend;
use super::kinds::mesh_route::MeshRoute;
use super::kinds::mesh_service::MeshService;
use super::kinds::mesh_trace::MeshTrace;
use super::kinds::traffic_route::TrafficRoute;
use super::kinds::traffic_trace::TrafficTrace;
use crate::diag::{Diagnostic, Holds, ResourceId};

/// The meshes that files are about, by the path of the file.
pub type Contributions = BTreeMap<String, BTreeSet<String>>;

/// Everything that could be understood.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// `Mesh` by name. The mesh `default` exists without being here.
    pub meshes: BTreeMap<String, Mesh>,
    /// The names of all meshes that exist: declared, understood or not, and `default`.
    pub declared: BTreeSet<String>,
    /// `TrafficTrace`, sorted by mesh and name.
    pub traffic_traces: Vec<TrafficTrace>,
    /// `TrafficRoute`, sorted by mesh and name.
    pub traffic_routes: Vec<TrafficRoute>,
    /// `Dataplane`, sorted by mesh and name.
    pub dataplanes: Vec<Dataplane>,
    /// `MeshTrace`, sorted by mesh and name.
    pub mesh_traces: Vec<MeshTrace>,
    /// `MeshGateway`, sorted by mesh and name.
    pub mesh_gateways: Vec<MeshGateway>,
    /// `MeshHTTPRoute`, sorted by mesh and name.
    pub http_routes: Vec<MeshRoute>,
    /// `MeshTCPRoute`, sorted by mesh and name.
    pub tcp_routes: Vec<MeshRoute>,
    /// `MeshOpenTelemetryBackend`, sorted by mesh and name.
    pub otel_backends: Vec<MeshOpenTelemetryBackend>,
    /// `ExternalService`, sorted by mesh and name.
    pub external_services: Vec<ExternalService>,
    /// `MeshService`, `MeshExternalService` and `MeshMultiZoneService`, sorted by mesh and name.
    pub mesh_services: Vec<MeshService>,
    /// The meshes that each file is about; for a file that cannot be read now, those it was about.
    pub contributions: Contributions,
    /// The resources that are known to be missing, so that nothing is concluded from their absence.
    pub gaps: Gaps,
    /// How many resources of Kuma were seen, whether understood or not.
    pub seen: usize,
}

/// The resources that are there and could not be understood.
#[derive(Debug, Clone, Default)]
pub struct Gaps {
    /// Something whose mesh is not known.
    anything: bool,
    /// Meshes of which a whole document or more is missing.
    documents: BTreeSet<String>,
    /// Meshes of which a dataplane is missing.
    dataplanes: BTreeSet<String>,
}

impl Gaps {
    /// Whether all dataplanes of a mesh are known.
    #[must_use]
    pub fn has_all_dataplanes(&self, mesh: &str) -> bool {
        self.has_all_documents(mesh) && !self.dataplanes.contains(mesh)
    }

    /// Whether every document of a mesh could be read.
    #[must_use]
    pub fn has_all_documents(&self, mesh: &str) -> bool {
        !self.anything && !self.documents.contains(mesh)
    }

    /// Notes a resource that could not be understood.
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

    /// Notes what an error keeps from being known.
    pub(super) fn note(&mut self, diagnostic: &Diagnostic) {
        match &diagnostic.holds {
            Holds::Nothing => {}
            Holds::Meshes(meshes) => self.documents.extend(meshes.iter().cloned()),
            Holds::All => self.anything = true,
        }
    }
}
