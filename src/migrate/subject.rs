//! The dataplanes of a mesh as a plan sees them: those that no policy can tell apart are one.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::content::{ContentId, Contents};
use crate::keep::Text;
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::value::tags::Tags;
use crate::select::Governed;
use crate::select::mesh_trace::Traces;
use crate::select::target::listener_tags;

/// The tags that a dataplane must have on one inbound or gateway; `*` for any value.
pub(super) type Wanted = BTreeMap<Text, Text>;

/// Dataplanes that are alike for every policy.
#[derive(Debug)]
pub(super) struct Subject {
    /// The tags of each inbound or gateway that a `targetRef` is compared with.
    pub(super) tags: Vec<Tags>,
    pub(super) need: Need,
    /// The `MeshTrace` policies that govern the dataplanes already.
    pub(super) traces: Arc<Traces>,
}

/// The tracing that dataplanes need from new policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Need {
    /// This content.
    Content(ContentId),
    /// None: a `MeshTrace` with a backend governs them already.
    Governed,
    /// Any: they have no listener, or none that policies can reach.
    Any,
}

impl Subject {
    /// The new policy's rivals: those `MeshTrace` policies that govern the dataplanes already.
    pub(super) fn rivals(&self) -> &[Arc<MeshTrace>] {
        &self.traces.policies
    }

    pub(super) fn matches(&self, wanted: &Wanted) -> bool {
        self.tags.iter().any(|tags| has(tags, wanted))
    }
}

/// Whether tags are those that are wanted.
pub(super) fn has(tags: &Tags, wanted: &Wanted) -> bool {
    wanted.iter().all(|(key, value)| {
        let found = tags.get(key.as_str());
        found.is_some_and(|found| value.as_str() == "*" || found == value)
    })
}

/// The subjects of one mesh, by their tags.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    pub(super) all: Vec<Subject>,
    by_tag: HashMap<(Text, Text), Vec<usize>>,
    by_key: HashMap<Text, Vec<usize>>,
}

impl Subjects {
    /// The dataplanes, grouped by what policies see of them. The cost grows with their tags.
    pub(super) fn of<'g, 'a: 'g>(dataplanes: impl Iterator<Item = &'g Governed<'a>>, contents: &Contents) -> Self {
        let mut known = HashMap::new();
        let mut subjects = Self::default();
        for governed in dataplanes {
            let gateway = governed.policies.policy_gateway.as_deref();
            let tags: Vec<Tags> = listener_tags(governed.dataplane, gateway)
                .map(Cow::into_owned)
                .collect();
            let traces = &governed.policies.mesh_trace;
            let need = need(governed, contents, tags.is_empty());
            let sets: Vec<Vec<(Text, Text)>> = tags
                .iter()
                .map(|tags| tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
                .collect();
            known
                .entry((sets, need, Arc::as_ptr(traces).addr()))
                .or_insert_with(|| {
                    subjects.add(Subject {
                        tags,
                        need,
                        traces: Arc::clone(traces),
                    });
                });
        }
        subjects
    }

    /// Adds a subject.
    pub(super) fn add(&mut self, subject: Subject) {
        let id = self.all.len();
        for (key, value) in subject.tags.iter().flat_map(Tags::iter) {
            for list in [
                self.by_tag.entry((key.clone(), value.clone())).or_default(),
                self.by_key.entry(key.clone()).or_default(),
            ] {
                if list.last() != Some(&id) {
                    list.push(id);
                }
            }
        }
        self.all.push(subject);
    }

    /// The subjects with the tags, in their order. The cost is that of the tag that the fewest have.
    pub(super) fn with(&self, wanted: &Wanted) -> Vec<usize> {
        let lists = wanted.iter().map(|(key, value)| {
            let list = match value.as_str() {
                "*" => self.by_key.get(key),
                _ => self.by_tag.get(&(key.clone(), value.clone())),
            };
            list.map_or(&[][..], Vec::as_slice)
        });
        match lists.min_by_key(|list| list.len()) {
            Some(list) => list
                .iter()
                .copied()
                .filter(|id| self.all[*id].matches(wanted))
                .collect(),
            None => (0..self.all.len())
                .filter(|id| !self.all[*id].tags.is_empty())
                .collect(),
        }
    }

    /// The numbers of the wanted tags that each subject has, in their order.
    pub(super) fn lists<'w>(&self, all: impl Iterator<Item = &'w Wanted>) -> Vec<Vec<usize>> {
        let mut lists = vec![Vec::new(); self.all.len()];
        for (i, wanted) in all.enumerate() {
            self.with(wanted).into_iter().for_each(|id| lists[id].push(i));
        }
        lists
    }

    /// The values of a tag of the given subjects, where all other tags are as wanted; sorted.
    pub(super) fn values(&self, ids: &[usize], wanted: &Wanted, key: &Text) -> BTreeSet<Text> {
        let sets = ids
            .iter()
            .flat_map(|id| &self.all[*id].tags)
            .filter(|tags| has(tags, wanted));
        sets.filter_map(|tags| tags.get(key.as_str()).cloned()).collect()
    }
}

fn need(governed: &Governed, contents: &Contents, is_unreachable: bool) -> Need {
    let merged = governed.policies.mesh_trace.merged.as_ref();
    if is_unreachable {
        Need::Any
    } else if merged.is_some_and(|merged| merged.backend().is_some()) {
        Need::Governed
    } else {
        Need::Content(contents.of_backend(governed.backend_position()))
    }
}
