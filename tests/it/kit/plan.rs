//! Plans for tests of what is done with a plan.

use meshtraced::envoy::artifact::Fragments;
use meshtraced::plan::{self, Constraints, Desired, DriftRepair, Observed, Plan};

/// The plan that reaches the desired files whatever was done to those that are published.
pub(crate) fn plan(observed: &Observed, desired: &Fragments) -> Plan {
    let constraints = Constraints {
        drift_repair: &DriftRepair::All,
        ..Constraints::default()
    };
    plan::plan(observed, Desired::Files(desired), &constraints).plan
}
