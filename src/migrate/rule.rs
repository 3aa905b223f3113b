//! Rules: the tags that dataplanes must have, and the content that they get. Of the rules that match a dataplane, the first one
//! decides.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::content::{ContentId, Contents};
use super::subject::{Need, Subjects, Wanted};
use crate::keep::Text;
use crate::kuma::Ties;
use crate::resource::kinds::mesh::Mesh;
use crate::resource::kinds::traffic_trace::TrafficTrace;
use crate::resource::value::names::is_mesh_name;
use crate::resource::value::tags::SERVICE;
use crate::select::{backend_name, strongest_first};

/// A rule of a mesh.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) wanted: Wanted,
    pub(super) content: ContentId,
    /// The policy that the rule comes from.
    pub(super) policy: Arc<TrafficTrace>,
    /// The names of other policies that it stands for.
    pub(super) merged: BTreeSet<String>,
    /// Whether its content is that of the `MeshTrace` that governs the dataplanes already.
    pub(super) is_copy: bool,
}

/// The rules of the policies of a mesh as they are written, the strongest first. Of several with the same tags, the first one is
/// left.
pub(super) fn as_written(
    policies: &[Arc<TrafficTrace>],
    mesh: Option<&Mesh>,
    contents: &Contents,
    ties: Ties,
) -> Vec<Rule> {
    let mut seen = HashSet::new();
    let mut rules = Vec::new();
    for (policy, selector) in strongest_first(policies, ties) {
        let tags = selector.tags.iter();
        let wanted: Wanted = tags.map(|(key, value)| (key.clone(), value.value.clone())).collect();
        if seen.insert(wanted.clone()) {
            let position = mesh.and_then(|mesh| mesh.position(backend_name(policy, Some(mesh))?));
            rules.push(Rule {
                wanted,
                content: contents.of_backend(position),
                policy: Arc::clone(policy),
                merged: BTreeSet::new(),
                is_copy: false,
            });
        }
    }
    rules
}

/// Whether a dataplane can have the tags: their values have no slash, which a selector may have.
pub(super) fn is_possible(wanted: &Wanted) -> bool {
    !wanted.values().any(|value| value.contains('/'))
}

/// Whether a `targetRef` can say what a rule wants: `*` only beside the name of a service.
pub(super) fn is_expressible(wanted: &Wanted) -> bool {
    let has_wildcard = wanted.values().any(|value| value.as_str() == "*");
    !has_wildcard || service_of(wanted).is_some()
}

/// The service that a rule wants, if a `targetRef` can name it.
pub(super) fn service_of(wanted: &Wanted) -> Option<&str> {
    let service = wanted.get(SERVICE)?.as_str();
    is_mesh_name(service).then_some(service)
}

/// Rules that a `targetRef` can say. Where `*` stands for a value, the tag is left out if no dataplane of the tree tells the
/// difference; else each value that the tree has gets a rule.
pub(super) fn expressible(rules: Vec<Rule>, subjects: &Subjects) -> Vec<Rule> {
    let mut decided = vec![false; subjects.all.len()];
    let mut all = Vec::with_capacity(rules.len());
    for rule in rules {
        let matched = subjects.with(&rule.wanted);
        let rules = match is_expressible(&rule.wanted) {
            true => vec![rule],
            false => without_wildcards(rule, &matched, &decided, subjects),
        };
        matched.iter().for_each(|id| decided[*id] = true);
        all.extend(rules);
    }
    let mut seen = HashSet::new();
    all.retain(|rule| seen.insert(rule.wanted.clone()));
    all
}

/// The rules without `*` that stand for one with it; `decided` are the subjects that stronger rules match.
fn without_wildcards(mut rule: Rule, matched: &[usize], decided: &[bool], subjects: &Subjects) -> Vec<Rule> {
    let keys: Vec<_> = rule
        .wanted
        .iter()
        .filter(|(_, value)| value.as_str() == "*")
        .map(|(key, _)| key.clone())
        .collect();
    let mut kept = Vec::new();
    for key in keys {
        let mut wider = rule.wanted.clone();
        wider.remove(&key);
        let is_same = |id: &usize| {
            let need = subjects.all[*id].need;
            decided[*id]
                || matched.binary_search(id).is_ok()
                || matches!(need, Need::Any)
                || need == Need::Content(rule.content)
        };
        match subjects.with(&wider).iter().all(is_same) {
            true => rule.wanted = wider,
            false => kept.push(key),
        }
    }
    valued(rule, &kept, matched, subjects)
}

/// The rules with a value of the tree in the place of each `*` of the given tags.
pub(super) fn valued(rule: Rule, keys: &[Text], matched: &[usize], subjects: &Subjects) -> Vec<Rule> {
    let Some((key, others)) = keys.split_first() else {
        return vec![rule];
    };
    let values = subjects.values(matched, &rule.wanted, key);
    let with = values.into_iter().flat_map(|value| {
        let mut rule = rule.clone();
        rule.wanted.insert(key.clone(), value);
        valued(rule, others, matched, subjects)
    });
    with.collect()
}
