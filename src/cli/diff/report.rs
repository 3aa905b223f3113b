//! The result of a diff as data: for programs, and for a comment on a pull request.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::findings::Changed;
use crate::diag::Diagnostic;
use crate::diag::render::json as diag_json;
use crate::plan::summary::{Counts, Group};

/// The number of the format. It changes when a field goes or gets another meaning.
pub(super) const VERSION: u32 = 1;

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

/// The findings that differ between the sides, as in `meshtraced check -o json`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::cli) struct Findings {
    /// The findings that the side after the change has alone.
    pub(super) come: Vec<Value>,
    /// The findings that the side before the change has alone.
    pub(super) go: Vec<Value>,
}

impl From<Changed> for Findings {
    fn from(findings: Changed) -> Self {
        let entries =
            |findings: &[Arc<Diagnostic>]| findings.iter().map(|one| json!(diag_json::entry(one, ""))).collect();
        Self {
            come: entries(&findings.come),
            go: entries(&findings.go),
        }
    }
}
