//! Keeps the [`Status`] from reconciliation to reconciliation: what happened, and since when something is as it is.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::schedule::Reason;
use super::status::{
    Drifted, Findings, Frozen, Guarded, Held, Outcomes, Reload, Revision, Since, Status, Trouble, TroubleState,
};
use crate::apply::Delivery;
use crate::apply::ProxyHealth;
use crate::apply::reload::Failing;
use crate::diag::Severity;
use crate::envoy::artifact::ProxyKey;
use crate::plan::drift::Drift;
use crate::reconcile::{DesiredState, Policies, Reconciliation};
use crate::source::watch::Health;
use crate::words::with_causes;

/// How a proxy is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Active,
    NotRunning,
    Unknown,
    Trouble(TroubleState, String),
}

/// The status, and what it is kept from.
#[derive(Debug, Default)]
pub(super) struct StatusTracker {
    pub(super) status: Status,
    proxies: BTreeMap<ProxyKey, State>,
    /// The last revision of each mesh that was published whole.
    kept: BTreeMap<String, String>,
}

impl StatusTracker {
    /// Takes over what a reconciliation did.
    pub(super) fn reconciled(&mut self, reconciliation: &Reconciliation, now: DateTime<Utc>) {
        let waiting = self.status.waiting.take();
        match &reconciliation.policies {
            Ok(policies) => self.policies(reconciliation, policies, now),
            // Nothing is wrong with policies that are just being changed, unless it never ends.
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

    /// Notes an error of the machine.
    pub(super) fn failed(&mut self, why: String, now: DateTime<Utc>) {
        self.status.failure = Some(since(self.status.failure.take(), why, now));
    }

    /// Notes that the settings on disk cannot be used; `None` when they can.
    pub(super) fn settings(&mut self, refused: Option<String>, now: DateTime<Utc>) {
        let before = self.status.settings_error.take();
        self.status.settings_error = refused.map(|why| since(before, why, now));
    }

    /// The reloads that failed and are tried again.
    pub(super) fn reloads(&mut self, failing: Vec<Failing>) {
        let reload = |failing: Failing| Reload {
            mesh: failing.proxy.mesh,
            dataplane: failing.proxy.dataplane,
            target: failing.target,
            why: failing.why,
            attempts: failing.attempts,
        };
        self.status.reloads = failing.into_iter().map(reload).collect();
    }

    /// How the watch is when a reconciliation begins.
    pub(super) fn watch(&mut self, health: &Health, reason: Reason, now: DateTime<Utc>) {
        let watch = &mut self.status.watch;
        watch.directories = health.directories;
        watch.overflows = health.overflows;
        watch.rearmed = health.rearmed;
        watch.degraded_reason = health.degraded_reason.clone();
        if reason != Reason::Changed {
            watch.last_full_scan = Some(now);
        }
    }

    fn policies(&mut self, reconciliation: &Reconciliation, policies: &Policies, now: DateTime<Utc>) {
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
        let outcomes = policies.compiled.outcomes;
        status.outcomes = Outcomes {
            decide: outcomes.decide,
            lose: outcomes.lose,
            match_nothing: outcomes.match_nothing,
        };
        status.watch.files = policies.snapshot.len();
        if reconciliation.desired == DesiredState::Policies && reconciliation.planned.violation.is_none() {
            let name = policies.snapshot.describe();
            let meshes = policies.compiled.meshes.iter();
            self.kept.extend(
                meshes
                    .filter(|mesh| !policies.held.contains(mesh))
                    .map(|mesh| (mesh.clone(), name.clone())),
            );
        }
        let before = std::mem::take(&mut status.held);
        let all = policies.held.all.then_some(None).into_iter();
        let meshes = policies.held.meshes.iter().map(Some);
        status.held = all
            .chain(meshes.filter(|_| !policies.held.all))
            .map(|mesh| held(mesh, policies, &before, &self.kept, now))
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
        for (proxy, sight) in &reconciliation.health {
            let was_rejected = matches!(self.proxies.get(proxy), Some(State::Trouble(TroubleState::Rejected, _)));
            let state = match sight {
                ProxyHealth::InSync if was_rejected => continue,
                ProxyHealth::InSync => State::Active,
                ProxyHealth::OutOfSync => State::Trouble(
                    TroubleState::Unreachable,
                    "Envoy has not taken the files on disk".to_owned(),
                ),
                ProxyHealth::NotRunning => State::NotRunning,
                ProxyHealth::TimedOut(why) => State::Trouble(TroubleState::Unreachable, why.clone()),
                ProxyHealth::Unverifiable => State::Unknown,
            };
            self.proxies.insert(proxy.clone(), state);
        }
        for (proxy, result) in &reconciliation.publication.proxies {
            let state = match &result.delivery {
                Ok(Delivery::Acked) => State::Active,
                Ok(Delivery::NotRunning) => State::NotRunning,
                Ok(Delivery::Unverifiable) => State::Unknown,
                // Nothing that it reads has changed.
                Ok(Delivery::NotApplicable) => self.proxies.get(proxy).cloned().unwrap_or(State::Unknown),
                Ok(Delivery::Pending(why)) => State::Trouble(TroubleState::Unreachable, why.clone()),
                Ok(Delivery::Nacked(why)) => State::Trouble(TroubleState::Rejected, format!("Envoy says {why:?}")),
                Err(error) => State::Trouble(TroubleState::Failed, with_causes(error)),
            };
            self.proxies.insert(proxy.clone(), state);
        }
        let results = &reconciliation.publication.proxies;
        let is_open = |proxy: &ProxyKey| results.get(proxy).is_some_and(|result| !result.is_done());
        (self.proxies).retain(|proxy, _| reconciliation.published.contains_key(proxy) || is_open(proxy));
        // A violation ends with the wish for what was refused.
        let still = |proxy: &ProxyKey| results.contains_key(proxy) || reconciliation.desired == DesiredState::Unchanged;
        for (_, state) in self.proxies.iter_mut().filter(|(proxy, _)| !still(proxy)) {
            *state = match state {
                // It answered when it refused, and runs with what is published.
                State::Trouble(TroubleState::Rejected, _) => State::Active,
                State::Trouble(TroubleState::Failed, _) => State::Unknown,
                State::Trouble(TroubleState::Unreachable, _) | State::Active | State::NotRunning | State::Unknown => {
                    continue;
                }
            };
        }
        for proxy in reconciliation
            .published
            .keys()
            .filter(|proxy| !self.proxies.contains_key(proxy))
            .collect::<Vec<_>>()
        {
            self.proxies.insert(proxy.clone(), State::Unknown);
        }
        self.count(reconciliation, now);
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
                State::Active => counts.active += 1,
                State::NotRunning => counts.not_running += 1,
                State::Unknown => counts.unknown += 1,
                State::Trouble(TroubleState::Rejected, _) => counts.rejected += 1,
                State::Trouble(TroubleState::Unreachable, _) => counts.unreachable += 1,
                State::Trouble(TroubleState::Failed, _) => counts.failed += 1,
            }
            let State::Trouble(state, why) = state else { continue };
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
        let commit = policies.snapshot.commit();
        let seen = Revision {
            name: policies.snapshot.describe(),
            commit: commit.map(|commit| commit.id.clone()),
            subject: commit.map(|commit| commit.subject.clone()),
            content: policies.snapshot.revision(),
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

fn since(before: Option<Since>, why: String, now: DateTime<Utc>) -> Since {
    let since = before.map_or(now, |before| before.since);
    Since { why, since }
}

fn held(
    mesh: Option<&String>,
    policies: &Policies,
    before: &[Held],
    kept: &BTreeMap<String, String>,
    now: DateTime<Utc>,
) -> Held {
    let errors = policies.findings.iter().filter(|finding| match mesh {
        None => finding.severity == Severity::Error,
        Some(mesh) => finding.holds.contains(mesh),
    });
    let same = before.iter().find(|before| before.mesh.as_ref() == mesh);
    Held {
        mesh: mesh.cloned(),
        errors: errors.clone().count(),
        why: errors.clone().next().map_or(String::new(), |first| first.one_line()),
        since: same.map_or(now, |same| same.since),
        keeps: mesh.and_then(|mesh| kept.get(mesh).cloned()),
    }
}
