//! The names of new policies: those of the policies that they stand for, with a number in front where the names have to decide
//! which policy wins.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::rule::Rule;
use super::subject::{Need, Subjects};
use crate::resource::kinds::target_ref::TargetKind;

/// Two policies that are for the same dataplanes and have the same kind of target: the name of the first must be smaller.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Pairs of new policies.
    pairs: BTreeSet<(usize, usize)>,
    /// New policies that a policy of the tree must not be stronger than, with its name.
    above: BTreeMap<usize, BTreeSet<String>>,
    /// New policies that must not be stronger than a policy of the tree, with its name.
    below: BTreeMap<usize, BTreeSet<String>>,
}

impl Orders {
    /// The order in which the names of two new policies have to be: the first decides.
    pub(super) fn add(&mut self, stronger: usize, weaker: usize) {
        self.pairs.insert((stronger, weaker));
    }
}

/// A name for each rule.
pub(super) fn of_rules(
    rules: &[Rule],
    kinds: &[TargetKind],
    lists: &[Vec<usize>],
    subjects: &Subjects,
    taken: &BTreeSet<String>,
) -> Vec<String> {
    ordered(natural(rules), &orders(rules, kinds, lists, subjects), taken)
}

/// The names, the strongest policy first, with a number in front where they are not in the order that is needed.
pub(super) fn ordered(natural: Vec<String>, orders: &Orders, taken: &BTreeSet<String>) -> Vec<String> {
    let wrong: BTreeSet<usize> = wrong(&natural, orders);
    let groups = groups(natural.len(), &orders.pairs);
    let numbered: BTreeSet<usize> = wrong.iter().map(|rule| groups[*rule]).collect();
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    let mut sizes: HashMap<usize, usize> = HashMap::new();
    groups.iter().for_each(|group| *sizes.entry(*group).or_default() += 1);
    let mut taken = taken.clone();
    let named = natural.into_iter().enumerate().map(|(rule, name)| {
        let group = groups[rule];
        let name = if numbered.contains(&group) {
            let number = numbers.entry(group).or_default();
            *number += 1;
            let width = sizes[&group].to_string().len();
            // Below a policy of the tree, whose name begins with a letter or digit.
            let first = if orders.below.contains_key(&rule) { "z" } else { "" };
            format!("{first}{number:0width$}-{name}")
        } else {
            name
        };
        unique(name, &mut taken)
    });
    named.collect()
}

fn orders(rules: &[Rule], kinds: &[TargetKind], lists: &[Vec<usize>], subjects: &Subjects) -> Orders {
    let mut orders = Orders::default();
    for (list, subject) in lists.iter().zip(&subjects.all) {
        let Some((first, others)) = list.split_first() else {
            continue;
        };
        match subject.need {
            Need::Any => {}
            Need::Governed if !rules[*first].is_copy => {
                let governing = subject.rivals().last();
                for rule in list {
                    if let Some(policy) = governing.filter(|policy| policy.target.target.kind() == kinds[*rule]) {
                        let name = policy.header.display_name.to_string();
                        orders.below.entry(*rule).or_default().insert(name);
                    }
                }
            }
            Need::Governed | Need::Content(_) => {
                let rivals = subject
                    .rivals()
                    .iter()
                    .filter(|policy| policy.target.target.kind() == kinds[*first]);
                let names = rivals.map(|policy| policy.header.display_name.to_string());
                let names: BTreeSet<String> = names.collect();
                if !names.is_empty() {
                    orders.above.entry(*first).or_default().extend(names);
                }
                let same = |rule: &&usize| kinds[**rule] == kinds[*first];
                let differ = |rule: &&usize| rules[**rule].content != rules[*first].content;
                orders
                    .pairs
                    .extend(others.iter().filter(same).filter(differ).map(|rule| (*first, *rule)));
            }
        }
    }
    orders
}

/// The names of the policies that the rules come from; with a number behind where several come from one.
fn natural(rules: &[Rule]) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for rule in rules {
        *counts.entry(rule.policy.header.name()).or_default() += 1;
    }
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut names = Vec::with_capacity(rules.len());
    for rule in rules {
        let name = rule.policy.header.name();
        let number = numbers.entry(name).or_default();
        *number += 1;
        names.push(match counts[name] {
            1 => name.to_owned(),
            _ => format!("{name}-{number}"),
        });
    }
    names
}

/// The rules whose names are not in the order that is needed.
fn wrong(names: &[String], orders: &Orders) -> BTreeSet<usize> {
    let pairs = orders
        .pairs
        .iter()
        .filter(|(a, b)| names[*a] >= names[*b])
        .map(|(a, _)| *a);
    let above = orders
        .above
        .iter()
        .filter(|(rule, others)| others.iter().any(|other| names[**rule] >= *other));
    let below = orders
        .below
        .iter()
        .filter(|(rule, others)| others.iter().any(|other| names[**rule] <= *other));
    pairs
        .chain(above.map(|(rule, _)| *rule))
        .chain(below.map(|(rule, _)| *rule))
        .collect()
}

/// The group of each rule: the smallest rule that it is connected with.
fn groups(count: usize, pairs: &BTreeSet<(usize, usize)>) -> Vec<usize> {
    let mut parents: Vec<usize> = (0..count).collect();
    for (a, b) in pairs {
        let (a, b) = (root(&mut parents, *a), root(&mut parents, *b));
        parents[a.max(b)] = a.min(b);
    }
    (0..count).map(|rule| root(&mut parents, rule)).collect()
}

fn root(parents: &mut [usize], mut rule: usize) -> usize {
    while parents[rule] != rule {
        parents[rule] = parents[parents[rule]];
        rule = parents[rule];
    }
    rule
}

/// The name, with a number behind if it is taken.
fn unique(name: String, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let found = std::iter::once(name.clone())
        .chain(numbered)
        .find(|name| !taken.contains(name));
    let found = found.unwrap_or(name);
    taken.insert(found.clone());
    found
}
