//! `unsupported.txt`: one `name: reason` a line, sorted. It can only shrink knowingly.

use std::collections::BTreeMap;
use std::fmt;

/// Cases that are not supported yet, by name, each with its reason.
#[derive(Debug, PartialEq)]
pub(super) struct Ledger {
    reasons: BTreeMap<String, String>,
    /// Lines that are wrong in themselves.
    faults: Vec<String>,
}

impl Ledger {
    pub(super) fn read(text: &str) -> Self {
        let mut ledger = Self {
            reasons: BTreeMap::new(),
            faults: Vec::new(),
        };
        let mut last = "";
        for line in text.lines() {
            let Some((name, reason)) = line.split_once(": ").filter(|(_, reason)| !reason.is_empty()) else {
                ledger
                    .faults
                    .push(format!("unsupported.txt: not `name: reason`: {line}"));
                continue;
            };
            if name <= last {
                ledger
                    .faults
                    .push(format!("unsupported.txt: {name} is out of order or there twice"));
            }
            last = name;
            ledger.reasons.insert(name.to_owned(), reason.to_owned());
        }
        ledger
    }

    pub(super) fn lists(&self, name: &str) -> bool {
        self.reasons.contains_key(name)
    }

    /// What is wrong with the list itself, given which cases there are and which of them fail.
    pub(super) fn problems(&self, cases: &[&str], failing: &[&str]) -> Vec<String> {
        let mut problems = self.faults.clone();
        for name in self.reasons.keys().map(String::as_str) {
            if !cases.contains(&name) {
                problems.push(format!("unsupported.txt: there is no case {name}"));
            } else if !failing.contains(&name) {
                problems.push(format!("unsupported.txt: {name} passes now; take it off the list"));
            }
        }
        problems
    }

    /// A list of exactly the failing cases. Reasons that people wrote stay.
    pub(super) fn updated(&self, failing: &[&str], reason: impl Fn(&str) -> String) -> Self {
        let kept = |name: &str| self.reasons.get(name).cloned().unwrap_or_else(|| reason(name));
        let reasons = failing.iter().map(|name| ((*name).to_owned(), kept(name))).collect();
        Self {
            reasons,
            faults: Vec::new(),
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reasons
            .iter()
            .try_for_each(|(name, reason)| writeln!(f, "{name}: {reason}"))
    }
}

#[test]
fn a_list_that_lies_is_seen() {
    let check = |text: &str, problems: &[&str]| {
        assert_eq!(
            Ledger::read(text).problems(&["a", "b", "c"], &["b", "c"]),
            problems,
            "{text}"
        );
    };
    check("", &[]);
    check("b: why\nc: why\n", &[]);
    check(
        "a: why\nb: why\n",
        &["unsupported.txt: a passes now; take it off the list"],
    );
    check("b: why\nd: why\n", &["unsupported.txt: there is no case d"]);
    check(
        "c: why\nb: why\n",
        &["unsupported.txt: b is out of order or there twice"],
    );
    check(
        "b: why\nb: why\n",
        &["unsupported.txt: b is out of order or there twice"],
    );
    check("b\n", &["unsupported.txt: not `name: reason`: b"]);
}

#[test]
fn updating_keeps_reasons_and_drops_what_passes() {
    let updated = Ledger::read("a: old\nb: old\n").updated(&["b", "c"], |name| format!("new {name}"));
    assert_eq!(updated.to_string(), "b: old\nc: new c\n");
    assert_eq!(Ledger::read(&updated.to_string()), updated);
}
