//! Keeps the [`Status`] from reconciliation to reconciliation: what happened, and since when something is as it is.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::status::{
    Condition, Drifted, Findings, Frozen, Guarded, Held, Outcomes, Reload, Revision, Status, Trouble, TroubleState,
};
use crate::apply::Delivery;
use crate::apply::ProxyHealth;
use crate::apply::reload::Failing;
use crate::diag::Severity;
use crate::envoy::artifact::ProxyKey;
use crate::plan::drift::Drift;
use crate::reconcile::{DesiredState, Overview, Reconciliation};
use crate::source::Scan;
use crate::source::watch::Health;
use crate::words::with_causes;

/// The state of a proxy's Envoy, as known from the last time that it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ProxyState {
    Active,
    NotRunning,
    Unknown,
    Trouble(TroubleState, String),
}

/// The status, with what is remembered to derive the next one.
#[derive(Debug, Default)]
pub(super) struct StatusTracker {
    pub(super) status: Status,
    proxies: BTreeMap<ProxyKey, ProxyState>,
    /// The last revision of each mesh whose files were all published.
    kept: BTreeMap<String, String>,
}

impl StatusTracker {
    /// Updates the status after a reconciliation.
    pub(super) fn reconciled(&mut self, reconciliation: &Reconciliation, now: DateTime<Utc>) {
        let waiting = self.status.waiting.take();
        match &reconciliation.policies {
            Ok(policies) => self.policies(reconciliation, policies, now),
            // A Git operation under way is no failure.
            Err(error) if error.is_busy() => self.status.waiting = Some(since(waiting, with_causes(error), now)),
            Err(error) => self.failed(with_causes(error), now),
        }
        self.operators(reconciliation, now);
        self.proxies(reconciliation, now);
        self.drift(reconciliation, now);
        self.status.stages = reconciliation
            .stages
            .iter()
            .map(|(stage, time)| (*stage, time.as_secs_f64()))
            .collect();
        if reconciliation.policies.is_ok() {
            self.revisions(reconciliation, now);
        }
    }

    /// Records an error that ended a reconciliation.
    pub(super) fn failed(&mut self, why: String, now: DateTime<Utc>) {
        self.status.failure = Some(since(self.status.failure.take(), why, now));
    }

    /// Records that the settings on disk are invalid, with the reason; `None` when they are valid.
    pub(super) fn settings(&mut self, error: Option<String>, now: DateTime<Utc>) {
        let before = self.status.settings_error.take();
        self.status.settings_error = error.map(|why| since(before, why, now));
    }

    /// Records the reloads that failed and will be retried.
    pub(super) fn reloads(&mut self, failing: Vec<Failing>) {
        let reload = |failing: Failing| Reload {
            mesh: failing.proxy.mesh.clone(),
            dataplane: failing.proxy.dataplane.clone(),
            target: failing.target,
            why: failing.why,
            attempts: failing.attempts,
        };
        self.status.reloads = failing.into_iter().map(reload).collect();
    }

    /// Records the health of the watch after a reconciliation.
    pub(super) fn watch(&mut self, health: &Health, scan: Scan, now: DateTime<Utc>) {
        let watch = &mut self.status.watch;
        watch.directories = health.directories;
        watch.overflows = health.overflows;
        watch.rearmed = health.rearmed;
        watch.degraded_reason = health.degraded_reason.clone();
        if scan == Scan::Full {
            watch.last_full_scan = Some(now);
        }
    }

    fn policies(&mut self, reconciliation: &Reconciliation, policies: &Overview, now: DateTime<Utc>) {
        let status = &mut self.status;
        status.failure = None;
        let count = |severity| {
            policies
                .findings
                .iter()
                .filter(|finding| finding.severity == severity)
                .count()
        };
        status.findings = Findings {
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
        };
        status.keys.clone_from(&policies.keys);
        let outcomes = policies.outcomes;
        status.outcomes = Outcomes {
            decide: outcomes.decide,
            lose: outcomes.lose,
            match_nothing: outcomes.match_nothing,
        };
        status.watch.files = policies.files;
        if reconciliation.desired == DesiredState::Policies && reconciliation.planned.violation.is_none() {
            let name = policies.name.clone();
            let meshes = policies.meshes.keys();
            self.kept.extend(
                meshes
                    .filter(|mesh| !policies.held.contains(mesh))
                    .map(|mesh| (mesh.clone(), name.clone())),
            );
        }
        let before = std::mem::take(&mut status.held);
        let held_now = &policies.held;
        let all = held_now.all.then_some((None, 0)).into_iter();
        let meshes = held_now.meshes.iter().map(|mesh| (Some(mesh), 0));
        let mut of_mesh: BTreeMap<&String, usize> = BTreeMap::new();
        for proxy in &held_now.proxies {
            *of_mesh.entry(&proxy.mesh).or_default() += 1;
        }
        let proxies = of_mesh.into_iter().map(|(mesh, n)| (Some(mesh), n));
        status.held = all
            .chain(meshes.chain(proxies).filter(|_| !held_now.all))
            .map(|(mesh, proxies)| {
                let keeps = mesh.and_then(|mesh| self.kept.get(mesh).cloned());
                held(
                    mesh,
                    proxies,
                    policies,
                    Known {
                        before: &before,
                        keeps,
                        now,
                    },
                )
            })
            .collect();
    }

