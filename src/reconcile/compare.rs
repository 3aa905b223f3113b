//! A comparison: a reconciliation without its last step.

use super::error::ReconcileError;
use super::observe::observe;
use super::policies::Policies;
use crate::apply::{Intent, Target};
use crate::plan::{Constraints, Desired, DriftRepair, Observed, Planned, plan};
use crate::settings::Settings;

/// The published files beside the plan that the policies ask for.
#[derive(Debug)]
pub struct Comparison {
    /// The observed state.
    pub observed: Observed,
    /// The plan.
    pub planned: Planned,
}

/// Compares the published files with what the policies ask for, whether or not a freeze keeps it from being
/// published.
///
/// # Errors
/// When the published files cannot be read.
pub fn compare(settings: &Settings, target: &Target, policies: &Policies) -> Result<Comparison, ReconcileError> {
    let intent = Intent::read(&target.out)?;
    let observed = observe(target)?.observed;
    let desired = Desired::Files(&policies.compiled.fragments);
    let constraints = policies.constraints(&settings.guard, &intent, &DriftRepair::Off);
    let planned = plan(&observed, desired, &constraints);
    Ok(Comparison { observed, planned })
}

/// Compares the files of two states of the policies, as if the first one were published.
#[must_use]
pub fn compare_policies(before: &Policies, after: &Policies) -> Comparison {
    let observed = Observed::from(before.compiled.fragments.clone());
    let desired = Desired::Files(&after.compiled.fragments);
    let planned = plan(&observed, desired, &Constraints::default());
    Comparison { observed, planned }
}
