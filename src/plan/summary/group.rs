//! Groups of proxies that get the same changes.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::consequence::Consequence;
use super::difference::Difference;
use super::impact::Impact;
use super::reason::Reason;
use crate::plan::change::Action;
use crate::words::{counted, few, printable};

/// The proxies of one mesh that get the same changes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Group {
    /// The kind of change.
    pub action: Action,
    /// The mesh of the proxies.
    pub mesh: String,
    /// The names of their dataplanes, sorted.
    pub dataplanes: Vec<String>,
    /// The effect on running proxies.
    pub impact: Impact,
    /// The reload that follows, as the settings name it: `systemctl reload envoy@{dataplane}.service`.
    pub reload: Option<String>,
    /// The differences in tracing.
    pub differences: Vec<Difference>,
    /// The reasons of the change.
    pub reasons: Vec<Reason>,
    /// The consequences that a reviewer must not miss.
    pub consequences: Vec<Consequence>,
}

impl Group {
    /// The names of the dataplanes, all or the first few.
    #[must_use]
    pub fn names(&self, all: bool) -> String {
        printable(&if all {
            self.dataplanes.join(", ")
        } else {
            few(&self.dataplanes)
        })
    }

    /// The group in one line, for a log.
    #[must_use]
    pub fn one_line(&self) -> String {
        let difference = |difference: &Difference| {
            let change = match &difference.before {
                Some(before) => format!("{} {before} -> {}", difference.label, difference.after),
                None => format!("{} {}", difference.label, difference.after),
            };
            change.trim_start().to_owned()
        };
        let mut said: Vec<String> = self.differences.iter().map(difference).collect();
        said.extend(self.reasons.iter().map(|reason| reason.text.clone()));
        let names = self.names(false);
        printable(&format!("{}: {names}: {}", self.mesh, said.join("; ")))
    }

    /// The parts by which groups are told apart.
    fn key(&self, likeness: Likeness) -> Vec<String> {
        let difference = |one: &Difference| match (one.form, likeness) {
            (Some(form), Likeness::Form | Likeness::Kind) => format!("{} {form}", one.label),
            (None, Likeness::Kind) => format!("{} {:?} {}", one.label, one.before, one.after),
            _ => format!("{} {:?} {} {:?}", one.label, one.before, one.after, one.origin),
        };
        let reason = |reason: &Reason| match likeness {
            Likeness::Kind => format!("{:?}", reason.kind),
            Likeness::Equal | Likeness::Form => reason.text.clone(),
        };
        let mut key = vec![format!("{} {:?} {:?}", self.mesh, self.impact, self.reload)];
        key.extend(self.differences.iter().map(difference));
        key.extend(self.reasons.iter().map(reason));
        key.extend(self.consequences.iter().map(|consequence| format!("{consequence:?}")));
        key
    }

    /// Adds the number of other texts to each text of which there are others.
    fn count_others(&mut self, others: &Others) {
        let more = |text: &mut String, n: usize| {
            if n > 1 {
                text.push_str(&format!(" (and {} more)", counted(n - 1)));
            }
        };
        for (difference, texts) in self.differences.iter_mut().zip(&others.differences) {
            more(&mut difference.after, texts.len());
        }
        for (reason, texts) in self.reasons.iter_mut().zip(&others.reasons) {
            more(&mut reason.text, texts.len());
        }
    }
}

/// The likeness that makes one group of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Likeness {
    /// All texts are equal.
    Equal,
    /// The texts are equal but for values of the single proxy, such as names of services.
    Form,
    /// The same values, for reasons of the same kinds.
    Kind,
}

/// The different texts that became one.
#[derive(Debug, Default)]
struct Others {
    differences: Vec<BTreeSet<(Option<String>, String)>>,
    reasons: Vec<BTreeSet<String>>,
}

impl Others {
    fn add(&mut self, group: &Group) {
        self.differences.resize_with(group.differences.len(), BTreeSet::new);
        self.reasons.resize_with(group.reasons.len(), BTreeSet::new);
        for (texts, one) in self.differences.iter_mut().zip(&group.differences) {
            texts.insert((one.before.clone(), one.after.clone()));
        }
        for (texts, reason) in self.reasons.iter_mut().zip(&group.reasons) {
            texts.insert(reason.text.clone());
        }
    }
}

/// One group for all that get the same changes: those that change first, then new ones, then removed ones; within these by
/// mesh, and the largest first.
pub(super) fn grouped(groups: impl IntoIterator<Item = Group>) -> Vec<Group> {
    merged(groups, Likeness::Equal)
}

/// The groups, of which those that differ in values of the single proxy alone are one; and if they still are more than `most`,
/// those too that differ in the names of policies. A text says how many others it stands for.
#[must_use]
pub fn folded(groups: &[Group], most: usize) -> Vec<Group> {
    let by_form = merged(groups.iter().cloned(), Likeness::Form);
    if by_form.len() <= most {
        return by_form;
    }
    merged(groups.iter().cloned(), Likeness::Kind)
}

fn merged(groups: impl IntoIterator<Item = Group>, likeness: Likeness) -> Vec<Group> {
    let mut by_key: BTreeMap<(Action, Vec<String>), (Group, Others)> = BTreeMap::new();
    for group in groups {
        let key = (group.action, group.key(likeness));
        match by_key.entry(key) {
            Entry::Vacant(entry) => {
                let mut others = Others::default();
                others.add(&group);
                entry.insert((group, others));
            }
            Entry::Occupied(mut entry) => {
                let (first, others) = entry.get_mut();
                others.add(&group);
                first.dataplanes.extend(group.dataplanes);
            }
        }
    }
    let mut all: Vec<Group> = (by_key.into_values())
        .map(|(mut group, others)| {
            group.count_others(&others);
            group.dataplanes.sort();
            group
        })
        .collect();
    let order = |action| match action {
        Action::Change => 0,
        Action::Add => 1,
        Action::Remove => 2,
    };
    all.sort_by(|one, other| {
        let (one_size, other_size) = (Reverse(one.dataplanes.len()), Reverse(other.dataplanes.len()));
        let before_size = (order(one.action), &one.mesh).cmp(&(order(other.action), &other.mesh));
        before_size.then(one_size.cmp(&other_size))
    });
    all
}
