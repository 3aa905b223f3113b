//! What a selection keeps for that of the next snapshot.

use std::sync::Arc;

use foldhash::HashMap;

use super::destination::{DataplaneChanges, Services};
use super::likeness::Likeness;
use super::policies::{Candidates, MeshPolicies, Policies};
use crate::keep::carry::{self, Carried};
use crate::kuma::Kuma;
use crate::resource::Resources;
use crate::resource::kinds::dataplane::Dataplane;
use crate::sorted;
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
        let before = std::mem::replace(&mut self.candidates, Candidates::of(resources));
        let is_same = self.candidates.are_same(&before);
        if !is_same {
            self.indexes.clear();
        }
        let (old, next) = if is_same {
            carry::window(&self.dataplanes, &resources.dataplanes, |(last, _), next| {
                Arc::ptr_eq(last, next)
            })
        } else {
            (0..self.dataplanes.len(), 0..resources.dataplanes.len())
        };
        let (start, next) = (old.start, &resources.dataplanes[next]);
        let Compared {
            found,
            changes,
            is_alike,
        } = compare(self.dataplanes.drain(old).collect(), next);
        if !is_same || !is_alike {
            self.generation += 1;
        }
        let dataplanes: Vec<&Arc<Dataplane>> = next.iter().collect();
        let policies = if is_same {
            carry::complete(found, &dataplanes, |missing| self.find(missing, kuma))
        } else {
            let new = self.find(&dataplanes, kuma);
            let mut likeness = Likeness::new(&before, &self.candidates);
            let kept = dataplanes.iter().zip(found.into_iter().zip(new));
            let kept = kept.map(|(dataplane, (found, new))| match found {
                Some(found) => likeness.keep(dataplane.header.mesh(), found, new),
                None => new,
            });
            kept.collect()
        };
        (self.dataplanes).splice(start..start, next.iter().cloned().zip(policies));
        self.services.update(resources, &changes, kuma.fidelity);
    }

    /// The policies for dataplanes, which are sorted by mesh.
    fn find(&mut self, dataplanes: &[&Arc<Dataplane>], kuma: &Kuma) -> Vec<Arc<Policies>> {
        let mut found = Vec::with_capacity(dataplanes.len());
        let Self {
            candidates, indexes, ..
        } = self;
        for of_mesh in sorted::runs(dataplanes, |dataplane| dataplane.header.mesh()) {
            let mesh = of_mesh[0].header.mesh();
            let index = || MeshPolicies::new(candidates, mesh, kuma);
            let threads = parallel::threads_for(of_mesh.len());
            if threads > 1 {
                // Each thread indexes the candidates, which pays for many dataplanes only.
                found.extend(parallel::map_with(
                    "selecting policies",
                    of_mesh,
                    threads,
                    index,
                    |index, dataplane| index.of(dataplane, candidates, kuma),
                ));
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
struct Compared {
    /// The policies of each of the next dataplanes whose predecessor policies could not tell from it.
    found: Vec<Option<Arc<Policies>>>,
    changes: DataplaneChanges,
    /// Whether policies cannot tell the two lists apart.
    is_alike: bool,
}

fn compare(last: Vec<(Arc<Dataplane>, Arc<Policies>)>, next: &[Arc<Dataplane>]) -> Compared {
    let Carried { known, gone } = carry::over(last, next, |(last, _), dataplane| last.cmp_by_name(dataplane));
    let is_complete = gone.is_empty();
    let mut changes = DataplaneChanges {
        gone: gone.into_iter().map(|(gone, _)| gone).collect(),
        new: Vec::new(),
    };
    let found = known.into_iter().zip(next).map(|(known, dataplane)| match known {
        Some((last, policies)) if Arc::ptr_eq(&last, dataplane) => Some(policies),
        known => {
            changes.new.push(Arc::clone(dataplane));
            let (last, policies) = known?;
            let is_alike = last.matches_as(dataplane);
            changes.gone.push(last);
            is_alike.then_some(policies)
        }
    });
    let found: Vec<_> = found.collect();
    Compared {
        is_alike: is_complete && found.iter().all(Option::is_some),
        found,
        changes,
    }
}
