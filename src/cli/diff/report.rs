//! The result of a diff as data: for programs, and for a comment on a pull request.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::plan::summary::{Group, Impact, Line};
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
    pub(super) changes: Vec<Changed>,
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

/// The proxies of one mesh that get the same changes.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Changed {
    /// The kind of change.
    pub(super) action: Kind,
    /// The mesh of the proxies.
    pub(super) mesh: String,
    /// The names of their dataplanes, sorted.
    pub(super) dataplanes: Vec<String>,
    /// The effect on running Envoys.
    pub(super) impact: Effect,
    /// The differences in tracing.
    pub(super) differences: Vec<Difference>,
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Kind {
    /// The files of the proxies differ.
    Change,
    /// The proxies are new.
    Add,
    /// The proxies go.
    Remove,
}

/// The effect of a change on a running Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Effect {
    /// None: Envoy does not read the files that change.
    None,
    /// Only clusters change: connections stay.
    Clusters,
    /// Listeners change: open connections drain.
    Drain,
    /// The bootstrap changes, which Envoy reads only when it starts.
    Restart,
}

/// A difference in tracing.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Difference {
    /// The name of the property, such as `sampling`; empty for a statement about the proxy as a whole.
    pub(super) label: String,
    /// The value before; `null` where only the value after says something.
    pub(super) before: Option<String>,
    /// The value after.
    pub(super) after: String,
    /// The resource and the place of the value after: `Mesh payments (mesh.yaml:9)`.
    pub(super) origin: Option<String>,
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
    pub(super) fn of((from, to): (String, String), plan: &Plan, groups: &[Group], published: usize) -> Self {
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
            changes: groups.iter().map(Changed::of).collect(),
            findings: Findings::default(),
        }
    }
}

impl Changed {
    fn of(group: &Group) -> Self {
        let difference = |line: &Line| Difference {
            label: line.label.clone(),
            before: line.before.clone(),
            after: line.after.clone(),
            origin: line.origin.clone(),
        };
        Self {
            action: match group.action {
                Action::Change => Kind::Change,
                Action::Add => Kind::Add,
                Action::Remove => Kind::Remove,
            },
            mesh: group.mesh.clone(),
            dataplanes: group.dataplanes.clone(),
            impact: match group.impact {
                Impact::None => Effect::None,
                Impact::Clusters => Effect::Clusters,
                Impact::Drain => Effect::Drain,
                Impact::Restart => Effect::Restart,
            },
            differences: group.lines.iter().map(difference).collect(),
        }
    }
}
