//! All valid resources of a snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::document::header::Header;
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
use crate::keep::{self, Text};
use crate::source::{Unreadable, UnreadableReason};

/// The meshes of each file, by its path. Files with the same meshes share them.
pub type Contributions = BTreeMap<Text, Arc<BTreeSet<String>>>;

/// The known files that are unavailable now.
pub(super) fn covered<'k>(
    known: &'k Contributions,
    unreadable: &Unreadable,
) -> Vec<(&'k Text, &'k Arc<BTreeSet<String>>)> {
    let (path, is_glob) = (
        &unreadable.path,
        matches!(unreadable.reason, UnreadableReason::NoMatch(_)),
    );
    let first = if is_glob { "" } else { path.as_str() };
    let candidates = known.range::<str, _>((Bound::Included(first), Bound::Unbounded));
    let candidates = candidates.take_while(|(known, _)| is_glob || known.starts_with(path.as_str()));
    candidates.filter(|(known, _)| unreadable.covers(known)).collect()
}

/// Resources that snapshots share as long as none of them changes.
pub type List<T> = Arc<Vec<Arc<T>>>;

/// Whether two lists have the very same resources.
#[must_use]
pub fn are_same<T>(a: &List<T>, b: &List<T>) -> bool {
    Arc::ptr_eq(a, b) || keep::are_same(a, b)
}

/// All valid resources of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// `Mesh` by name. The mesh `default` exists even without an entry.
    pub meshes: BTreeMap<String, Arc<Mesh>>,
    /// The names of all existing meshes: those declared, validly or not, and `default`.
    pub declared: BTreeSet<String>,
    /// `TrafficTrace`, sorted by mesh and name.
    pub traffic_traces: List<TrafficTrace>,
    /// `TrafficRoute`, sorted by mesh and name.
    pub traffic_routes: List<TrafficRoute>,
    /// `Dataplane`, sorted by mesh and name.
    pub dataplanes: List<Dataplane>,
    /// `MeshTrace`, sorted by mesh and name.
    pub mesh_traces: List<MeshTrace>,
    /// `MeshGateway`, sorted by mesh and name.
    pub mesh_gateways: List<MeshGateway>,
    /// `MeshHTTPRoute`, sorted by mesh and name.
    pub http_routes: List<MeshRoute>,
    /// `MeshTCPRoute`, sorted by mesh and name.
    pub tcp_routes: List<MeshRoute>,
    /// `MeshOpenTelemetryBackend`, sorted by mesh and name.
    pub otel_backends: List<MeshOpenTelemetryBackend>,
    /// `ExternalService`, sorted by mesh and name.
    pub external_services: List<ExternalService>,
    /// `MeshService`, `MeshExternalService` and `MeshMultiZoneService`, sorted by mesh and name.
    pub mesh_services: List<MeshService>,
    /// The policies that configure proxies in other ways than tracing, sorted by mesh and name.
    pub other_policies: List<OtherPolicy>,
    /// The meshes of each file; for an unreadable file, those of its last readable text.
    pub contributions: Arc<Contributions>,
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

/// Does the same with every list of resources.
macro_rules! each_list {
    ($resources:ident, |$list:ident| $work:expr) => {
        each_list! {
            $resources, |$list| $work;
            traffic_traces traffic_routes dataplanes mesh_traces mesh_gateways http_routes tcp_routes otel_backends
            external_services mesh_services other_policies
        }
    };
    ($resources:ident, |$list:ident| $work:expr; $($name:ident)+) => {$({
        let $list = Arc::make_mut(&mut $resources.$name);
        $work;
    })+};
}

impl Resources {
    /// The `Mesh` with that name.
    #[must_use]
    pub fn mesh(&self, name: &str) -> Option<&Mesh> {
        self.meshes.get(name).map(Arc::as_ref)
    }

    /// Carries out a change of one resource. The lists stay sorted with [`ListChange::Insert`] and [`ListChange::Remove`].
    pub(super) fn change(&mut self, change: ListChange, resource: &Resource) {
        macro_rules! change {
            ($($kind:ident: $list:ident,)+) => {
                match resource {
                    Resource::Mesh(mesh) => match change {
                        ListChange::Push | ListChange::Insert => {
                            drop(self.meshes.insert(mesh.header.name().to_owned(), Arc::clone(mesh)))
                        }
                        ListChange::Remove => drop(self.meshes.remove(mesh.header.name())),
                    },
                    $(Resource::$kind(one) => change.carry_out(&mut self.$list, one, |one| &one.header),)+
                }
            };
        }
        change! {
            TrafficTrace: traffic_traces,
            TrafficRoute: traffic_routes,
            Dataplane: dataplanes,
            MeshTrace: mesh_traces,
            MeshGateway: mesh_gateways,
            MeshHttpRoute: http_routes,
            MeshTcpRoute: tcp_routes,
            MeshOpenTelemetryBackend: otel_backends,
            ExternalService: external_services,
            MeshService: mesh_services,
            OtherPolicy: other_policies,
        }
    }

    /// Sorts all lists by mesh and name; resources with one name keep their order.
    pub(super) fn sort(&mut self) {
        each_list!(self, |list| list
            .sort_by(|a, b| a.header.order().cmp(&b.header.order())));
    }

    /// Keeps the resources of meshes that exist, and of several with one name the first.
    pub(super) fn retain_first(&mut self, exists: impl Fn(&str) -> bool) {
        each_list!(self, |list| {
            list.retain(|resource| exists(resource.header.mesh()));
            list.dedup_by(|a, b| a.header.id == b.header.id);
        });
    }
}

/// A change of a list of resources.
#[derive(Debug, Clone, Copy)]
pub(super) enum ListChange {
    /// A resource is added at the end.
    Push,
    /// A resource is added in its place by mesh and name.
    Insert,
    /// A resource is removed.
    Remove,
}

impl ListChange {
    fn carry_out<T: Clone>(self, list: &mut List<T>, resource: &Arc<T>, header: impl Fn(&T) -> &Header) {
        let list = Arc::make_mut(list);
        let place = |list: &[Arc<T>]| list.partition_point(|other| header(other).order() < header(resource).order());
        match self {
            Self::Push => list.push(Arc::clone(resource)),
            Self::Insert => list.insert(place(list), Arc::clone(resource)),
            Self::Remove => {
                let from = place(list);
                if let Some(at) = list[from..].iter().position(|other| Arc::ptr_eq(other, resource)) {
                    list.remove(from + at);
                }
            }
        }
    }
}

/// The invalid resources of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
                self.dataplanes.insert(id.mesh.as_str().to_owned());
            }
            Kind::ExternalService | Kind::MeshExternalService | Kind::MeshMultiZoneService | Kind::MeshService => {
                self.dataplanes.insert(id.mesh.as_str().to_owned());
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
