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

pub use comparison::{Comparison, Goal, compare};
pub use error::TurnError;
pub use options::{Healing, Wishes};
pub use policies::Policies;
pub use reconciliation::Turn;
pub use stages::{Clock, Stage};

use std::collections::BTreeMap;

use comparison::{bring_back, compare_for, show_again};

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
pub fn turn(settings: &Settings, target: &Target, lock: &Lock, wishes: Wishes) -> Result<Turn, TurnError> {
    let mut clock = Clock::default();
    let policies = Policies::read(settings, target, Care::Settled, &mut clock)?;
    let state = State::read(target)?;
    let goal = match (&state.frozen, &policies) {
        (Some(frozen), _) => frozen.generation.map_or(Goal::Stay, Goal::Generation),
        (None, Ok(_)) => Goal::Policies,
        (None, Err(_)) => Goal::Stay,
    };
    let mut comparison = clock.time(Stage::Plan, || {
        compare_for(goal, settings, target, &policies, &state, wishes.healing)
    })?;
    let sights = if wishes.survey {
        survey(&comparison.published, target, lock)
    } else {
        BTreeMap::new()
    };
    let would_change = match goal {
        Goal::Policies => 0,
        Goal::Generation(_) | Goal::Stay => policies.as_ref().map_or(0, |policies| {
            plan::plan(&comparison.published, &policies.compiled.fragments, &policies.held)
                .changes
                .len()
        }),
    };
    if goal != Goal::Stay {
        show_again(&mut comparison, &sights);
    }
    if comparison.refusal.is_some() {
        // What is gone comes back all the same.
        comparison.plan = Plan::default();
        bring_back(&mut comparison.plan, &comparison.published, &comparison.drift, target);
    }
    let revision = match (goal, &policies) {
        (Goal::Generation(id), _) => format!("generation {id} again"),
        (_, Ok(policies)) => policies.snapshot.describe(),
        (_, Err(_)) => String::new(),
    };
    let entries = policies.as_ref().ok().map(|policies| &policies.reloads);
    let proxies = comparison.plan.changes.iter().map(|change| &change.proxy);
    let bases = reload::bases(proxies, entries, &settings.reload, target);
    let outcome = clock.time(Stage::Publish, || {
        apply::apply(&comparison.plan, target, lock, &revision, &bases)
    })?;
    let published_before = comparison.published.len();
    let mut turn = Turn {
        policies,
        state,
        goal,
        published_before,
        plan: comparison.plan,
        refusal: comparison.refusal,
        drift: comparison.drift,
        left: comparison.left,
        would_change,
        outcome,
        published: comparison.published,
        sights,
        stages: clock.stages,
    };
    turn.settle(target, lock)?;
    if comparison.is_approved && turn.outcome.failures().next().is_none() {
        // An approval is for one time.
        turn.state.approved = None;
        turn.state.write(target, lock)?;
    }
    Ok(turn)
}
