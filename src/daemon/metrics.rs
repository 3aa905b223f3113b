//! Metrics for Prometheus: gauges that are set from the [`Status`], and counters of events.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::status::{Revision, Status};
use crate::reconcile::{Reconciliation, Stage};

/// Content type of [`Metrics::text`].
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the buckets for durations, in seconds.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

type Labels = Vec<(&'static str, String)>;
type Gauge = gauge::Gauge<f64, AtomicU64>;
type Gauges = Family<Labels, Gauge>;

/// The result of a reconciliation, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReconcileResult {
    /// At least one file was published.
    Changed,
    /// There was nothing to publish.
    Unchanged,
    /// The machine failed: disk, permissions, processes.
    Failed,
}

/// All metrics of the daemon.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    revisions: Gauges,
    proxies: Gauges,
    held: Gauges,
    findings: Gauges,
    policies: Gauges,
    flags: Gauges,
    drifted: Gauge,
    failing_reloads: Gauge,
    watched: Gauge,
    overflows: Counter,
    rearmed: Counter,
    reconciliations: Family<Labels, Counter>,
    published: Counter,
    rejected: Counter,
    drift: Counter,
    reloads: Family<Labels, Counter>,
    work: Family<Labels, Counter>,
    stages: Family<Labels, Histogram>,
}

