//! Log lines about reconciliations: each fact is logged once, when it is new.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::apply::reload::Reloaded;
use crate::apply::{Delivery, Publication};
use crate::diag::render::limit::{CodeFindings, limit_per_code};
use crate::diag::render::text;
use crate::diag::{Diagnostic, Severity};
use crate::envoy::artifact::ProxyKey;
use crate::plan::Plan;
use crate::plan::drift::Drift;
use crate::plan::summary::{Context, Counts, summarize};
use crate::reconcile::{DesiredState, Overview, ReconcileError, Reconciliation};
use crate::words::{plural, printable, with_causes};

/// Time after which a Git operation that is still under way is logged: it may have been killed.
const LONG_OPERATION: Duration = Duration::from_secs(5);

/// The number of files or proxies of one kind of trouble that the log names at a time.
const NAMED: usize = 10;

/// The log, with the facts that it has told.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Prefix of the paths of files in findings.
    pub(super) root: String,
    /// Whether findings are coloured.
    color: bool,
    /// Name of the revision of the last reconciliation.
    revision: Option<String>,
    findings: Vec<Arc<Diagnostic>>,
    is_held: bool,
    failure: Option<String>,
    /// Start of the Git operation that is under way, and whether it was logged.
    waiting: Option<(Instant, bool)>,
    violation: Option<String>,
    drift: Vec<Drift>,
    failures: Vec<(ProxyKey, String)>,
    /// Last error of each failing reload, by its target.
    reloads: BTreeMap<String, String>,
}

impl Log {
    /// A log that has told nothing yet.
    pub(super) fn new(root: String, color: bool) -> Self {
        Self {
            root,
            color,
            ..Self::default()
        }
    }

    /// Logs what is new in a reconciliation.
    pub(super) fn reconciled(&mut self, reconciliation: &Reconciliation, elapsed: Duration) {
        let is_first = self.revision.is_none();
        match &reconciliation.policies {
            Err(error) if error.is_busy() => self.waiting(&with_causes(error)),
            _ => self.waited(),
        }
        match &reconciliation.policies {
            Ok(policies) => self.policies(reconciliation, policies, elapsed, is_first),
            Err(error) if error.is_busy() => {}
            Err(error) => self.failure(&format!("cannot compile: {}", with_causes(error))),
        }
        self.violation(reconciliation);
        self.drift(reconciliation);
        self.failures(reconciliation);
    }

    /// Logs that a reconciliation failed.
    pub(super) fn broken(&mut self, error: &ReconcileError) {
        self.failure(&format!("cannot publish: {}", with_causes(error)));
    }

    /// Logs that the policies cannot be read during a Git operation, once it has taken [`LONG_OPERATION`].
    fn waiting(&mut self, why: &str) {
        let (since, is_said) = self.waiting.get_or_insert_with(|| (Instant::now(), false));
        if since.elapsed() < LONG_OPERATION || std::mem::replace(is_said, true) {
            tracing::debug!("{why}");
        } else {
            tracing::warn!("{why}; until then nothing is compiled, and published files stay");
        }
    }

    fn waited(&mut self) {
        if let Some((_, true)) = self.waiting.take() {
            tracing::info!("the Git operation has ended; the policies are read again");
        }
    }

    /// Logs the result of a reload.
    pub(super) fn reloaded(&mut self, reloaded: &Reloaded) {
        let Reloaded { target, attempts, .. } = reloaded;
        let who = reloaded.who();
        match &reloaded.result {
            Ok(elapsed) => {
                self.reloads.remove(target);
                let elapsed_ms = elapsed.as_millis();
                let line = printable(&format!("reloaded {who}: {target}, in {elapsed_ms} ms"));
                tracing::info!(attempts, elapsed_ms, "{line}");
            }
            Err(why) => {
                let before = self.reloads.insert(target.clone(), why.clone());
                let line = printable(&format!("cannot reload {who}: {target}: {why}"));
                if before.as_ref() == Some(why) {
                    tracing::debug!(attempts, "{line}");
                } else {
                    tracing::error!(attempts, "{line}; will retry");
                }
            }
        }
    }

