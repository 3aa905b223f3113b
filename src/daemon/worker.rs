//! The worker: reconciles and carries out requests, one after the other, and keeps log, status and metrics up to
//! date.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::sync::Notify;

use super::control::{PendingRequest, Reply, Request, Shared};
use super::log::Log;
use super::metrics::ReconcileResult;
use super::schedule::Reason;
use super::status::{Reload, Status};
use super::status_tracker::StatusTracker;
use crate::apply::reload::Reloader;
use crate::apply::{self, ApplyError, Delivery, Disposable, Frozen, Intent, OutputWatch, Session, Target, history};
use crate::plan::DriftRepair;
use crate::plan::repair::RepairBackoff;
use crate::plan::summary::Counts;
use crate::reconcile::{self, Cache, ReconcileError, ReconcileOptions, Reconciliation};
use crate::settings::{OnDrift, Settings};
use crate::source::Scan;
use crate::source::watch::Watcher;
use crate::words::{plural, with_causes};

/// The delays of a retry: the first, and the longest.
pub(super) type Retry = (Duration, Duration);

/// Retry while a Git operation is under way.
const BUSY: Retry = (Duration::from_millis(50), Duration::from_secs(1));
/// A reconciliation at once, which compiles what the last run has left compiled.
const AT_ONCE: Retry = (Duration::ZERO, Duration::ZERO);
/// Retry after the machine failed, or an Envoy did not answer.
const OPEN: Retry = (Duration::from_secs(1), Duration::from_secs(60));

/// Limit for the first answer of an Envoy. A silent one is retried later, so that other changes do not wait for it.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// The only publisher to an output directory.
pub struct Worker {
    settings: Settings,
    target: Target,
    session: Session,
    cache: Cache,
    log: Log,
    pub(super) tracker: StatusTracker,
    pub(super) shared: Option<Arc<Shared>>,
    backoff: RepairBackoff,
    reloader: Reloader,
    began: Instant,
    /// Set when the last reconciliation left something open.
    open: Option<Retry>,
    /// The status that was saved last.
    saved: Option<Status>,
}