/// Each reason for a person to look, with 1 while it applies.
fn attention(status: &Status) -> [(&'static str, f64); 6] {
    let flag = |is_up: bool| f64::from(u8::from(is_up));
    [
        ("failed", flag(status.failure.is_some())),
        ("waiting", flag(status.waiting.is_some())),
        ("settings", flag(status.settings_error.is_some())),
        ("frozen", flag(status.frozen.is_some())),
        ("guarded", flag(status.guarded.is_some())),
        ("watch", flag(status.watch.degraded_reason.is_some())),
    ]
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("meshtraced");
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "Version of the running daemon", Info::new(version));
        let mut gauges = |name: &str, help: &str| {
            let gauges = Gauges::default();
            registry.register(name, help, gauges.clone());
            gauges
        };
        let proxies = gauges("proxies", "Proxies by the state of their Envoy");
        let held = gauges(
            "held",
            "1 for every mesh of which errors hold something; mesh=\"*\" when they hold everything",
        );
        let findings = gauges("findings", "Errors and warnings in the policies");
        let policies = gauges("policies", "Policies by outcome");
        let flags = gauges(
            "attention",
            "1 while a person should look: failed, waiting, settings, frozen, guarded, watch",
        );
        let revisions = Gauges::default();
        registry.register_with_unit(
            "revision_timestamp",
            "Time of the last revision that was seen, compiled, published and confirmed",
            Unit::Seconds,
            revisions.clone(),
        );
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let drifted = gauge("drifted_files", "Published files that somebody else changed");
        let failing_reloads = gauge("failing_reloads", "Reloads that failed and will be retried");
        let watched = gauge("watched_directories", "Watched directories");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let overflows = counter("watch_overflows", "Losses of file events");
        let rearmed = counter("watch_rearmed", "Restarts of the watch");
        let published = counter("published_proxies", "Proxies whose files were changed");
        let rejected = counter("rejected_proxies", "Publications that an Envoy rejected");
        let drift = counter("drift", "Published files that were found changed by somebody else");
        let mut counters = |name: &str, help: &str| {
            let counters = Family::<Labels, Counter>::default();
            registry.register(name, help, counters.clone());
            counters
        };
        let reconciliations = counters("reconciliations", "Reconciliations by result");
        let reloads = counters("reloads", "Reloads by result");
        let work = counters(
            "work",
            "Policy files that were looked at, that had changed, that were decoded; proxies that were lowered, that were rendered",
        );
        let stages = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        registry.register_with_unit(
            "stage_duration",
            "Duration of each stage of a reconciliation",
            Unit::Seconds,
            stages.clone(),
        );
        Self {
            registry,
            revisions,
            proxies,
            held,
            findings,
            policies,
            flags,
            drifted,
            failing_reloads,
            watched,
            overflows,
            rearmed,
            reconciliations,
            published,
            rejected,
            drift,
            reloads,
            work,
            stages,
        }
    }

    /// Sets all gauges from the status.
    pub(super) fn show(&self, status: &Status) {
        let set = |gauges: &Gauges, name: &'static str, values: &[(&str, f64)]| {
            for (label, value) in values {
                gauges.get_or_create(&vec![(name, (*label).to_owned())]).set(*value);
            }
        };
        let proxies = &status.proxies;
        set(
            &self.proxies,
            "state",
            &[
                ("active", proxies.active as f64),
                ("not-running", proxies.not_running as f64),
                ("rejected", proxies.rejected as f64),
                ("unreachable", proxies.unreachable as f64),
                ("unknown", proxies.unknown as f64),
                ("failed", proxies.failed as f64),
            ],
        );
        let findings = [
            ("error", status.findings.errors as f64),
            ("warning", status.findings.warnings as f64),
        ];
        set(&self.findings, "severity", &findings);
        let outcomes = [
            ("decides", status.outcomes.decide as f64),
            ("loses", status.outcomes.lose as f64),
            ("matches-nothing", status.outcomes.match_nothing as f64),
        ];
        set(&self.policies, "outcome", &outcomes);
        set(&self.flags, "reason", &attention(status));
        self.held.clear();
        for held in &status.held {
            let mesh = held.mesh.clone().unwrap_or_else(|| "*".to_owned());
            self.held.get_or_create(&vec![("mesh", mesh)]).set(1.0);
        }
        self.show_revisions(status);
        self.drifted.set(status.drift.len() as f64);
        self.failing_reloads.set(status.reloads.len() as f64);
        self.watched.set(status.watch.directories as f64);
        for (counter, now) in [
            (&self.overflows, status.watch.overflows),
            (&self.rearmed, status.watch.rearmed),
        ] {
            counter.inc_by(now.saturating_sub(counter.get()));
        }
    }

    fn show_revisions(&self, status: &Status) {
        self.revisions.clear();
        let revisions = &status.revisions;
        for (stage, revision) in [
            ("seen", &revisions.seen),
            ("compiled", &revisions.compiled),
            ("published", &revisions.published),
            ("confirmed", &revisions.confirmed),
        ] {
            if let Some(Revision { name, at, .. }) = revision {
                let labels = vec![("stage", stage.to_owned()), ("revision", name.clone())];
                let seconds = at.timestamp_millis() as f64 / 1000.0;
                self.revisions.get_or_create(&labels).set(seconds);
            }
        }
    }

    /// Counts a reconciliation by result, and observes the duration of its stages, in seconds.
    pub(super) fn reconciled(&self, result: ReconcileResult, stages: &[(Stage, f64)]) {
        let word = match result {
            ReconcileResult::Changed => "changed",
            ReconcileResult::Unchanged => "unchanged",
            ReconcileResult::Failed => "failed",
        };
        self.reconciliations
            .get_or_create(&vec![("result", word.to_owned())])
            .inc();
        for (stage, seconds) in stages {
            let labels = vec![("stage", stage.as_str().to_owned())];
            self.stages.get_or_create(&labels).observe(*seconds);
        }
    }

    /// Counts published proxies, nacks and files that were found changed.
    pub(super) fn publication(&self, published: usize, rejected: usize, drifted: usize) {
        self.published.inc_by(published as u64);
        self.rejected.inc_by(rejected as u64);
        self.drift.inc_by(drifted as u64);
    }

    /// Counts the work of a reconciliation.
    pub(super) fn work(&self, reconciliation: &Reconciliation) {
        let read = reconciliation.read;
        let compiled = reconciliation.compiled.as_ref().map(|compiled| compiled.work);
        let compiled = compiled.unwrap_or_default();
        for (part, count) in [
            ("looked-at", read.looked_at),
            ("changed", read.changed),
            ("decoded", compiled.decoded),
            ("lowered", compiled.lowered),
            ("rendered", compiled.rendered),
            ("read-back", reconciliation.read_back),
        ] {
            let labels = vec![("part", part.to_owned())];
            self.work.get_or_create(&labels).inc_by(count as u64);
        }
    }

    /// Counts a reload.
    pub(super) fn reload(&self, is_good: bool) {
        let word = if is_good { "done" } else { "failed" };
        self.reloads.get_or_create(&vec![("result", word.to_owned())]).inc();
    }

    /// All metrics in the OpenMetrics text format.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes everything");
        text
    }
}
