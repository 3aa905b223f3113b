//! The new policies of a mesh: rules with a `targetRef`, a name, and the fields that keep others from being merged into them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::content::{ContentId, Contents, OFF};
use super::name;
use super::rule::{Rule, service_of, valued};
use super::subject::{Need, Subjects, Wanted};
use super::target::{Target, narrowest_kind};
use crate::keep::Text;
use crate::resource::kinds::target_ref::TargetKind;
use crate::resource::kinds::traffic_trace::TrafficTrace;

/// A new policy.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    /// The policy whose place and name it takes.
    pub(super) home: Arc<TrafficTrace>,
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) content: ContentId,
    pub(super) explicit: Explicit,
    /// The names of other policies that it stands for.
    pub(super) merged: BTreeSet<String>,
}

/// Fields that are written although they have their default, since a wider policy has them, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Explicit {
    pub(super) overall: bool,
    pub(super) client: bool,
    pub(super) random: bool,
    pub(super) tags: bool,
}

/// The policies for rules that a `targetRef` can say, the strongest first.
pub(super) fn policies(
    rules: Vec<Rule>,
    subjects: &Subjects,
    contents: &mut Contents,
    taken: &BTreeSet<String>,
) -> Vec<Planned> {
    let mut ordered = Ordered::of(rules, subjects);
    let narrow = narrow(&ordered, subjects, contents);
    if !narrow.is_empty() {
        let rules = narrow.into_iter().chain(ordered.rules).collect();
        ordered = Ordered::of(rules, subjects);
    }
    let Ordered { rules, kinds, lists } = ordered;
    let explicit = explicit(&rules, &lists, subjects, contents);
    let names = name::of_rules(&rules, &kinds, &lists, subjects, taken);
    let all = rules.into_iter().zip(kinds).zip(explicit).zip(names);
    all.map(|(((rule, kind), explicit), name)| Planned {
        home: rule.policy,
        name,
        target: Target {
            kind,
            wanted: rule.wanted,
        },
        content: rule.content,
        explicit,
        merged: rule.merged,
    })
    .collect()
}

/// Rules as narrow as they can be, for the subjects whose policies of the tree have a kind that does not go with those of the rules:
/// they get the content from a policy of the strongest kind.
fn narrow(ordered: &Ordered, subjects: &Subjects, contents: &mut Contents) -> Vec<Rule> {
    let Ordered { rules, kinds, lists } = ordered;
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (list, subject) in lists.iter().zip(&subjects.all) {
        let (Some(first), Some(merged)) = (list.first(), &subject.traces.merged) else {
            continue;
        };
        let strongest = merged.strongest.target.target.kind();
        let content = match subject.need {
            Need::Content(content) if content != OFF && strongest > kinds[*first] => content,
            Need::Governed => {
                let is_stronger = list.iter().any(|rule| kinds[*rule] > strongest);
                let has_sampling = list
                    .iter()
                    .any(|rule| !contents.get(rules[*rule].content).sampling.is_empty());
                match is_stronger || (has_sampling && merged.sampling.overall.is_none()) {
                    true => contents.add_merged(merged),
                    false => continue,
                }
            }
            Need::Content(_) | Need::Any => continue,
        };
        let mut wanted = subject
            .tags
            .iter()
            .map(|tags| -> Wanted { tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect() });
        let is_same = |wanted: &Wanted| {
            let same = |id: usize| {
                let other = &subjects.all[id];
                match subject.need {
                    Need::Governed => Arc::ptr_eq(&other.traces, &subject.traces),
                    Need::Content(_) | Need::Any => other.need == subject.need,
                }
            };
            service_of(wanted).is_some() && subjects.with(wanted).into_iter().all(same)
        };
        if let Some(wanted) = wanted.find(is_same).filter(|wanted| seen.insert(wanted.clone())) {
            found.push(Rule {
                wanted,
                content,
                policy: Arc::clone(&rules[*first].policy),
                merged: BTreeSet::new(),
                is_copy: subject.need == Need::Governed,
            });
        }
    }
    found
}

/// Rules, the strongest first, with kinds whose precedence does not contradict that order.
struct Ordered {
    rules: Vec<Rule>,
    kinds: Vec<TargetKind>,
    /// The rules that match each subject, the strongest first.
    lists: Vec<Vec<usize>>,
}

impl Ordered {
    /// The kinds of rules: where a weaker rule would have a higher kind, it becomes a `MeshSubset`, in which names decide.
    fn of(mut rules: Vec<Rule>, subjects: &Subjects) -> Self {
        let mut lowered: BTreeSet<Wanted> = BTreeSet::new();
        loop {
            let kind = |rule: &Rule| match lowered.contains(&rule.wanted) {
                true => TargetKind::MeshSubset,
                false => narrowest_kind(&rule.wanted),
            };
            let kinds: Vec<TargetKind> = rules.iter().map(kind).collect();
            let lists = subjects.lists(rules.iter().map(|rule| &rule.wanted));
            let mut wrong = wrong(&rules, &kinds, &lists, subjects);
            wrong.retain(|rule| !lowered.contains(&rules[*rule].wanted));
            if wrong.is_empty() {
                return Self { rules, kinds, lists };
            }
            rules = lower(rules, &wrong, &mut lowered, subjects);
        }
    }
}

