//! The numbers of a plan.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::plan::change::{Action, Plan};
use crate::words::{counted, plural};

/// The numbers of proxies that a plan changes or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// The number of proxies whose files differ.
    pub changed: usize,
    /// The number of new proxies.
    pub added: usize,
    /// The number of proxies that go.
    pub removed: usize,
    /// The number of proxies whose files are the same.
    pub unchanged: usize,
    /// The number of proxies that keep their files because of errors in their policies.
    pub held: usize,
}

impl Counts {
    /// The numbers of a plan, before which `published` proxies are published, and `held` others than those that it changes
    /// are held.
    #[must_use]
    pub fn of(plan: &Plan, published: usize, held: usize) -> Self {
        let of = |action| plan.changes.iter().filter(|change| change.action == action).count();
        let (changed, removed) = (of(Action::Change), of(Action::Remove));
        Self {
            changed,
            added: of(Action::Add),
            removed,
            unchanged: published - changed - removed - held,
            held,
        }
    }

    /// The number of proxies that differ.
    #[must_use]
    pub fn different(&self) -> usize {
        self.changed + self.added + self.removed
    }
}

impl fmt::Display for Counts {
    /// The numbers that are not 0: `4 proxies change, 2 are new, 1 goes, 3 stay`, or `no change, 3 proxies`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.different() + self.held == 0 {
            return write!(f, "no change, {}", plural(self.unchanged, "proxy"));
        }
        let numbers = [
            (self.changed, "changes", "change"),
            (self.added, "is new", "are new"),
            (self.removed, "goes", "go"),
            (self.held, "is held", "are held"),
            (self.unchanged, "stays", "stay"),
        ];
        let said = numbers.iter().filter(|(n, ..)| *n > 0);
        for (index, (n, one, many)) in said.enumerate() {
            let noun = if index == 0 {
                plural(*n, "proxy")
            } else {
                format!(", {}", counted(*n))
            };
            write!(f, "{noun} {}", if *n == 1 { one } else { many })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sentences() {
        let counts = |changed, added, removed, held, unchanged| Counts {
            changed,
            added,
            removed,
            unchanged,
            held,
        };
        for (counts, expected) in [
            (
                counts(1204, 2, 1, 0, 8793),
                "1,204 proxies change, 2 are new, 1 goes, 8,793 stay",
            ),
            (counts(0, 1, 0, 3, 1), "1 proxy is new, 3 are held, 1 stays"),
            (counts(0, 0, 0, 1, 0), "1 proxy is held"),
            (counts(0, 0, 0, 0, 1), "no change, 1 proxy"),
        ] {
            assert_eq!(counts.to_string(), expected);
        }
    }
}
