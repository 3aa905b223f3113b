//! The policies that govern each dataplane, and the destinations of its outbounds.
//!
//! Start with [`select`]. The module compares and chooses; it knows neither the text of a policy nor Envoy.

pub mod scope;

mod index;

mod ranked;

pub mod target;

mod targets;

mod instances;

pub mod destination;

pub mod inquiry;

mod mesh_route;

mod traffic_route;

pub mod mesh_trace;

pub mod otel;

mod policies;

mod likeness;

mod cache;

pub mod route;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use self::cache::Cache;
pub use self::index::{Index, ListId, Need};
pub use self::policies::{Policies, backend_name};
pub use self::ranked::{Candidate, Ranked, Selecting, strongest_first};
pub use self::targets::of_mesh;

use crate::collectors::Collectors;
use crate::diag::Diagnostics;
use crate::kuma::Kuma;
use crate::resource::Resources;
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::kinds::mesh::{Backend, Mesh};
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::kinds::traffic_trace::TrafficTrace;
use crate::resource::value::protocol::Protocol;
use crate::sorted;

use self::destination::Services;
use self::inquiry::{Inquiry, Sources};
use self::route::{ResolvedOutbound, Routing};

/// The policies that govern every dataplane, in the order of mesh and name.
#[derive(Debug)]
pub struct Selection<'a> {
    /// One entry per dataplane.
    pub dataplanes: Vec<Governed<'a>>,
    /// The services of all meshes.
    pub services: &'a Services,
    /// A number that is the same in two selections of one [`Cache`] if all policies, meshes, gateways and routes are,
    /// and the dataplanes in all that policies can match.
    pub generation: u64,
    /// The settings that it was made with.
    pub options: SelectOptions<'a>,
}

/// The policies that govern one dataplane.
#[derive(Debug, Clone)]
pub struct Governed<'a> {
    /// The dataplane that is governed.
    pub dataplane: &'a Arc<Dataplane>,
    /// The `Mesh` resource, if there is one.
    pub mesh: Option<&'a Mesh>,
    /// The policies for the dataplane.
    pub policies: &'a Arc<Policies>,
    /// Whether all dataplanes of the mesh could be read.
    pub is_complete: bool,
}

impl<'a> Selection<'a> {
    /// The `TrafficTrace` policies that match a dataplane.
    #[must_use]
    pub fn matching_traffic_traces(&self) -> BTreeSet<*const TrafficTrace> {
        ranked::matching(
            self.dataplanes
                .iter()
                .map(|governed| &*governed.policies.traffic_traces),
        )
    }

    /// The `MeshTrace` policies that match a dataplane.
    #[must_use]
    pub fn matching_mesh_traces(&self) -> BTreeSet<*const MeshTrace> {
        let mut seen = BTreeSet::new();
        let traces = self.dataplanes.iter().map(|governed| &governed.policies.mesh_trace);
        let traces = traces.filter(|traces| seen.insert(Arc::as_ptr(traces)));
        let policies = traces.flat_map(|traces| traces.policies.iter());
        policies.map(Arc::as_ptr).collect()
    }

    /// The outbounds of a dataplane with their destinations, in the order of declaration, and the services that they
    /// depend on beside the dataplane and its policies.
    pub fn outbounds(
        &self,
        governed: &Governed<'a>,
        diagnostics: &mut Diagnostics,
    ) -> (Vec<ResolvedOutbound<'a>>, Sources) {
        let routing = Routing {
            policies: governed.policies,
            complete: governed.is_complete,
            services: Inquiry::new(self.services, governed.dataplane),
            kuma: self.options.kuma,
            hints: self.options.hints,
        };
        routing.outbounds(governed.dataplane, diagnostics)
    }
}

impl<'a> Governed<'a> {
    /// The `TrafficTrace` that decides.
    #[must_use]
    pub fn winner(&self) -> Option<&'a Candidate> {
        self.policies.traffic_traces.winner.as_ref()
    }

    /// The backend of that `TrafficTrace`; `None` if the mesh does not have it.
    #[must_use]
    pub fn backend(&self) -> Option<&'a Backend> {
        self.mesh?.backends.get(self.policies.backend?)
    }

    /// The position of that backend in the list of the mesh.
    #[must_use]
    pub fn backend_position(&self) -> Option<usize> {
        self.policies.backend
    }
}

/// The settings that a selection depends on beside the resources.
#[derive(Debug, Clone, Copy)]
pub struct SelectOptions<'o> {
    /// The control plane whose behaviour is compiled.
    pub kuma: &'o Kuma,
    /// The protocols of services that have no dataplane among the resources.
    pub hints: &'o BTreeMap<String, Protocol>,
    /// The collectors as the settings describe them, for those who lower the selection.
    pub collectors: &'o Collectors,
}

/// Selects the policies and the gateway of every dataplane. What is in `cache` changes the cost and not the result.
///
/// The cost follows the number of dataplanes plus that of policies.
pub fn select<'a>(resources: &'a Resources, options: SelectOptions<'a>, cache: &'a mut Cache) -> Selection<'a> {
    cache.update(resources, options.kuma);
    let cache: &'a Cache = cache;
    let mut dataplanes = Vec::with_capacity(cache.dataplanes().len());
    for of_mesh in sorted::runs(cache.dataplanes(), |(dataplane, _)| dataplane.header.mesh()) {
        let name = of_mesh[0].0.header.mesh();
        let (mesh, is_complete) = (resources.mesh(name), resources.gaps.has_all_dataplanes(name));
        dataplanes.extend(of_mesh.iter().map(|(dataplane, policies)| Governed {
            dataplane,
            mesh,
            policies,
            is_complete,
        }));
    }
    Selection {
        dataplanes,
        services: cache.services(),
        generation: cache.generation(),
        options,
    }
}
