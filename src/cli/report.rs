//! What `run`, `diff` and `check` say alike.

use crate::compile::Compiled;
use crate::diag::Diagnostic;

/// Findings about the policies and about the shape, in their common order.
pub(super) fn all_findings(compiled: &Compiled) -> Vec<Diagnostic> {
    let mut all = crate::diag::Diagnostics::default();
    for finding in compiled.diagnostics.iter().chain(&compiled.refusals) {
        all.push(finding.clone());
    }
    all.into_sorted()
}
