//! The fewest rules that give every subject what it needs.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::content::{ContentId, Contents, OFF};
use super::rule::Rule;
use super::subject::{Need, Subjects, Wanted};
use crate::keep::Text;

/// Rules, the strongest first, that decide as the given ones do for all subjects, and that are as few as were found: a rule goes
/// if the next one says the same, and several make room for one that is wider if no dataplane of the tree tells the difference.
///
/// The cost grows with the rules that match each subject, summed up.
pub(super) fn fewest(rules: Vec<Rule>, subjects: &Subjects, contents: &Contents) -> Vec<Rule> {
    let mut reduction = Reduction::of(rules, subjects);
    reduction.remove_needless(contents);
    let mut candidates = reduction.candidates(contents);
    // The widest gain first; of equal gains, the fewest tags, which say it in the simplest way.
    candidates.sort_by_key(|candidate| (Reverse(candidate.gain), candidate.wanted.len()));
    for candidate in candidates {
        reduction.widen(candidate.wanted, candidate.content);
    }
    reduction.remove_needless(contents);
    reduction.into_rules()
}

/// A rule that may make room for others.
struct Candidate {
    wanted: Wanted,
    content: ContentId,
    /// The number of rules that it saves.
    gain: usize,
}

struct Reduction<'s> {
    subjects: &'s Subjects,
    /// The rules as given, then the wider ones, the youngest last.
    rules: Vec<Rule>,
    is_alive: Vec<bool>,
    /// The number of rules as given.
    given: usize,
    /// The rules that match each subject, the strongest first; those that went, too.
    lists: Vec<Vec<usize>>,
    /// The number of subjects that each rule matches.
    sizes: Vec<usize>,
}

impl<'s> Reduction<'s> {
    fn of(rules: Vec<Rule>, subjects: &'s Subjects) -> Self {
        let lists = subjects.lists(rules.iter().map(|rule| &rule.wanted));
        let mut sizes = vec![0; rules.len()];
        lists.iter().flatten().for_each(|rule| sizes[*rule] += 1);
        Self {
            subjects,
            is_alive: vec![true; rules.len()],
            given: rules.len(),
            rules,
            lists,
            sizes,
        }
    }

