//! The policies with selectors that match a dataplane, by their specificity.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::HashMap;

use super::index::{Index, ListId, needs};
use crate::kuma::Ties;
use crate::resource::Header;
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::kinds::mesh_gateway::MeshGateway;
use crate::resource::kinds::traffic_trace::TrafficTrace;
use crate::resource::value::tags::{Rank, Selector};

/// A policy that matches a dataplane.
#[derive(Debug)]
pub struct Candidate<P = TrafficTrace> {
    /// The policy that matches.
    pub policy: Arc<P>,
    /// The specificity of the best matching selector.
    pub rank: Rank,
    /// The place among all selectors of the mesh, the strongest first.
    order: usize,
}

impl<P> Clone for Candidate<P> {
    fn clone(&self) -> Self {
        Self {
            policy: Arc::clone(&self.policy),
            ..*self
        }
    }
}

/// The policies that match a dataplane, which dataplanes with equal tags share.
#[derive(Debug)]
pub struct Ranked<P = TrafficTrace> {
    /// The strongest policy.
    pub winner: Option<Candidate<P>>,
    /// The matching policies, each list by decreasing strength. A policy is in several lists, or several times in
    /// one, if several of its selectors match.
    lists: Vec<Arc<[Candidate<P>]>>,
}

impl<P> Default for Ranked<P> {
    fn default() -> Self {
        Self {
            winner: None,
            lists: Vec::new(),
        }
    }
}

impl<P> Ranked<P> {
    fn new(lists: Vec<Arc<[Candidate<P>]>>) -> Self {
        let firsts = lists.iter().filter_map(|list| list.first());
        let winner = firsts.min_by_key(|candidate| candidate.order).cloned();
        Self { winner, lists }
    }

    /// The matching policies, in lists that dataplanes share. A policy may be in several of them.
    pub fn lists(&self) -> impl ExactSizeIterator<Item = &Arc<[Candidate<P>]>> {
        self.lists.iter()
    }

    /// The policies that lose, the strongest first. The cost is that of sorting them.
    #[must_use]
    pub fn lost(&self) -> Vec<&Candidate<P>> {
        let mut all = sorted(self.lists.iter().flat_map(|list| list.iter()));
        all.drain(..all.len().min(1));
        all
    }

    /// The policies that are as specific as the winner, so that only name or creation time decided.
    #[must_use]
    pub fn tied(&self) -> Vec<&Candidate<P>> {
        let rank = self.winner.as_ref().map(|winner| winner.rank);
        let strongest = self.lists.iter().flat_map(|list| {
            let list = list.iter();
            list.take_while(move |candidate| Some(candidate.rank) == rank)
        });
        let mut tied = sorted(strongest);
        tied.drain(..tied.len().min(1));
        tied
    }
}

/// The policies that match any of several dataplanes; a list that many share is looked at once.
pub(super) fn matching<'r, P: 'r>(all: impl Iterator<Item = &'r Ranked<P>>) -> BTreeSet<*const P> {
    let (mut lists, mut found) = (BTreeSet::new(), BTreeSet::new());
    for list in all.flat_map(|ranked| &ranked.lists) {
        if lists.insert(Arc::as_ptr(list).cast::<()>()) {
            found.extend(list.iter().map(|candidate| Arc::as_ptr(&candidate.policy)));
        }
    }
    found
}

/// The candidates by their strength; of those of one policy, the strongest.
fn sorted<'c, P>(candidates: impl Iterator<Item = &'c Candidate<P>>) -> Vec<&'c Candidate<P>> {
    let mut candidates: Vec<&Candidate<P>> = candidates.collect();
    candidates.sort_by_key(|candidate| candidate.order);
    let mut seen = BTreeSet::new();
    candidates.retain(|candidate| seen.insert(Arc::as_ptr(&candidate.policy)));
    candidates
}

/// A resource that matches dataplanes by at least one of its selectors.
pub trait Selecting {
    /// Type, mesh, name and labels.
    fn header(&self) -> &Header;
    /// The selectors, one of which must match.
    fn selectors(&self) -> &[Selector];
}

impl Selecting for TrafficTrace {
    fn header(&self) -> &Header {
        &self.header
    }

    fn selectors(&self) -> &[Selector] {
        &self.selectors
    }
}

impl Selecting for MeshGateway {
    fn header(&self) -> &Header {
        &self.header
    }

    fn selectors(&self) -> &[Selector] {
        &self.selectors
    }
}

/// The selectors of several policies, each with its policy, the strongest first.
///
/// Policies are compared by their best matching selector. Among equals the latest `creationTime` wins
/// if `ties` asks for it, then the smallest name.
pub fn strongest_first<P: Selecting>(policies: &[Arc<P>], ties: Ties) -> Vec<(&Arc<P>, &Selector)> {
    let each = policies.iter().flat_map(|policy| {
        let selectors = policy.selectors().iter();
        selectors.map(move |selector| (policy, selector))
    });
    let mut all: Vec<(&Arc<P>, &Selector)> = each.collect();
    all.sort_by(|(a, one), (b, other)| {
        let by_rank = other.rank().cmp(&one.rank());
        by_rank.then_with(|| precedence(a.header(), b.header(), ties))
    });
    all
}

/// The resources of a mesh that match dataplanes by selectors.
#[derive(Debug)]
pub(super) struct Selectors<P> {
    index: Index<Candidate<P>>,
    lists: HashMap<ListId, Arc<[Candidate<P>]>>,
    ranked: HashMap<Vec<ListId>, Arc<Ranked<P>>>,
}

impl<P: Selecting> Selectors<P> {
    /// The resources of one mesh.
    pub(super) fn new(policies: &[Arc<P>], ties: Ties) -> Self {
        let all = strongest_first(policies, ties);
        let entries = all.into_iter().enumerate().map(|(order, (policy, selector))| {
            let rank = selector.rank();
            let policy = Arc::clone(policy);
            (needs(selector), Candidate { policy, rank, order })
        });
        Self {
            index: Index::new(entries.collect()),
            lists: HashMap::default(),
            ranked: HashMap::default(),
        }
    }

    /// The resources that match a dataplane.
    pub(super) fn for_dataplane(&mut self, dataplane: &Dataplane) -> Arc<Ranked<P>> {
        let mut ids = Vec::new();
        for tags in dataplane.tag_sets() {
            self.index.find(tags, &mut ids);
        }
        ids.sort_unstable();
        ids.dedup();
        if let Some(known) = self.ranked.get(&ids) {
            return Arc::clone(known);
        }
        let (index, lists) = (&self.index, &mut self.lists);
        let list = |id: &ListId| Arc::clone(lists.entry(*id).or_insert_with(|| index.list(*id).into()));
        let ranked = Arc::new(Ranked::new(ids.iter().map(list).collect()));
        self.ranked.insert(ids, Arc::clone(&ranked));
        ranked
    }
}

/// The order of two equally specific policies.
fn precedence(a: &Header, b: &Header, ties: Ties) -> Ordering {
    let by_time = match ties {
        Ties::Name => Ordering::Equal,
        Ties::CreationTime => b.creation_time.cmp(&a.creation_time),
    };
    by_time.then_with(|| a.name().cmp(b.name()))
}
