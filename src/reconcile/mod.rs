//! One turn: the policies read, compiled, compared and published.
//!
//! `run --once`, the daemon and the commands that change something make the same turns. A turn remembers nothing: what
//! is applied, frozen and approved is read back from the disk.

mod stages;

mod options;

mod policies;

mod error;

mod comparison;

mod reconciliation;

pub use comparison::{Comparison, DesiredState, compare};
pub use error::ReconcileError;
pub use options::{DriftRepair, ReconcileOptions};
pub use policies::Policies;
pub use reconciliation::Reconciliation;
pub use stages::{Stage, Stopwatch};

use std::collections::BTreeMap;

use comparison::{compare_for, redeliver, restore_missing};

use crate::apply::reload;
use crate::apply::survey::survey;
use crate::apply::{self, Lock, State, Target};
use crate::plan::{self, Plan};
use crate::settings::Settings;
use crate::source::Care;

/// Makes one turn.
///
/// # Errors
/// When nothing can be published, or it is not known what is. Policies that cannot be read are no error here: a
/// generation that was rolled back to is published without them.
pub fn reconcile(
    settings: &Settings,
    target: &Target,
    lock: &Lock,
    options: ReconcileOptions,
) -> Result<Reconciliation, ReconcileError> {
    let mut stopwatch = Stopwatch::default();
    let policies = Policies::read(settings, target, Care::Settled, &mut stopwatch)?;
    let state = State::read(target)?;
    let desired = match (&state.frozen, &policies) {
        (Some(frozen), _) => frozen
            .generation
            .map_or(DesiredState::Unchanged, DesiredState::Generation),
        (None, Ok(_)) => DesiredState::Policies,
        (None, Err(_)) => DesiredState::Unchanged,
    };
    let mut comparison = stopwatch.time(Stage::Plan, || {
        compare_for(desired, settings, target, &policies, &state, options.drift_repair)
    })?;
    let health = if options.probe_all {
        survey(&comparison.published, target, lock)
    } else {
        BTreeMap::new()
    };
    let would_change = match desired {
        DesiredState::Policies => 0,
        DesiredState::Generation(_) | DesiredState::Unchanged => policies.as_ref().map_or(0, |policies| {
            plan::plan(&comparison.published, &policies.compiled.fragments, &policies.held)
                .changes
                .len()
        }),
    };
    if desired != DesiredState::Unchanged {
        redeliver(&mut comparison, &health);
    }
    if comparison.violation.is_some() {
        // What is gone comes back all the same.
        comparison.plan = Plan::default();
        restore_missing(&mut comparison.plan, &comparison.published, &comparison.drift, target);
    }
    let revision = match (desired, &policies) {
        (DesiredState::Generation(id), _) => format!("generation {id} again"),
        (_, Ok(policies)) => policies.snapshot.describe(),
        (_, Err(_)) => String::new(),
    };
    let entries = policies.as_ref().ok().map(|policies| &policies.reloads);
    let proxies = comparison.plan.changes.iter().map(|change| &change.proxy);
    let bases = reload::bases(proxies, entries, &settings.reload, target);
    let outcome = stopwatch.time(Stage::Publish, || {
        apply::apply(&comparison.plan, target, lock, &revision, &bases)
    })?;
    let published_before = comparison.published.len();
    let mut turn = Reconciliation {
        policies,
        state,
        desired,
        published_before,
        plan: comparison.plan,
        violation: comparison.violation,
        drift: comparison.drift,
        drift_left: comparison.drift_left,
        would_change,
        outcome,
        published: comparison.published,
        health,
        stages: stopwatch.stages,
    };
    turn.record_published(target, lock)?;
    if comparison.is_approved && turn.outcome.failures().next().is_none() {
        // An approval is for one time.
        turn.state.approved = None;
        turn.state.write(target, lock)?;
    }
    Ok(turn)
}
