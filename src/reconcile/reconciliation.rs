//! The result of one reconciliation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::desired::DesiredState;
use super::overview::Overview;
use super::stages::Stage;
use super::trusted::Trusted;
use crate::apply::ProxyHealth;
use crate::apply::reload::Offer;
use crate::apply::{ApplyError, Intent, Lock, ProxyResult, Publication, Target};
use crate::compile::Compiled;
use crate::envoy::artifact::{Files, ProxyKey};
use crate::plan::drift::Drift;
use crate::plan::{self, Applied, Change, Constraints, Desired, Observed, Plan, Planned};
use crate::source::{ReadError, ReadWork};

/// The result of one reconciliation.
#[derive(Debug)]
pub struct Reconciliation {
    /// The policies in words and numbers, or why they could not be read.
    pub policies: Result<Overview, ReadError>,
    /// The compiled policies; `None` if they could not be read, or if nothing has changed since the last run.
    pub compiled: Option<Compiled>,
    /// The work of reading the policies.
    pub read: ReadWork,
    /// The freeze and the approval that were in force.
    pub intent: Intent,
    /// The origin of the desired state.
    pub desired: DesiredState,
    /// The proxies that may not have had the files that the policies ask for; `None` if any may not.
    pub looked_at: Option<BTreeSet<ProxyKey>>,
    /// The number of proxies whose published files were read back, rather than trusted to be as they were left.
    pub read_back: usize,
    /// The number of proxies that were published before.
    pub published_before: usize,
    /// The plan, and what it left undone.
    pub planned: Planned,
    /// The result of the plan.
    pub publication: Publication,
    /// The files that are published now.
    pub published: Arc<Applied>,
    /// The health of the Envoys; empty unless all were probed.
    pub health: BTreeMap<ProxyKey, ProxyHealth>,
    /// The time that each stage took.
    pub stages: BTreeMap<Stage, Duration>,
}

impl Reconciliation {
    /// The part of the plan that was carried out.
    #[must_use]
    pub fn carried_out(&self) -> Plan {
        let results = &self.publication.proxies;
        let is_done = |change: &Change| results.get(&change.proxy).is_some_and(ProxyResult::is_done);
        self.planned.plan.only(is_done)
    }

    /// The drift that is there after the reconciliation: what the plan left, and what could not be carried out.
    pub fn remaining_drift(&self) -> impl Iterator<Item = &Drift> {
        let is_repaired = self.is_repaired();
        self.planned.drift.iter().filter(move |drift| !is_repaired(drift))
    }

    /// The drift that the reconciliation ended: its files were written or removed.
    pub fn repaired_drift(&self) -> impl Iterator<Item = &Drift> {
        let is_repaired = self.is_repaired();
        self.planned.drift.iter().filter(move |drift| is_repaired(drift))
    }

    fn is_repaired(&self) -> impl Fn(&Drift) -> bool {
        let done = self.carried_out();
        move |drift| !self.planned.leaves(drift) && done.change(&drift.proxy).is_some()
    }

    /// Tells `tell` what the reconciliation means for reloads.
    pub fn offer(&self, tell: impl FnOnce(&Offer)) {
        let drift: Vec<Drift> = self.remaining_drift().cloned().collect();
        tell(&Offer {
            published: &self.published,
            changes: &self.carried_out().changes,
            drift: &drift,
            overlays: self.compiled.as_ref().map(|compiled| &compiled.overlays),
            entries: self.policies.as_ref().ok().map(|policies| &policies.reload_entries),
        });
    }

    /// Whether an Envoy did not answer in time or the disk failed, so that another attempt may help.
    #[must_use]
    pub fn needs_retry(&self) -> bool {
        let is_open = |result: &ProxyResult| !result.is_done() && !result.is_nacked();
        self.publication.proxies.values().any(is_open) || !self.publication.cleanup_failures.is_empty()
    }

    /// The number of published proxies that the policies would change if nothing were frozen.
    #[must_use]
    pub fn would_change(&self) -> usize {
        let (Ok(policies), Some(compiled)) = (&self.policies, &self.compiled) else {
            return 0;
        };
        if self.desired == DesiredState::Policies {
            return 0;
        }
        let observed = Observed::from(Applied::clone(&self.published));
        let constraints = Constraints {
            held: &policies.held,
            ..Constraints::default()
        };
        let planned = plan::plan(&observed, Desired::Files(&compiled.fragments), &constraints);
        planned.plan.changes.len()
    }

    /// Whether the policies were not compiled, because the last run has left nothing to do and nothing has changed since.
    #[must_use]
    pub fn is_remembered(&self) -> bool {
        self.policies.is_ok() && self.compiled.is_none()
    }

    /// Whether the same policies would change nothing now, or anything that a person has to know again.
    pub(super) fn is_done(&self) -> bool {
        let is_held = self.policies.as_ref().is_ok_and(|policies| !policies.held.is_empty());
        let is_open = self.desired != DesiredState::Policies || self.planned.violation.is_some() || is_held;
        !is_open && self.is_clean() && !self.needs_retry() && self.publication.warnings.is_empty()
    }

    /// Whether every published file is as it was published last.
    pub(super) fn is_clean(&self) -> bool {
        self.planned.drift.is_empty() && self.publication.failures().next().is_none()
    }

    /// The published files, for the next reconciliation.
    pub(super) fn trusted(&self) -> Trusted {
        Trusted::after(&self.published, self.compiled.as_ref(), self.looked_at.as_ref())
    }

    /// Takes note of what was published, and uses up an approval.
    pub(super) fn record(&mut self, target: &Target, lock: &Lock) -> Result<(), ApplyError> {
        let done = self.carried_out();
        let published = Arc::make_mut(&mut self.published);
        for change in done.changes {
            if change.after.is_empty() {
                published.remove(&change.proxy);
            } else {
                published.insert(change.proxy, change.after);
            }
        }
        if let Some(compiled) = &self.compiled {
            // The same texts are kept once.
            let is_equal = |found: &Files, desired: &Files| !found.is_copy_of(desired) && found == desired;
            let copy = |(proxy, found, desired): (&ProxyKey, Option<&Files>, Option<&Files>)| {
                let (found, desired) = (found?, desired?);
                is_equal(found, desired).then(|| (proxy.clone(), desired.clone()))
            };
            let desired = Desired::new(Some(&compiled.fragments), self.looked_at.as_ref());
            let copies: Vec<_> = desired.open(published).filter_map(copy).collect();
            published.extend(copies);
        }
        if self.planned.is_approved && self.publication.failures().next().is_none() {
            // An approval is good for one publication.
            self.intent.approved = None;
            self.intent.write(&target.out, lock)?;
        }
        Ok(())
    }
}