impl Worker {
    /// A worker that holds the lock on the output directory.
    ///
    /// # Errors
    /// When another process holds the lock, or the output directory cannot be created.
    pub fn new(settings: Settings, color: bool) -> Result<Self, ApplyError> {
        let target = target(&settings)?;
        let session = Session::open(&target)?;
        let log = Log::new(settings.sources().prefix(), color);
        let mut tracker = StatusTracker::default();
        tracker.status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: Utc::now(),
            policies: settings.sources().to_string(),
            out: settings.out.display().to_string(),
            ..Status::default()
        };
        Ok(Self {
            settings,
            target,
            session,
            cache: Cache::default(),
            log,
            tracker,
            shared: None,
            backoff: RepairBackoff::default(),
            reloader: Reloader::default(),
            began: Instant::now(),
            open: None,
            saved: None,
        })
    }

    /// The settings in use.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Replaces the settings by others for the same output directory.
    pub(super) fn set_settings(&mut self, settings: Settings, target: Target) {
        self.log.root = settings.sources().prefix();
        self.tracker.status.policies = settings.sources().to_string();
        if settings.reload != self.settings.reload {
            self.reloader.forget_entries();
        }
        (self.settings, self.target) = (settings, target);
    }

    /// Watches the policies from now on, and notifies `wake` when they may have changed.
    pub(super) fn watch(&mut self, wake: Arc<Notify>) {
        let beacon = self.target.out.lock_file();
        let to_wake = Arc::clone(&wake);
        let output = OutputWatch::new(&self.target.out, move || to_wake.notify_one());
        self.cache.watch_output(output);
        self.cache
            .watch(Watcher::new(&self.settings.sources(), wake, Some(beacon)));
    }

    /// Reconciles, and carries out the pending requests. `Some` when something is left open.
    pub(super) fn work(&mut self, reason: Reason, pending: Vec<PendingRequest>) -> Option<Retry> {
        let is_only_pending = reason == Reason::Request && !pending.is_empty();
        if !is_only_pending {
            self.attempt(reason);
        }
        for PendingRequest { request, reply } in pending {
            // The client may have gone; the request is carried out all the same.
            let _ = reply.send(self.perform(request));
        }
        self.open
    }

    fn attempt(&mut self, reason: Reason) {
        let now = self.began.elapsed();
        let drift_repair = match self.settings.drift {
            OnDrift::Report => DriftRepair::Off,
            OnDrift::Heal => DriftRepair::AllExcept(self.backoff.paused(now)),
        };
        // Errors are in the log and the status already.
        let result = self.reconcile(ReconcileOptions {
            drift_repair,
            scan: match reason {
                Reason::Changed => Scan::Changes,
                Reason::Start | Reason::Rescan | Reason::Retry | Reason::Request => Scan::Full,
            },
            probe_all: reason != Reason::Changed,
        });
        if let (OnDrift::Heal, Ok(reconciliation)) = (self.settings.drift, result) {
            self.backoff.record(reconciliation.repaired_drift(), now);
        }
    }

    /// Saves the status, if it has changed, for `meshtraced status` when no daemon runs.
    pub(super) fn save_status(&mut self) {
        let mut status = self.tracker.status.clone();
        // These two change all the time.
        status.stages.clear();
        status.watch.last_full_scan = None;
        if self.saved.as_ref() == Some(&status) {
            return;
        }
        let text = serde_json::to_string_pretty(&status).expect("plain data always is JSON");
        match Disposable::Status.save(&text, &self.target.out, self.session.lock()) {
            Ok(()) => self.saved = Some(status),
            Err(error) => tracing::debug!("cannot save the status: {}", with_causes(&error)),
        }
    }

    /// Reconciles once, and updates log, status and metrics.
    ///
    /// # Errors
    /// When nothing can be published.
    pub fn reconcile(&mut self, options: ReconcileOptions) -> Result<Reconciliation, ReconcileError> {
        let start = Instant::now();
        self.reopen_session();
        let result = reconcile::reconcile(&self.settings, &self.target, &self.session, &mut self.cache, &options);
        let now = Utc::now();
        if let Some(health) = self.cache.watch_health() {
            self.tracker.watch(&health, options.scan, now);
        }
        self.open = result.as_ref().map_or(Some(OPEN), open);
        match &result {
            Ok(reconciliation) => {
                self.log.reconciled(reconciliation, start.elapsed());
                self.tracker.reconciled(reconciliation, now);
                let (reloads, target, lock) = (&self.settings.reload, &self.target.out, self.session.lock());
                reconciliation.offer(|offer| self.reloader.offer(offer, reloads, target, lock));
                self.take_reloads();
            }
            Err(error) => {
                self.log.broken(error);
                self.tracker.failed(with_causes(error), now);
            }
        }
        self.tell(&result);
        result
    }

    /// Calls `wake` whenever a reload has ended, from any thread.
    pub(super) fn on_reload(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.reloader.on_end(Box::new(wake));
    }

    /// Records the reloads that have ended in log, status and metrics.
    pub(super) fn collect_reloads(&mut self) {
        self.take_reloads();
        if let Some(shared) = &self.shared {
            shared.show(&self.tracker.status);
        }
    }

    /// Waits for the reloads that are due, at most for `limit`; gives those that failed.
    pub fn finish_reloads(&mut self, limit: Option<Duration>) -> Vec<Reload> {
        self.reloader.finish(limit);
        self.collect_reloads();
        self.tracker.status.reloads.clone()
    }

    fn take_reloads(&mut self) {
        for reloaded in self.reloader.drain(&self.target.out, self.session.lock()) {
            self.log.reloaded(&reloaded);
            if let Some(shared) = &self.shared {
                shared.metrics.reload(reloaded.result.is_ok());
            }
        }
        self.tracker.reloads(self.reloader.failing());
    }

    /// Opens a new session if somebody removed or replaced the output directory.
    fn reopen_session(&mut self) {
        if self.session.lock().is_of(&self.target.out) {
            return;
        }
        match Session::open(&self.target) {
            Ok(session) => {
                self.session = session;
                self.cache.forget_output();
            }
            // The reconciliation says what is wrong.
            Err(error) => tracing::debug!("{}", with_causes(&error)),
        }
    }

    fn tell(&self, result: &Result<Reconciliation, ReconcileError>) {
        let Some(shared) = &self.shared else { return };
        // Before the reply goes out, since its client may ask for the status next.
        shared.show(&self.tracker.status);
        match result {
            Ok(reconciliation) => {
                let done = reconciliation.carried_out().changes.len();
                let stages: Vec<_> = reconciliation
                    .stages
                    .iter()
                    .map(|(stage, time)| (*stage, time.as_secs_f64()))
                    .collect();
                let how = match &reconciliation.policies {
                    Err(error) if !error.is_busy() => ReconcileResult::Failed,
                    _ if done > 0 => ReconcileResult::Changed,
                    _ => ReconcileResult::Unchanged,
                };
                let results = reconciliation.publication.proxies.values();
                let nacked = results.filter(|result| result.is_nacked()).count();
                shared.metrics.reconciled(how, &stages);
                shared.metrics.work(reconciliation);
                shared
                    .metrics
                    .publication(done, nacked, reconciliation.planned.drift.len());
            }
            Err(_) => shared.metrics.reconciled(ReconcileResult::Failed, &[]),
        }
    }

    /// Carries out a request.
    pub fn perform(&mut self, request: Request) -> Reply {
        let result = match request {
            Request::Approve { id } => self.approve(id.as_deref()),
            Request::Freeze { why } => self.freeze(why),
            Request::Thaw => self.thaw(),
            Request::Rollback { to } => self.roll_back(to),
            Request::Heal => self.heal(),
            Request::Reload => self.reload(),
        };
        match result {
            Ok(said) => Reply { done: true, said },
            Err(said) => Reply { done: false, said },
        }
    }

    /// Reconciles once for a request; an error is its reply.
    fn answer(&mut self, drift_repair: DriftRepair, probe_all: bool) -> Result<Reconciliation, String> {
        self.reconcile(ReconcileOptions {
            drift_repair,
            scan: Scan::Full,
            probe_all,
        })
        .map_err(|error| with_causes(&error))
    }

    fn approve(&mut self, id: Option<&str>) -> Result<String, String> {
        let waiting = self.answer(DriftRepair::Off, false)?;
        let Some(violation) = waiting.planned.violation else {
            return Err("nothing waits for approval".to_owned());
        };
        if let Some(id) = id.filter(|id| *id != violation.id) {
            return Err(format!(
                "{id} does not wait for approval any more; now waiting: {violation}"
            ));
        }
        let mut intent = waiting.intent;
        intent.approved = Some(violation.id.clone());
        self.remember(&intent)?;
        let reconciliation = self.answer(DriftRepair::Off, false)?;
        match &reconciliation.planned.violation {
            None => Ok(format!("approved {}: {}", violation.id, published(&reconciliation))),
            Some(other) => Err(format!("the policies changed in between: {other}")),
        }
    }

    fn freeze(&mut self, why: Option<String>) -> Result<String, String> {
        let mut intent = self.intent()?;
        let why = why.unwrap_or_else(|| "by `meshtraced freeze`".to_owned());
        intent.frozen = Some(Frozen {
            why,
            since: apply::now(),
            generation: None,
        });
        self.remember(&intent)?;
        self.answer(DriftRepair::Off, false)?;
        Ok("frozen: nothing is published until `meshtraced thaw`".to_owned())
    }

    fn thaw(&mut self) -> Result<String, String> {
        let mut intent = self.intent()?;
        if intent.frozen.take().is_none() {
            return Err("nothing is frozen".to_owned());
        }
        self.remember(&intent)?;
        let reconciliation = self.answer(DriftRepair::Off, false)?;
        Ok(format!(
            "the policies are followed again: {}",
            published(&reconciliation)
        ))
    }

    fn roll_back(&mut self, to: Option<u64>) -> Result<String, String> {
        let generations = history::list(&self.target.out).map_err(|error| with_causes(&error))?;
        let frozen = self.intent()?.frozen.and_then(|frozen| frozen.generation);
        let current = frozen.or(generations.last().map(|last| last.id));
        let to = match to {
            Some(to) => to,
            None => (generations.iter().rev())
                .map(|generation| generation.id)
                .find(|id| Some(*id) < current)
                .ok_or("there is no generation before the one that is published; see `meshtraced history`")?,
        };
        // A generation that cannot be loaded must not be made the desired one.
        history::load(&self.target.out, to).map_err(|error| with_causes(&error))?;
        let mut intent = self.intent()?;
        intent.frozen = Some(Frozen {
            why: format!("rolled back to generation {to}"),
            since: apply::now(),
            generation: Some(to),
        });
        self.remember(&intent)?;
        let reconciliation = self.answer(DriftRepair::Off, false)?;
        Ok(format!(
            "back to generation {to}: {}; the policies are followed again after `meshtraced thaw`",
            published(&reconciliation)
        ))
    }

    fn heal(&mut self) -> Result<String, String> {
        let forgotten =
            apply::forget_nacks(&self.target.out, self.session.lock()).map_err(|error| with_causes(&error))?;
        let reconciliation = self.answer(DriftRepair::All, true)?;
        let restored = match (
            reconciliation.planned.drift.len(),
            reconciliation.remaining_drift().count(),
        ) {
            (0, _) if forgotten > 0 => None,
            (0, _) => Some("nothing to restore: no published file differs".to_owned()),
            (n, 0) => Some(format!("restored {}", plural(n, "file"))),
            (_, n) => return Err(format!("{} could not be restored", plural(n, "file"))),
        };
        let results = reconciliation.publication.proxies.values();
        let again = results.filter(|result| result.is_nacked()).count();
        if again > 0 {
            return Err(format!(
                "{} the same files again; see `meshtraced status`",
                nacked_by(again)
            ));
        }
        let tried = (forgotten > 0).then(|| format!("retried what {} before", nacked_by(forgotten)));
        Ok(restored.into_iter().chain(tried).collect::<Vec<_>>().join("; "))
    }

    /// The reply to a reload. The main loop has read the settings just before.
    fn reload(&mut self) -> Result<String, String> {
        if let Some(error) = &self.tracker.status.settings_error {
            return Err(format!("{}; the previous settings stay in use", error.why));
        }
        let reconciliation = self.answer(DriftRepair::Off, true)?;
        let said = match &reconciliation.policies {
            Ok(_) => published(&reconciliation),
            Err(error) => with_causes(error),
        };
        Ok(format!("the settings are in use; {said}"))
    }

    fn intent(&self) -> Result<Intent, String> {
        Intent::read(&self.target.out).map_err(|error| with_causes(&error))
    }

    fn remember(&self, intent: &Intent) -> Result<(), String> {
        intent
            .write(&self.target.out, self.session.lock())
            .map_err(|error| with_causes(&error))
    }
}

