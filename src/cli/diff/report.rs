//! The result of a diff as data: for programs, and for a comment on a pull request.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::plan::summary::Group;
use crate::plan::{Action, Plan};

/// The number of the format. It changes when a field goes or gets another meaning.
const VERSION: u32 = 1;

/// The changes between two states of the policies, or from what is published to the policies.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Result of `meshtraced diff -o json`")]
pub(in crate::cli) struct DiffReport {
    /// The number of the format: 1.
    pub(super) version: u32,
    /// The name of the side before the change.
    pub(super) from: String,
    /// The name of the side after the change.
    pub(super) to: String,
    /// The numbers of proxies.
    pub(super) proxies: Counts,
    /// The proxies that change, in groups that get the same changes: those that change first, then new ones, then
    /// removed ones.
    pub(super) changes: Vec<Group>,
    /// The findings that come or go with the change; none if the side before it is what is published.
    pub(super) findings: Findings,
}

/// The numbers of proxies.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Counts {
    /// The number of proxies whose files differ.
    pub(super) changed: usize,
    /// The number of new proxies.
    pub(super) added: usize,
    /// The number of proxies that go.
    pub(super) removed: usize,
    /// The number of proxies whose files are the same.
    pub(super) unchanged: usize,
}

/// The findings that differ between the sides, as in `meshtraced check -o json`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::cli) struct Findings {
    /// The findings that the side after the change has alone.
    pub(super) come: Vec<Value>,
    /// The findings that the side before the change has alone.
    pub(super) go: Vec<Value>,
}

impl DiffReport {
    /// The report of a plan, whose changes are in these groups; `published` is the number of proxies before.
    pub(super) fn of((from, to): (String, String), plan: &Plan, changes: Vec<Group>, published: usize) -> Self {
        let of = |action| plan.changes.iter().filter(|change| change.action == action).count();
        let (changed, added, removed) = (of(Action::Change), of(Action::Add), of(Action::Remove));
        Self {
            version: VERSION,
            from,
            to,
            proxies: Counts {
                changed,
                added,
                removed,
                unchanged: published - changed - removed,
            },
            changes,
            findings: Findings::default(),
        }
    }
}
