//! The findings that differ between two states of the policies.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;

use crate::cli::context::{Context, Failure};
use crate::diag::Diagnostic;
use crate::diag::render::text;
use crate::reconcile::Policies;
use crate::settings::Settings;

/// The findings that differ between two states of the policies.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// The findings of the state after alone.
    pub(super) come: Vec<Arc<Diagnostic>>,
    /// The findings of the state before alone.
    pub(super) go: Vec<Arc<Diagnostic>>,
}

impl Changed {
    /// The findings that come and go. Policies that come or go as a whole have none that differ.
    pub(super) fn between(before: &Policies, after: &Policies) -> Self {
        if before.snapshot.is_empty() || after.snapshot.is_empty() {
            return Self::default();
        }
        let (before, after) = (&before.overview.findings, &after.overview.findings);
        Self {
            come: only(after, before),
            go: only(before, after),
        }
    }

    /// Prints the findings that come, and counts those that go.
    pub(super) fn print(&self, context: &Context, settings: &Settings) -> Result<(), Failure> {
        let mut stderr = io::stderr().lock();
        if let Some(count) = text::count(&self.come) {
            let shown = context.brief(settings, "", &self.come);
            writeln!(stderr, "{shown}{count} with the change")?;
        }
        if let Some(count) = text::count(&self.go) {
            writeln!(stderr, "{count} without it any more")?;
        }
        Ok(())
    }
}

/// The findings that the others do not have.
fn only(findings: &[Arc<Diagnostic>], others: &[Arc<Diagnostic>]) -> Vec<Arc<Diagnostic>> {
    let known: BTreeSet<_> = others.iter().map(|other| identity(other)).collect();
    let is_new = |finding: &&Arc<Diagnostic>| !known.contains(&identity(finding));
    findings.iter().filter(is_new).cloned().collect()
}

/// The parts of a finding that a line above it does not change.
fn identity(finding: &Diagnostic) -> (&str, &str, &str, Option<&str>) {
    (finding.code.as_str(), &finding.message, &finding.path, finding.file())
}
