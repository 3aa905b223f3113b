//! A reconciliation without its last step.

use super::error::ReconcileError;
use super::observe::observe;
use super::policies::Policies;
use crate::apply::{Intent, Target};
use crate::plan::{Desired, DriftRepair, Observed, Planned, plan};
use crate::settings::Settings;

/// The published files beside the plan that the policies ask for.
#[derive(Debug)]
pub struct Comparison {
    /// The observed state.
    pub observed: Observed,
    /// The plan.
    pub planned: Planned,
}

/// Plans what the policies ask for, also while nothing is published because of a freeze.
///
/// # Errors
/// When it cannot be told what is published.
pub fn compare(settings: &Settings, target: &Target, policies: &Policies) -> Result<Comparison, ReconcileError> {
    let intent = Intent::read(&target.out)?;
    let observed = observe(target)?;
    let desired = Desired::Files(&policies.compiled.fragments);
    let constraints = policies.constraints(&settings.guard, &intent, &DriftRepair::Off);
    let planned = plan(&observed, desired, &constraints);
    Ok(Comparison { observed, planned })
}
