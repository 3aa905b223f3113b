//! A comparison: a reconciliation without its last step.

use std::mem;
use std::sync::Arc;

use super::error::ReconcileError;
use super::observe::observe;
use super::options::ReconcileOptions;
use super::policies::Policies;
use crate::apply::{Frozen, Intent, Target};
use crate::envoy::artifact::ProxyKey;
use crate::plan::summary::Counts;
use crate::plan::{Constraints, Desired, Held, Observed, Planned, plan};
use crate::settings::Settings;

/// The published files beside the plan that the policies ask for.
#[derive(Debug)]
pub struct Comparison {
    /// The observed state.
    pub observed: Observed,
    /// The plan.
    pub planned: Planned,
    /// The freeze that keeps the plan from being carried out.
    pub frozen: Option<Frozen>,
}

impl Comparison {
    /// The numbers of the plan, where the proxies of `held` keep their files.
    #[must_use]
    pub fn counts(&self, held: &Held) -> Counts {
        let plan = &self.planned.plan;
        let is_held = |proxy: &&ProxyKey| held.contains_proxy(proxy) && plan.change(proxy).is_none();
        let applied = &self.observed.applied;
        Counts::of(plan, applied.len(), applied.keys().filter(is_held).count())
    }
}

/// Compares the published files with what the policies ask for, whether or not a freeze keeps it from being
/// published.
///
/// # Errors
/// When the published files cannot be read.
pub fn compare(settings: &Settings, target: &Target, policies: &Policies) -> Result<Comparison, ReconcileError> {
    let intent = Intent::read(&target.out)?;
    let observed = observe(target, Some(policies.places()))?.observed;
    let desired = Desired::Files(&policies.compiled.fragments);
    let options = ReconcileOptions::once(settings);
    let constraints = policies.constraints(&settings.guard, &intent, &options.drift_repair);
    let planned = plan(&observed, desired, &constraints);
    Ok(Comparison {
        observed,
        planned,
        frozen: intent.frozen,
    })
}

/// Compares the files of two states of the policies, as if the first one were published. Its files are taken out of it.
#[must_use]
pub fn compare_policies(before: &mut Policies, after: &Policies) -> Comparison {
    let observed = Observed::from(Arc::unwrap_or_clone(mem::take(&mut before.compiled.fragments)));
    let desired = Desired::Files(&after.compiled.fragments);
    let planned = plan(&observed, desired, &Constraints::default());
    Comparison {
        observed,
        planned,
        frozen: None,
    }
}
