//! The policies for a dataplane that stay the same although policies for others changed.

use std::sync::Arc;

use foldhash::HashMap;

use super::policies::{Candidates, Policies};
use super::ranked::{Candidate, Ranked};
use crate::keep;

/// A comparison of the policies for dataplanes before and after a change of `TrafficTrace` or `MeshTrace` resources.
///
/// What dataplanes share is compared once, so that the cost is not that of every policy for every dataplane.
pub(super) struct Likeness<'c> {
    before: &'c Candidates,
    now: &'c Candidates,
    /// Whether all but the meshes and the policies that trace are the very same.
    is_beside_traces: bool,
    known: HashMap<(usize, usize), bool>,
}

impl<'c> Likeness<'c> {
    pub(super) fn new(before: &'c Candidates, now: &'c Candidates) -> Self {
        Self {
            before,
            now,
            is_beside_traces: before.are_same_beside_traces(now),
            known: HashMap::default(),
        }
    }

    /// The policies for a dataplane of the mesh, in which policies see no change: those from before if they say the same.
    pub(super) fn keep(&mut self, mesh: &str, before: Arc<Policies>, now: Arc<Policies>) -> Arc<Policies> {
        if self.is_same(mesh, &before, &now) { before } else { now }
    }

    fn is_same(&mut self, mesh: &str, before: &Arc<Policies>, now: &Arc<Policies>) -> bool {
        let is_of_same_mesh = || match (self.before.mesh(mesh), self.now.mesh(mesh)) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        self.is_beside_traces
            && is_of_same_mesh()
            && self.once((Arc::as_ptr(before).addr(), Arc::as_ptr(now).addr()), |this| {
                keep::are_same(&before.mesh_trace.policies, &now.mesh_trace.policies)
                    && this.is_same_ranking(&before.traffic_traces, &now.traffic_traces)
            })
    }

    fn is_same_ranking(&mut self, before: &Ranked, now: &Ranked) -> bool {
        let pairs: Vec<_> = before.lists().zip(now.lists()).collect();
        before.lists().len() == now.lists().len()
            && pairs.into_iter().all(|(before, now)| {
                let key = (before.as_ptr().addr(), now.as_ptr().addr());
                self.once(key, |_| are_same_candidates(before, now))
            })
    }

    /// The answer for two values by their addresses, at which nothing else is while they are compared.
    fn once(&mut self, key: (usize, usize), answer: impl FnOnce(&mut Self) -> bool) -> bool {
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let answer = answer(self);
        self.known.insert(key, answer);
        answer
    }
}

fn are_same_candidates(before: &[Candidate], now: &[Candidate]) -> bool {
    let is_same =
        |(before, now): (&Candidate, &Candidate)| Arc::ptr_eq(&before.policy, &now.policy) && before.rank == now.rank;
    before.len() == now.len() && before.iter().zip(now).all(is_same)
}
