//! Kuma's nouns, each with the places its values came from.
//!
//! Start with [`parse`] and [`Resources`]. Every kind has a file that decodes it and checks its fields as
//! Kuma would; looking from one resource to another is left to later stages, but for what makes a resource
//! belong: its mesh and its name.

mod chosen;
mod decode;
mod decoder;
mod generated;
mod header;
mod kind;
mod labels;
mod list;
mod parse;

pub mod dataplane;
pub mod external_service;
pub mod mesh;
pub mod mesh_gateway;
pub mod mesh_open_telemetry_backend;
pub mod mesh_route;
pub mod mesh_service;
pub mod mesh_trace;
pub mod otlp;
pub mod percent;
pub mod protocol;
pub mod tags;
pub mod target_ref;
pub mod traffic_route;
pub mod traffic_trace;
pub mod url;

pub use chosen::{Chosen, Source};
pub use decode::{Located, Origin, TextMap};
pub use header::{Header, Role};
pub use kind::Kind;
pub use labels::{DISPLAY_NAME, NAMESPACE, WORKLOAD, ZONE_LABEL};
pub use parse::parse;

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Diagnostic, Holds, ResourceId};

use self::dataplane::Dataplane;
use self::external_service::ExternalService;
use self::mesh::Mesh;
use self::mesh_gateway::MeshGateway;
use self::mesh_open_telemetry_backend::MeshOpenTelemetryBackend;
use self::mesh_route::MeshRoute;
use self::mesh_service::MeshService;
use self::mesh_trace::MeshTrace;
use self::traffic_route::TrafficRoute;
use self::traffic_trace::TrafficTrace;

/// Whose behaviour is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kuma {
    /// The version.
    pub version: Version,
    /// What the documentation promises, or what the control plane does.
    pub fidelity: Fidelity,
    /// The zone of the control plane that is stood in for.
    pub zone: String,
    /// The namespace whose policies may select every dataplane.
    pub system_namespace: String,
    /// Whether listeners and clusters are named after resources rather than addresses; `None` means as the version
    /// does.
    pub unified_naming: Option<bool>,
    /// Who wins when two policies are equally specific.
    pub ties: Ties,
}

impl Default for Kuma {
    fn default() -> Self {
        Self {
            version: Version::V2_14,
            fidelity: Fidelity::Documented,
            zone: "default".to_owned(),
            system_namespace: "kuma-system".to_owned(),
            unified_naming: None,
            ties: Ties::Name,
        }
    }
}

/// A version of Kuma.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 2.13.
    V2_13,
    /// 2.14.
    V2_14,
    /// 3.0, as far as it is known.
    V3_0,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V2_13 => "2.13",
            Self::V2_14 => "2.14",
            Self::V3_0 => "3.0",
        })
    }
}

/// What to follow where the documentation and the control plane differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fidelity {
    /// The documentation.
    Documented,
    /// The control plane.
    Exact,
}

/// Who wins when two policies are equally specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ties {
    /// The smallest name.
    Name,
    /// The latest `creationTime`, then the smallest name.
    CreationTime,
}

/// What decoders need to know beside the document.
pub(crate) struct Context<'a> {
    kuma: &'a Kuma,
}

impl Context<'_> {
    /// From 2.14 on a dataplane may have no inbounds, and inbounds no tags.
    fn inbounds_optional(&self) -> bool {
        self.kuma.version >= Version::V2_14
    }

    /// 3.0 drops the tags of inbounds, and outbounds name resources.
    fn inbounds_have_tags(&self) -> bool {
        self.kuma.version < Version::V3_0
    }

    /// From 2.14 on an inbound has the field `protocol`.
    fn has_protocol_field(&self) -> bool {
        self.kuma.version >= Version::V2_14
    }
}

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
    /// What every file is about; of files that cannot be read now, what they were about.
    pub contributions: Contributions,
    /// What is known to be missing, so that nobody concludes anything from its absence.
    pub gaps: Gaps,
    /// How many resources of Kuma were seen, whether understood or not.
    pub seen: usize,
}

/// What is there and could not be understood.
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
    fn miss(&mut self, id: &ResourceId, kind: Kind) {
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
    fn note(&mut self, diagnostic: &Diagnostic) {
        match &diagnostic.holds {
            Holds::Nothing => {}
            Holds::Meshes(meshes) => self.documents.extend(meshes.iter().cloned()),
            Holds::All => self.anything = true,
        }
    }
}