/// The rules whose kinds contradict their order, or that of the policies that govern a subject already.
fn wrong(rules: &[Rule], kinds: &[TargetKind], lists: &[Vec<usize>], subjects: &Subjects) -> BTreeSet<usize> {
    let mut wrong = BTreeSet::new();
    for (list, subject) in lists.iter().zip(&subjects.all) {
        let Some((first, others)) = list.split_first() else {
            continue;
        };
        match subject.need {
            Need::Any => {}
            // A copy of the policy that governs them may be the strongest.
            Need::Governed if rules[*first].is_copy => {}
            Need::Governed => {
                // The policy that governs them stays the strongest.
                let governing = subject.rivals().last().map(|policy| policy.target.target.kind());
                wrong.extend(list.iter().copied().filter(|rule| Some(kinds[*rule]) > governing));
            }
            Need::Content(_) => {
                let differ = |rule: &usize| rules[*rule].content != rules[*first].content;
                let others = || others.iter().copied();
                wrong.extend(others().filter(differ).filter(|rule| kinds[*rule] > kinds[*first]));
                if kinds[*first] == TargetKind::Mesh && others().any(|rule| kinds[rule] > TargetKind::Mesh) {
                    wrong.insert(*first);
                }
            }
        }
    }
    wrong
}

/// The rules, with values in the place of every `*` of those that become a `MeshSubset`.
fn lower(rules: Vec<Rule>, new: &BTreeSet<usize>, lowered: &mut BTreeSet<Wanted>, subjects: &Subjects) -> Vec<Rule> {
    let mut all = Vec::with_capacity(rules.len());
    for (i, rule) in rules.into_iter().enumerate() {
        if !new.contains(&i) {
            all.push(rule);
            continue;
        }
        let wildcards = rule.wanted.iter().filter(|(_, value)| value.as_str() == "*");
        let keys: Vec<Text> = wildcards.map(|(key, _)| key.clone()).collect();
        let matched = subjects.with(&rule.wanted);
        for rule in valued(rule, &keys, &matched, subjects) {
            lowered.insert(rule.wanted.clone());
            all.push(rule);
        }
    }
    all
}

/// The fields of each rule that a weaker policy for the same subjects would set otherwise.
fn explicit(rules: &[Rule], lists: &[Vec<usize>], subjects: &Subjects, contents: &Contents) -> Vec<Explicit> {
    let mut all = vec![Explicit::default(); rules.len()];
    for (list, subject) in lists.iter().zip(&subjects.all) {
        let Some((first, others)) = list.split_first().filter(|_| subject.need != Need::Any) else {
            continue;
        };
        if rules[*first].content == OFF || (subject.need == Need::Governed && !rules[*first].is_copy) {
            continue;
        }
        let content = |rule: &usize| contents.get(rules[*rule].content);
        let rivals = || subject.rivals().iter().map(|policy| &policy.conf);
        let explicit = &mut all[*first];
        explicit.overall |= others.iter().any(|rule| !content(rule).sampling.is_empty())
            || rivals().any(|conf| conf.sampling.overall.is_some());
        explicit.client |= rivals().any(|conf| conf.sampling.client.is_some());
        explicit.random |= rivals().any(|conf| conf.sampling.random.is_some());
        explicit.tags |= rivals().any(|conf| conf.tags.as_ref().is_some_and(|tags| !tags.is_empty()));
    }
    all
}

/// `default` of a new policy.
fn default(planned: &Planned, contents: &Contents) -> Value {
    let content = contents.get(planned.content);
    let backends: Vec<&Value> = content.backend.iter().flatten().collect();
    let explicit = planned.explicit;
    let explicit = [
        ("overall", explicit.overall),
        ("client", explicit.client),
        ("random", explicit.random),
    ];
    let share = |(key, is_explicit): (&'static str, bool)| {
        let written = content.sampling.get(key).cloned();
        Some((key.to_owned(), written.or(is_explicit.then(|| json!(100)))?))
    };
    let sampling: Map<String, Value> = explicit.into_iter().filter_map(share).collect();
    let mut default = Map::from_iter([("backends".to_owned(), json!(backends))]);
    if !sampling.is_empty() {
        default.insert("sampling".to_owned(), Value::Object(sampling));
    }
    let cleared = planned.explicit.tags.then(|| json!([]));
    if let Some(tags) = content.tags.clone().or(cleared) {
        default.insert("tags".to_owned(), tags);
    }
    Value::Object(default)
}

/// `spec` of a new policy.
pub(super) fn spec(planned: &Planned, contents: &Contents) -> Value {
    json!({"targetRef": planned.target.value(), "default": default(planned, contents)})
}