    fn failure(&mut self, text: &str) {
        if self.failure.as_deref() != Some(text) {
            tracing::error!("{text}; published files stay");
        }
        self.failure = Some(text.to_owned());
    }

    fn policies(&mut self, reconciliation: &Reconciliation, policies: &Overview, elapsed: Duration, is_first: bool) {
        if self.failure.take().is_some() {
            tracing::info!("the policies are read and published again");
        }
        let name = policies.name.clone();
        let before = self.revision.replace(name.clone());
        let is_new = before.as_ref() != Some(&name);
        let from = before
            .filter(|_| is_new)
            .map_or(String::new(), |before| format!("{before} -> "));
        let head = format!("{from}{name}{}", subject(policies));
        let has_news = self.findings(policies);
        if !policies.held.is_empty() && (is_new || has_news) {
            let line = printable(&format!("{head}   {}", held(reconciliation, policies)));
            tracing::error!(revision = name, "{line}");
        }
        let done = reconciliation.carried_out();
        if !done.changes.is_empty() {
            let what = what(&done, reconciliation);
            changes(
                &format!("{head}   {what}"),
                &name,
                &done,
                &reconciliation.publication,
                elapsed,
            );
        } else if policies.held.is_empty() && (is_first || is_new) {
            let stay = plural(reconciliation.published_before, "proxy");
            let line = match unpublished(reconciliation) {
                Some(why) => format!("{}   {why}", printable(&head)),
                None if is_first => format!("{name}: {stay} published before, nothing to change"),
                None => format!("{}   no proxy changes", printable(&head)),
            };
            tracing::info!(revision = name, "{line}");
        }
    }

    /// Logs findings if they are new; `true` if they are.
    fn findings(&mut self, policies: &Overview) -> bool {
        let (findings, held) = (&policies.findings, &policies.held);
        if *findings == self.findings {
            // Those of before may hold texts of their own, as after a restart.
            self.findings.clone_from(findings);
            return false;
        }
        let known: HashSet<&Arc<Diagnostic>> = self.findings.iter().collect();
        let new = findings.iter().filter(|finding| !known.contains(finding));
        let CodeFindings { shown, left_out } = limit_per_code(new, |_| text::PER_CODE);
        for finding in shown {
            let shown = text::render(std::slice::from_ref(finding), &self.root, 1, self.color);
            match finding.severity {
                Severity::Error => tracing::error!("{}", shown.trim_end()),
                Severity::Warning => tracing::warn!("{}", shown.trim_end()),
            }
        }
        if !left_out.is_empty() {
            tracing::warn!("{}", text::left_out(&left_out).trim_end());
        }
        if held.is_empty() && std::mem::take(&mut self.is_held) {
            tracing::info!("the policies are free of errors again");
        }
        self.is_held = !held.is_empty();
        self.findings.clone_from(findings);
        true
    }

    fn violation(&mut self, reconciliation: &Reconciliation) {
        let violation = reconciliation.planned.violation.as_ref().map(ToString::to_string);
        if let Some(violation) = violation
            .as_ref()
            .filter(|violation| self.violation.as_ref() != Some(violation))
        {
            tracing::error!("{violation}");
        }
        self.violation = violation;
    }

    fn drift(&mut self, reconciliation: &Reconciliation) {
        let known: BTreeSet<&Drift> = self.drift.iter().collect();
        let drift = reconciliation.planned.drift.iter();
        let new: Vec<&Drift> = drift.filter(|drifted| !known.contains(drifted)).collect();
        for drifted in new.iter().take(NAMED) {
            tracing::warn!(
                mesh = drifted.proxy.mesh,
                dataplane = drifted.proxy.dataplane,
                "{}",
                drifted.describe(reconciliation.planned.leaves(drifted))
            );
        }
        if let Some(rest @ 1..) = new.len().checked_sub(NAMED) {
            tracing::warn!("... and {} more that drifted", plural(rest, "file"));
        }
        self.drift = reconciliation.planned.drift_left.clone();
    }

