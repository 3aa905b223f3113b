//! What `run` and `diff` say and do about published files that are not as they were published.

use std::io::{self, Write};

use crate::apply::Observed;
use crate::envoy::artifact::Fragments;
use crate::plan::{self, Drift};
use crate::settings::{OnDrift, Settings};

/// Keeps edited files out of the plan, unless they are to be healed; the answer has those that are left as they are.
pub(super) fn leave(settings: &Settings, observed: &mut Observed, desired: &Fragments) -> Vec<Drift> {
    plan::forget_equal(&mut observed.drift, &observed.applied, desired);
    match settings.drift {
        OnDrift::Report => plan::leave_edited(&mut observed.applied, desired, &observed.drift),
        OnDrift::Heal => Vec::new(),
    }
}

/// One file in words, and what becomes of it.
pub(super) fn sentence(drift: &Drift, left: &[Drift]) -> String {
    if left.contains(drift) {
        format!("{drift}; it stays so until something else is to be published there, or with the setting `drift: heal`")
    } else {
        drift.to_string()
    }
}

/// Says it on standard error.
pub(super) fn complain(drift: &[Drift], left: &[Drift]) -> io::Result<()> {
    for drift in drift {
        writeln!(io::stderr(), "warning: {}", sentence(drift, left))?;
    }
    Ok(())
}
