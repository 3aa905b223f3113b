//! What a selection keeps for that of the next snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use super::destination::{DataplaneChanges, Services};
use super::likeness::Likeness;
use super::policies::{Candidates, MeshPolicies, Policies};
use crate::kuma::Kuma;
use crate::resource::Resources;
use crate::resource::kinds::dataplane::Dataplane;
use crate::system::parallel;

/// The policies for each dataplane of the last snapshot, and the services.
///
/// It grows with the dataplanes and the policies of one snapshot: what the next one does not have is forgotten.
#[derive(Debug, Default)]
pub struct Cache {
    kuma: Option<Kuma>,
    candidates: Candidates,
    /// The candidates of meshes by what they need, once a few dataplanes asked for them.
    indexes: HashMap<String, MeshPolicies>,
    /// The dataplanes, sorted by mesh and name, with their policies.
    dataplanes: Vec<(Arc<Dataplane>, Arc<Policies>)>,
    services: Services,
    /// The number of snapshots that differed in what [`generation`](Self::generation) is about.
    generation: u64,
}

impl Cache {
    /// Brings the cache up to date with the resources of the next snapshot. Policies are looked for only for dataplanes
    /// that are new, unless a policy has changed.
    pub(super) fn update(&mut self, resources: &Resources, kuma: &Kuma) {
        if self.kuma.as_ref() != Some(kuma) {
            *self = Self {
                kuma: Some(kuma.clone()),
                generation: self.generation + 1,
                ..Self::default()
            };
        }
        let is_same = self.candidates.are_of(resources);
        let mut before = None;
        if !is_same {
            before = Some(std::mem::replace(&mut self.candidates, Candidates::of(resources)));
            self.indexes.clear();
        }
        let Compared {
            found,
            changes,
            is_alike,
        } = compare(std::mem::take(&mut self.dataplanes), &resources.dataplanes);
        if !is_same || !is_alike {
            self.generation += 1;
        }
        let is_missing = |found: &Option<Arc<Policies>>| !is_same || found.is_none();
        let missing = resources.dataplanes.iter().zip(&found);
        let missing = missing.filter(|(_, found)| is_missing(found));
        let missing: Vec<&Arc<Dataplane>> = missing.map(|(dataplane, _)| dataplane).collect();
        let mut new = self.find(&missing, kuma).into_iter();
        let mut likeness = before.as_ref().map(|before| Likeness::new(before, &self.candidates));
        let all = resources.dataplanes.iter().zip(found).filter_map(|(dataplane, found)| {
            let new = is_missing(&found).then(|| new.next()).flatten();
            let policies = match (found, new, &mut likeness) {
                (Some(found), Some(new), Some(likeness)) => {
                    let is_same = likeness.is_same(dataplane.header.mesh(), &found, &new);
                    if is_same { found } else { new }
                }
                (found, new, _) => new.or(found)?,
            };
            Some((Arc::clone(dataplane), policies))
        });
        self.dataplanes = all.collect();
        self.services.update(resources, &changes, kuma.fidelity);
    }

    /// The policies for dataplanes, which are sorted by mesh.
    fn find(&mut self, dataplanes: &[&Arc<Dataplane>], kuma: &Kuma) -> Vec<Arc<Policies>> {
        let mut found = Vec::with_capacity(dataplanes.len());
        let Self {
            candidates, indexes, ..
        } = self;
        for of_mesh in dataplanes.chunk_by(|a, b| a.header.mesh() == b.header.mesh()) {
            let mesh = of_mesh[0].header.mesh();
            let index = || MeshPolicies::new(candidates, mesh, kuma);
            let threads = parallel::threads_for(of_mesh.len());
            if threads > 1 {
                // Each thread indexes the candidates, which pays for many dataplanes only.
                found.extend(parallel::map_with(of_mesh, threads, index, |index, dataplane| {
                    index.of(dataplane, candidates, kuma)
                }));
            } else {
                let index = indexes.entry(mesh.to_owned()).or_insert_with(index);
                found.extend(of_mesh.iter().map(|dataplane| index.of(dataplane, candidates, kuma)));
            }
        }
        found
    }

    /// The dataplanes with their policies, in the order of mesh and name.
    pub(super) fn dataplanes(&self) -> &[(Arc<Dataplane>, Arc<Policies>)] {
        &self.dataplanes
    }

    /// The services of all meshes.
    pub(super) fn services(&self) -> &Services {
        &self.services
    }

    /// A number that changes when a policy, a mesh, a gateway or a route changes, or when a dataplane comes, goes or
    /// changes in what policies can match.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }
}

/// The dataplanes of the last snapshot compared with those of the next.
#[derive(Default)]
struct Compared {
    /// The policies of each of the next dataplanes whose predecessor policies could not tell from it.
    found: Vec<Option<Arc<Policies>>>,
    changes: DataplaneChanges,
    /// Whether policies cannot tell the two lists apart.
    is_alike: bool,
}

fn compare(last: Vec<(Arc<Dataplane>, Arc<Policies>)>, next: &[Arc<Dataplane>]) -> Compared {
    let mut compared = Compared {
        is_alike: true,
        found: Vec::with_capacity(next.len()),
        ..Compared::default()
    };
    let mut last = last.into_iter().peekable();
    let changes = &mut compared.changes;
    for dataplane in next {
        let is_it = |last: &Arc<Dataplane>| Arc::ptr_eq(last, dataplane);
        let is_before = |last: &Arc<Dataplane>| !is_it(last) && last.header.order() < dataplane.header.order();
        while let Some((gone, _)) = last.next_if(|(last, _)| is_before(last)) {
            changes.gone.push(gone);
            compared.is_alike = false;
        }
        let is_named = |last: &Arc<Dataplane>| is_it(last) || last.header.order() == dataplane.header.order();
        let found = match last.next_if(|(last, _)| is_named(last)) {
            Some((last, policies)) if is_it(&last) => Some(policies),
            Some((last, policies)) => {
                let is_alike = last.matches_as(dataplane);
                changes.gone.push(last);
                changes.new.push(Arc::clone(dataplane));
                is_alike.then_some(policies)
            }
            None => {
                changes.new.push(Arc::clone(dataplane));
                None
            }
        };
        compared.is_alike &= found.is_some();
        compared.found.push(found);
    }
    for (gone, _) in last {
        changes.gone.push(gone);
        compared.is_alike = false;
    }
    compared
}