    fn failures(&mut self, reconciliation: &Reconciliation) {
        let failures: Vec<(ProxyKey, String)> = (reconciliation.publication.failures())
            .map(|(proxy, why)| (proxy.clone(), why))
            .collect();
        let known: HashSet<&(ProxyKey, String)> = self.failures.iter().collect();
        let new: Vec<_> = failures.iter().filter(|failure| !known.contains(failure)).collect();
        for (proxy, why) in new.iter().take(NAMED) {
            let line = printable(&format!("{proxy}: {why}"));
            tracing::error!(mesh = proxy.mesh, dataplane = proxy.dataplane, "{line}");
        }
        if let Some(rest @ 1..) = new.len().checked_sub(NAMED) {
            tracing::error!("... and {} more that failed", plural(rest, "proxy"));
        }
        self.failures = failures;
    }
}

/// The reason why nothing was published, although the policies would change something.
fn unpublished(reconciliation: &Reconciliation) -> Option<String> {
    match reconciliation.desired {
        DesiredState::Policies if reconciliation.planned.violation.is_some() => {
            Some("not published: the change waits for approval".to_owned())
        }
        DesiredState::Policies => match reconciliation.planned.plan.changes.len() {
            0 => None,
            n => Some(format!("not published: {} failed", plural(n, "proxy"))),
        },
        DesiredState::Generation(_) | DesiredState::Unchanged => match reconciliation.would_change() {
            0 => None,
            n => Some(format!("not published: frozen; it would change {}", plural(n, "proxy"))),
        },
    }
}

/// Logs what was published, in one line.
fn changes(what: &str, revision: &str, done: &Plan, publication: &Publication, elapsed: Duration) {
    let elapsed_ms = elapsed.as_millis();
    let confirmed = publication.count(&Delivery::Acked);
    let not_running = publication.count(&Delivery::NotRunning);
    let mut end = match confirmed {
        0 => format!("in {elapsed_ms} ms"),
        n => format!("confirmed by {n} in {elapsed_ms} ms"),
    };
    if not_running > 0 {
        end.push_str(&format!(", {not_running} not running"));
    }
    let proxies = done.changes.len();
    let line = printable(&format!("{what}   {end}"));
    tracing::info!(revision, proxies, confirmed, not_running, elapsed_ms, "{line}");
}

/// The consequence of errors, such as `held: mesh payments, 1 error; its 3 proxies stay as they are`.
fn held(reconciliation: &Reconciliation, policies: &Overview) -> String {
    let held = &policies.held;
    let is_error = |finding: &&Arc<Diagnostic>| finding.severity == Severity::Error;
    let errors = plural(policies.findings.iter().filter(is_error).count(), "error");
    let is_held = |proxy: &&ProxyKey| held.contains_proxy(proxy);
    let stay = plural(reconciliation.published.keys().filter(is_held).count(), "proxy");
    format!("held: {}, {errors}; {stay} as before", held.names())
}

/// The subject of the commit in quotes, after a space: ` "trace-eu: 10 %"`; empty without a commit.
fn subject(policies: &Overview) -> String {
    let commit = policies.commit.as_ref();
    commit.map_or(String::new(), |commit| format!(" \"{}\"", commit.subject))
}

/// A summary of what a reconciliation changed, such as `4 proxies changed: sampling 100 % -> 10 %`.
fn what(done: &Plan, reconciliation: &Reconciliation) -> String {
    let count = || Counts::of(done, reconciliation.published_before, 0).to_string();
    match (reconciliation.desired, &reconciliation.compiled) {
        (DesiredState::Generation(id), _) => format!("back to generation {id}: {}", count()),
        (DesiredState::Policies | DesiredState::Unchanged, Some(compiled)) => {
            let context = Context {
                before: None,
                after: compiled,
                reload: &|_| None,
            };
            match summarize(done, &context).as_slice() {
                // One edit usually is one group; more would make the line unreadable.
                [one] => one.one_line(),
                _ => count(),
            }
        }
        (DesiredState::Policies | DesiredState::Unchanged, None) => count(),
    }
}