/// `2 Envoys rejected`, the begin or end of a clause.
fn nacked_by(count: usize) -> String {
    format!("{} rejected", plural(count, "Envoy"))
}

/// The target of a daemon, with [`ANSWER_TIMEOUT`] for Envoys.
pub(super) fn target(settings: &Settings) -> Result<Target, ApplyError> {
    let mut target = Target::from_settings(settings)?;
    target.envoy.answer_timeout = target.envoy.answer_timeout.min(ANSWER_TIMEOUT);
    Ok(target)
}

/// The retry of a reconciliation that left something open.
fn open(reconciliation: &Reconciliation) -> Option<Retry> {
    match &reconciliation.policies {
        Err(error) if error.is_busy() => Some(BUSY),
        Err(_) => Some(OPEN),
        Ok(_) if reconciliation.needs_retry() => Some(OPEN),
        Ok(_) if reconciliation.is_remembered() => Some(AT_ONCE),
        Ok(_) => None,
    }
}

/// The result of a reconciliation, for a reply.
fn published(reconciliation: &Reconciliation) -> String {
    let done = reconciliation.carried_out();
    if done.changes.is_empty() {
        return format!("{} stay as they are", plural(reconciliation.published.len(), "proxy"));
    }
    let confirmed = reconciliation.publication.count(&Delivery::Acked);
    let mut said = Counts::of(&done, reconciliation.published_before, 0).to_string();
    if confirmed > 0 {
        said.push_str(&format!("; confirmed by {confirmed}"));
    }
    let failed = reconciliation.publication.failures().count();
    if failed > 0 {
        said.push_str(&format!("; {failed} failed, see `meshtraced status`"));
    }
    said
}
