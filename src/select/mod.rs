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

mod mesh_route;

mod traffic_route;

pub mod mesh_trace;

pub mod otel;

mod policies;

mod cache;

pub mod route;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use self::cache::Cache;
pub use self::policies::{Policies, backend_name};
pub use self::ranked::{Candidate, Ranked};

use crate::diag::Diagnostics;
use crate::kuma::Kuma;
use crate::resource::Resources;
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::kinds::mesh::{Backend, Mesh};
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::kinds::traffic_trace::TrafficTrace;
use crate::resource::value::protocol::Protocol;
use crate::system::parallel;

use self::destination::Services;
use self::route::Routing;
use self::scope::Rule;

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
}

/// The policies that govern one dataplane.
#[derive(Debug, Clone)]
pub struct Governed<'a> {
    /// The dataplane that is governed.
    pub dataplane: &'a Dataplane,
    /// The `Mesh` resource, if there is one.
    pub mesh: Option<&'a Mesh>,
    /// The policies for the dataplane.
    pub policies: &'a Policies,
    /// The outbounds with their destinations, in the order of declaration; none if the caller does not need them.
    pub outbounds: Vec<route::ResolvedOutbound<'a>>,
}

impl Selection<'_> {
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
}

/// The part of a selection that the caller needs, and what it depends on beside the resources.
#[derive(Debug, Clone, Copy)]
pub struct SelectOptions<'o> {
    /// The control plane whose behaviour is compiled.
    pub kuma: &'o Kuma,
    /// The protocols of services that have no dataplane among the resources.
    pub hints: &'o BTreeMap<String, Protocol>,
    /// The rules that choose the dataplanes whose outbounds are needed; without rules, all are.
    pub scope: &'o [Rule],
}

/// Selects the policies, gateway and destinations of every dataplane. What is in `cache` changes the cost and not the
/// result.
///
/// The cost follows the number of dataplanes plus that of policies.
pub fn select<'a>(
    resources: &'a Resources,
    options: &SelectOptions,
    cache: &'a mut Cache,
    diagnostics: &mut Diagnostics,
) -> Selection<'a> {
    cache.update(resources, options.kuma);
    let cache: &'a Cache = cache;
    let govern = |(dataplane, policies): &'a (Arc<Dataplane>, Arc<Policies>)| {
        let mesh = dataplane.header.mesh();
        let mut found = Diagnostics::default();
        let outbounds = if scope::contains(options.scope, dataplane) {
            let routing = Routing {
                policies,
                complete: resources.gaps.has_all_dataplanes(mesh),
                services: cache.services(),
                kuma: options.kuma,
                hints: options.hints,
            };
            routing.outbounds(dataplane, &mut found)
        } else {
            Vec::new()
        };
        let governed = Governed {
            dataplane,
            mesh: resources.mesh(mesh),
            policies,
            outbounds,
        };
        (governed, found)
    };
    let mut dataplanes = Vec::with_capacity(resources.dataplanes.len());
    for (governed, found) in parallel::map_with(
        cache.dataplanes(),
        parallel::threads_for(cache.dataplanes().len()),
        || (),
        |(), known| govern(known),
    ) {
        dataplanes.push(governed);
        diagnostics.append(found);
    }
    Selection {
        dataplanes,
        services: cache.services(),
        generation: cache.generation(),
    }
}