    fn operators(&mut self, reconciliation: &Reconciliation, now: DateTime<Utc>) {
        self.status.frozen = reconciliation.intent.frozen.as_ref().map(|frozen| Frozen {
            why: frozen.why.clone(),
            since: frozen.since.parse().unwrap_or(now),
            generation: frozen.generation,
            would_change: reconciliation.would_change(),
        });
        let before = self.status.guarded.take();
        self.status.guarded = reconciliation.planned.violation.as_ref().map(|violation| Guarded {
            id: violation.id.clone(),
            why: violation.to_string(),
            since: before
                .filter(|before| before.id == violation.id)
                .map_or(now, |before| before.since),
        });
    }

    fn proxies(&mut self, reconciliation: &Reconciliation, now: DateTime<Utc>) {
        for (proxy, health) in &reconciliation.health {
            let was_rejected = matches!(
                self.proxies.get(proxy),
                Some(ProxyState::Trouble(TroubleState::Rejected, _))
            );
            let state = match health {
                ProxyHealth::InSync if was_rejected => continue,
                ProxyHealth::InSync => ProxyState::Active,
                ProxyHealth::OutOfSync => ProxyState::Trouble(
                    TroubleState::Unreachable,
                    "Envoy has not loaded the files on disk".to_owned(),
                ),
                ProxyHealth::NotRunning => ProxyState::NotRunning,
                ProxyHealth::TimedOut(why) => ProxyState::Trouble(TroubleState::Unreachable, why.clone()),
                ProxyHealth::Unverifiable => ProxyState::Unknown,
            };
            self.proxies.insert(proxy.clone(), state);
        }
        for (proxy, result) in &reconciliation.publication.proxies {
            let state = match &result.delivery {
                Ok(Delivery::Acked) => ProxyState::Active,
                Ok(Delivery::NotRunning) => ProxyState::NotRunning,
                Ok(Delivery::Unverifiable) => ProxyState::Unknown,
                // The change was in files that a running Envoy does not read.
                Ok(Delivery::NotApplicable) => self.proxies.get(proxy).cloned().unwrap_or(ProxyState::Unknown),
                Ok(Delivery::Pending(why)) => ProxyState::Trouble(TroubleState::Unreachable, why.clone()),
                Ok(Delivery::Nacked(why)) => ProxyState::Trouble(TroubleState::Rejected, format!("Envoy says {why:?}")),
                Err(error) => ProxyState::Trouble(TroubleState::Failed, with_causes(error)),
            };
            self.proxies.insert(proxy.clone(), state);
        }
        let results = &reconciliation.publication.proxies;
        let is_open = |proxy: &ProxyKey| results.get(proxy).is_some_and(|result| !result.is_done());
        let is_there = |proxy: &ProxyKey| reconciliation.published.contains_key(proxy) || is_open(proxy);
        match &reconciliation.looked_at {
            // Of the others, the same is published as before.
            Some(proxies) => {
                for proxy in proxies.iter().filter(|proxy| !is_there(proxy)) {
                    self.proxies.remove(proxy);
                }
            }
            None => self.proxies.retain(|proxy, _| is_there(proxy)),
        }
        self.end_troubles(reconciliation);
        self.add_published(reconciliation);
        self.count(reconciliation, now);
    }

    /// Ends the troubles of proxies for which nothing is to be published any more.
    fn end_troubles(&mut self, reconciliation: &Reconciliation) {
        let results = &reconciliation.publication.proxies;
        let still = |proxy: &ProxyKey| results.contains_key(proxy) || reconciliation.desired == DesiredState::Unchanged;
        let in_trouble = (self.proxies.iter_mut()).filter(|(_, state)| matches!(state, ProxyState::Trouble(..)));
        for (_, state) in in_trouble.filter(|(proxy, _)| !still(proxy)) {
            *state = match state {
                // The Envoy answered when it nacked, and the published files are those it runs with.
                ProxyState::Trouble(TroubleState::Rejected, _) => ProxyState::Active,
                ProxyState::Trouble(TroubleState::Failed, _) => ProxyState::Unknown,
                ProxyState::Trouble(TroubleState::Unreachable, _)
                | ProxyState::Active
                | ProxyState::NotRunning
                | ProxyState::Unknown => {
                    continue;
                }
            };
        }
    }

