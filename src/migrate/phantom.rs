//! Phantoms: dataplanes that are not in the tree, one for each selector that no dataplane of the tree has.

use std::sync::Arc;

use super::content::OFF;
use super::rule::Rule;
use super::subject::{Need, Subject, Subjects, Wanted};
use crate::keep::Text;
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::kinds::target_ref::Target;
use crate::resource::value::tags::{SERVICE, Tags};
use crate::select::mesh_trace::Traces;
use crate::select::{self, Index};

/// Adds a subject for each rule that decides about no dataplane of the tree: one with just the tags that it wants, so that the plan
/// serves dataplanes that are not in the tree, too.
pub(super) fn add(rules: &[Rule], existing: &[Arc<MeshTrace>], subjects: &mut Subjects) {
    let mut decides = vec![false; rules.len()];
    let mut seen = vec![false; subjects.all.len()];
    for (i, rule) in rules.iter().enumerate() {
        for id in subjects.with(&rule.wanted) {
            decides[i] |= !std::mem::replace(&mut seen[id], true);
        }
    }
    let mut filed = index(rules.iter().map(|rule| Some(rule.wanted.clone())));
    let mut others = index(existing.iter().map(|policy| wanted_by(policy)));
    for (rule, _) in rules.iter().zip(&decides).filter(|(_, decides)| !**decides) {
        let mut tags = Tags::new();
        for (key, value) in &rule.wanted {
            tags.insert(
                key.clone(),
                if value.as_str() == "*" {
                    Text::from("any")
                } else {
                    value.clone()
                },
            );
        }
        tags.try_insert(SERVICE.into(), "any".into());
        let governing = matching(&mut others, &tags).into_iter();
        let traces = Traces::of(governing.map(|policy| Arc::clone(&existing[policy])).collect());
        let is_governed = traces.merged.as_ref().is_some_and(|merged| merged.backend().is_some());
        let content = matching(&mut filed, &tags)
            .first()
            .map_or(OFF, |first| rules[*first].content);
        subjects.add(Subject {
            tags: vec![tags],
            need: if is_governed {
                Need::Governed
            } else {
                Need::Content(content)
            },
            traces: Arc::new(traces),
        });
    }
}

/// The tags that the target of a policy wants; `None` for one that selects by name or label, or has no effect.
fn wanted_by(policy: &MeshTrace) -> Option<Wanted> {
    let mut wanted = Wanted::new();
    let tags = match &policy.target.target {
        Target::Mesh { tags, .. } => Some(tags),
        Target::Service {
            name: Some(name), tags, ..
        } => {
            wanted.insert(SERVICE.into(), name.value.clone());
            Some(tags)
        }
        Target::Dataplane {
            name: None,
            labels: None,
            namespace: None,
        } => None,
        Target::Service { .. } | Target::Gateway { .. } | Target::Dataplane { .. } => return None,
    };
    wanted.extend(
        tags.into_iter()
            .flat_map(|tags| tags.tags.iter())
            .map(|(key, value)| (key.clone(), value.value.clone())),
    );
    (!policy.header.is_shadow()).then_some(wanted)
}

/// An index of the numbers of those that want tags.
fn index(all: impl Iterator<Item = Option<Wanted>>) -> Index<usize> {
    let need = |(key, value): (Text, Text)| select::Need {
        key,
        value: (value.as_str() != "*").then_some(value),
    };
    let entries = all.enumerate();
    let entries = entries.filter_map(|(i, wanted)| Some((wanted?.into_iter().map(need).collect(), i)));
    Index::new(entries.collect())
}

/// The numbers of those whose wanted tags are there, sorted.
fn matching(index: &mut Index<usize>, tags: &Tags) -> Vec<usize> {
    let mut lists = Vec::new();
    index.find(tags, &mut lists);
    let mut found: Vec<usize> = lists.into_iter().flat_map(|list| index.list(list)).copied().collect();
    found.sort_unstable();
    found
}
