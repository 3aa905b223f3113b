//! What one turn did.

use std::collections::BTreeMap;
use std::time::Duration;

use super::comparison::DesiredState;
use super::policies::Policies;
use super::stages::Stage;
use crate::apply::reload::Offer;
use crate::apply::survey::Sight;
use crate::apply::{self, ApplyError, Lock, Outcome, State, Target, Word};
use crate::envoy::artifact::ProxyKey;
use crate::plan::drift::Drift;
use crate::plan::guard::GuardViolation;
use crate::plan::{Applied, Change, Plan};
use crate::source::ReadError;

/// What one turn did.
#[derive(Debug)]
pub struct Reconciliation {
    /// The policies, or why they could not be read.
    pub policies: Result<Policies, ReadError>,
    /// Freezes and approvals.
    pub state: State,
    /// What was to be published.
    pub desired: DesiredState,
    /// How many proxies were published before.
    pub published_before: usize,
    /// What was to change.
    pub plan: Plan,
    /// Why that is not what the policies want.
    pub violation: Option<GuardViolation>,
    /// What somebody did to published files.
    pub drift: Vec<Drift>,
    /// Which of that stays as it is.
    pub drift_left: Vec<Drift>,
    /// How many proxies the policies would change if nothing were frozen.
    pub would_change: usize,
    /// What came of the plan.
    pub outcome: Outcome,
    /// What is published now.
    pub published: Applied,
    /// What the Envoys do, where the turn looked.
    pub health: BTreeMap<ProxyKey, Sight>,
    /// How long its stages took.
    pub stages: Vec<(Stage, Duration)>,
}

impl Reconciliation {
    /// The part of the plan that was carried out.
    #[must_use]
    pub fn carried_out(&self) -> Plan {
        let is_done = |change: &&Change| match self.outcome.proxies.get(&change.proxy) {
            Some((_, result)) => result.as_ref().is_ok_and(Word::is_done),
            None => false,
        };
        Plan {
            changes: self.plan.changes.iter().filter(is_done).cloned().collect(),
        }
    }

    /// What somebody did to published files, and is still so.
    pub fn remaining_drift(&self) -> impl Iterator<Item = &Drift> {
        let done = self.carried_out();
        self.drift.iter().filter(move |drift| {
            self.drift_left.contains(drift) || !done.changes.iter().any(|change| change.proxy == drift.proxy)
        })
    }

    /// What it means for reloads, told to `tell`.
    pub fn offer(&self, tell: impl FnOnce(&Offer)) {
        let drift: Vec<Drift> = self.remaining_drift().cloned().collect();
        tell(&Offer {
            published: &self.published,
            changes: &self.carried_out().changes,
            drift: &drift,
            entries: self.policies.as_ref().ok().map(|policies| &policies.reloads),
        });
    }

    /// Whether an Envoy or the disk did not come to an end, so that another attempt may help.
    #[must_use]
    pub fn needs_retry(&self) -> bool {
        let is_open = |result: &Result<Word, ApplyError>| !matches!(result, Ok(word) if word.is_done() || matches!(word, Word::Rejected(_)));
        self.outcome.proxies.values().any(|(_, result)| is_open(result)) || !self.outcome.troubles.is_empty()
    }

    /// Remembers what was published.
    pub(super) fn record_published(&mut self, target: &Target, lock: &Lock) -> Result<(), ApplyError> {
        for change in self.carried_out().changes {
            if change.after.is_empty() {
                self.published.remove(&change.proxy);
            } else {
                self.published.insert(change.proxy, change.after);
            }
        }
        let Ok(policies) = &self.policies else { return Ok(()) };
        apply::contributions::remember(&policies.compiled.known, target, lock)
    }
}