    /// Adds the published proxies whose Envoys nobody has asked yet.
    fn add_published(&mut self, reconciliation: &Reconciliation) {
        let published = &reconciliation.published;
        let add = |proxy: &ProxyKey| {
            self.proxies.entry(proxy.clone()).or_insert(ProxyState::Unknown);
        };
        match &reconciliation.looked_at {
            Some(proxies) => (proxies.iter())
                .filter(|proxy| published.contains_key(*proxy))
                .for_each(add),
            None => published.keys().for_each(add),
        }
    }

    fn count(&mut self, reconciliation: &Reconciliation, now: DateTime<Utc>) {
        let before = std::mem::take(&mut self.status.troubles);
        let counts = &mut self.status.proxies;
        *counts = super::status::Proxies {
            published: reconciliation.published.len(),
            ..Default::default()
        };
        for (proxy, state) in &self.proxies {
            match state {
                ProxyState::Active => counts.active += 1,
                ProxyState::NotRunning => counts.not_running += 1,
                ProxyState::Unknown => counts.unknown += 1,
                ProxyState::Trouble(TroubleState::Rejected, _) => counts.rejected += 1,
                ProxyState::Trouble(TroubleState::Unreachable, _) => counts.unreachable += 1,
                ProxyState::Trouble(TroubleState::Failed, _) => counts.failed += 1,
            }
            let ProxyState::Trouble(state, why) = state else {
                continue;
            };
            let same = before.iter().find(|trouble| {
                (&trouble.mesh, &trouble.dataplane, trouble.state) == (&proxy.mesh, &proxy.dataplane, *state)
            });
            self.status.troubles.push(Trouble {
                mesh: proxy.mesh.clone(),
                dataplane: proxy.dataplane.clone(),
                state: *state,
                why: why.clone(),
                since: same.map_or(now, |same| same.since),
            });
        }
    }

    fn drift(&mut self, reconciliation: &Reconciliation, now: DateTime<Utc>) {
        let before = std::mem::take(&mut self.status.drift);
        let drifted = |drift: &Drift| {
            let path = format!("{}/{}", drift.proxy.directory(), drift.artifact.path());
            let what = drift.kind.to_string();
            let same = before
                .iter()
                .find(|before| (&before.path, &before.what) == (&path, &what));
            let since = same.map_or(now, |same| same.since);
            Drifted { path, what, since }
        };
        self.status.drift = reconciliation.remaining_drift().map(drifted).collect();
    }

    fn revisions(&mut self, reconciliation: &Reconciliation, now: DateTime<Utc>) {
        let Ok(policies) = &reconciliation.policies else { return };
        let commit = policies.commit.as_ref();
        let seen = Revision {
            name: policies.name.clone(),
            commit: commit.map(|commit| commit.id.clone()),
            subject: commit.map(|commit| commit.subject.clone()),
            content: policies.revision.clone(),
            at: now,
        };
        let come = |place: &mut Option<Revision>| {
            if !place.as_ref().is_some_and(|before| before.is_same(&seen)) {
                *place = Some(seen.clone());
            }
        };
        let revisions = &mut self.status.revisions;
        come(&mut revisions.seen);
        if !policies.held.is_empty() {
            return;
        }
        come(&mut revisions.compiled);
        let is_published = reconciliation.desired == DesiredState::Policies
            && reconciliation.planned.violation.is_none()
            && reconciliation.publication.failures().next().is_none();
        if !is_published {
            return;
        }
        come(&mut revisions.published);
        let is_open = self
            .status
            .troubles
            .iter()
            .any(|trouble| trouble.state == TroubleState::Unreachable);
        if !is_open {
            come(&mut revisions.confirmed);
        }
    }
}

fn since(before: Option<Condition>, why: String, now: DateTime<Utc>) -> Condition {
    let since = before.map_or(now, |before| before.since);
    Condition { why, since }
}

/// The knowledge about a hold from earlier reconciliations.
struct Known<'k> {
    before: &'k [Held],
    /// The revision that stays published.
    keeps: Option<String>,
    now: DateTime<Utc>,
}

fn held(mesh: Option<&String>, proxies: usize, policies: &Overview, known: Known) -> Held {
    let errors = policies.findings.iter().filter(|finding| match mesh {
        None => finding.severity == Severity::Error,
        Some(mesh) if proxies > 0 => finding.holds.has_proxies_of(mesh),
        Some(mesh) => finding.holds.contains(mesh),
    });
    let is_same = |before: &&Held| before.mesh.as_ref() == mesh && (before.proxies > 0) == (proxies > 0);
    Held {
        mesh: mesh.cloned(),
        proxies,
        errors: errors.clone().count(),
        why: errors.clone().next().map_or(String::new(), |first| first.one_line()),
        since: known.before.iter().find(is_same).map_or(known.now, |same| same.since),
        keeps: known.keeps,
    }
}