    /// The rules that are left and match a subject, the strongest first.
    fn alive(&self, id: usize) -> impl Iterator<Item = usize> + '_ {
        self.lists[id].iter().copied().filter(|rule| self.is_alive[*rule])
    }

    /// The rules with a content that can go: for every subject that they decide about, the next rule says the same, or there is none
    /// and nothing says the same, or the `wider` subjects get the content from a rule below all that are given.
    fn removable(&self, content: ContentId, wider: Option<&[usize]>) -> BTreeSet<usize> {
        let mut gone = BTreeSet::new();
        for rule in self.with_content(content, wider) {
            // A rule that went may leave its subjects to this one, so all that it matches are asked.
            let matched = self.subjects.with(&self.rules[rule].wanted);
            let is_left = |id: usize| self.alive(id).filter(|other| !gone.contains(other));
            let can_go = matched.iter().all(|id| {
                let mut left = is_left(*id);
                if left.next() != Some(rule) || self.is_any(*id) {
                    return true;
                }
                let is_wider = wider.is_some_and(|wider| wider.binary_search(id).is_ok());
                match left.next() {
                    Some(next) if next < self.given => self.rules[next].content == content,
                    _ if is_wider => true,
                    Some(next) => self.rules[next].content == content,
                    None => content == OFF,
                }
            });
            if can_go {
                gone.insert(rule);
            }
        }
        gone
    }

    /// The rules with a content, the weakest first; with `wider` subjects, those that decide about any of these, and match no more
    /// subjects than there are.
    fn with_content(&self, content: ContentId, wider: Option<&[usize]>) -> Vec<usize> {
        let is_meant = |rule: &usize| self.is_alive[*rule] && self.rules[*rule].content == content;
        match wider {
            None => (0..self.rules.len()).rev().filter(is_meant).collect(),
            Some(ids) => {
                let deciding: BTreeSet<usize> = ids.iter().filter_map(|id| self.alive(*id).next()).collect();
                let deciding = deciding.into_iter().rev();
                deciding
                    .filter(|rule| is_meant(rule) && self.sizes[*rule] <= ids.len())
                    .collect()
            }
        }
    }

    /// Whether it makes no difference to a subject which rule decides.
    fn is_any(&self, id: usize) -> bool {
        matches!(self.subjects.all[id].need, Need::Any | Need::Governed)
    }

    /// Removes the rules without which every subject gets the same.
    fn remove_needless(&mut self, contents: &Contents) {
        for content in contents.ids() {
            self.remove(self.removable(content, None));
        }
    }

    fn remove(&mut self, gone: BTreeSet<usize>) {
        gone.into_iter().for_each(|rule| self.is_alive[rule] = false);
    }

    /// The wider rules that would save at least one: the whole mesh, and each tag of the rules alone.
    fn candidates(&self, contents: &Contents) -> Vec<Candidate> {
        let mut wanted: BTreeSet<(Wanted, ContentId)> = BTreeSet::new();
        let alive = (0..self.rules.len()).filter(|rule| self.is_alive[*rule]);
        for rule in alive.map(|rule| &self.rules[rule]) {
            let exact = rule.wanted.iter().filter(|(_, value)| value.as_str() != "*");
            let one = |(key, value): (&Text, &Text)| Wanted::from([(key.clone(), value.clone())]);
            wanted.extend(exact.map(|tag| (one(tag), rule.content)));
        }
        let of_mesh = contents.ids().map(|content| (Wanted::new(), content));
        let all = of_mesh.chain(wanted).filter(|(_, content)| *content != OFF);
        let candidates = all.filter_map(|(wanted, content)| {
            let gain = self.gain(&wanted, content)?.len().checked_sub(1)?;
            (gain > 0).then_some(Candidate { wanted, content, gain })
        });
        candidates.collect()
    }

    /// The rules that a wider one would make needless; `None` if it would change what a subject gets.
    fn gain(&self, wanted: &Wanted, content: ContentId) -> Option<BTreeSet<usize>> {
        let matched = self.subjects.with(wanted);
        let is_decided = |id: usize| self.alive(id).next().is_some_and(|rule| rule < self.given);
        let is_same = |id: &usize| match self.subjects.all[*id].need {
            Need::Any => true,
            // It would be merged with the policy that governs them.
            Need::Governed => is_decided(*id),
            Need::Content(need) => is_decided(*id) || need == content,
        };
        matched
            .iter()
            .all(is_same)
            .then(|| self.removable(content, Some(&matched)))
    }

    /// Adds a wider rule below all others but the wider ones, if it still saves any.
    fn widen(&mut self, wanted: Wanted, content: ContentId) {
        let Some(gone) = self.gain(&wanted, content).filter(|gone| gone.len() > 1) else {
            return;
        };
        let home = self.home(&gone, &wanted);
        let names = gone.iter().map(|rule| &self.rules[*rule]);
        let mut merged: BTreeSet<String> = names
            .flat_map(|rule| {
                rule.merged
                    .iter()
                    .cloned()
                    .chain([rule.policy.header.name().to_owned()])
            })
            .collect();
        let policy = Arc::clone(&self.rules[home].policy);
        merged.remove(policy.header.name());
        let number = self.rules.len();
        let matched = self.subjects.with(&wanted);
        self.sizes.push(matched.len());
        for id in matched {
            let list = &mut self.lists[id];
            let place = list.partition_point(|rule| *rule < self.given);
            list.insert(place, number);
        }
        self.rules.push(Rule {
            wanted,
            content,
            policy,
            merged,
            is_copy: false,
        });
        self.is_alive.push(true);
        self.remove(gone);
    }

    /// The rule whose place and name a wider one takes: the widest one of those that go, of these the first by name.
    fn home(&self, gone: &BTreeSet<usize>, wanted: &Wanted) -> usize {
        let order = |rule: &usize| {
            let rule = &self.rules[*rule];
            let is_same = rule.wanted == *wanted;
            (!is_same, rule.wanted.len(), rule.policy.header.name().to_owned())
        };
        gone.iter().copied().min_by_key(order).unwrap_or_default()
    }

    fn into_rules(self) -> Vec<Rule> {
        let given = 0..self.given;
        let wider = (self.given..self.rules.len()).rev();
        let order: Vec<usize> = given.chain(wider).filter(|rule| self.is_alive[*rule]).collect();
        let mut rules: Vec<Option<Rule>> = self.rules.into_iter().map(Some).collect();
        order.into_iter().filter_map(|rule| rules[rule].take()).collect()
    }
}
