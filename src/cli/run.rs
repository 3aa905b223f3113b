//! `meshtraced run`: watch the policies, compile them and publish what changed.

use std::io::{self, Write};
use std::time::Instant;

use clap::Args;

use super::changes::{self, Detail};
use super::progress::Progress;
use super::{Context, Exit, Failure, Outcome, compile_now, compile_once, drifted, print, report, target};
use crate::apply::{self, ApplyError, Lock, State, Target, Word};
use crate::compile::Compiled;
use crate::daemon::{self, Timing};
use crate::diag::text::{self, plural};
use crate::diag::{Diagnostic, Severity};
use crate::envoy::artifact::{Artifact, ProxyKey};
use crate::plan::guard::Refusal;
use crate::plan::summary::{self, Group};
use crate::plan::{self, Change, Drift, Held, Plan};
use crate::settings::Settings;
use crate::source::Snapshot;

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Publish once and end
    #[arg(long)]
    once: bool,
    /// Print once what would change, write nothing and end
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "Examples:
  meshtraced run --once
  meshtraced run --dry-run
  meshtraced run --policies /srv/mesh-config/policies --out /var/lib/meshtraced/envoy

SIGHUP makes the daemon look at once; SIGTERM and SIGINT end it after what it is doing.";

pub(super) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let settings = context.settings()?;
    if arguments.dry_run {
        return dry_run(context, &settings);
    }
    if arguments.once {
        return once(context, &settings);
    }
    watch(context, settings)
}

/// What one turn did.
struct Turn {
    snapshot: Snapshot,
    compiled: Compiled,
    findings: Vec<Diagnostic>,
    held: Held,
    plan: Plan,
    /// How many proxies were published before.
    published_before: usize,
    /// Files that were not as they were published, and those of them that stay so.
    drift: [Vec<Drift>; 2],
    /// Why the plan was not carried out.
    refusal: Option<Refusal>,
    outcome: apply::Outcome,
}

impl Turn {
    /// The part of the plan that was carried out.
    fn done(&self) -> Plan {
        let is_done = |change: &&Change| match self.outcome.proxies.get(&change.proxy) {
            Some((_, result)) => result.as_ref().is_ok_and(Word::is_done),
            None => false,
        };
        Plan {
            changes: self.plan.changes.iter().filter(is_done).cloned().collect(),
        }
    }
}

/// Reads, compiles and publishes.
fn turn(settings: &Settings, lock: &Lock) -> Result<Turn, Failure> {
    let target = target(settings)?;
    let (snapshot, compiled) = compile_now(settings)?;
    let findings = report::all_findings(&compiled);
    let held = report::held(settings, &findings);
    let mut observed = apply::observe(&target)?;
    let left = drifted::leave(settings, &mut observed, &compiled.fragments);
    let plan = plan::plan(&observed.applied, &compiled.fragments, &held);
    let published_before = observed.applied.len();
    let refusal = guard(&plan, published_before, settings, &target, lock)?;
    let outcome = match refusal {
        Some(_) => apply::Outcome::default(),
        None => apply::apply(&plan, &target, lock, snapshot.revision().as_ref())?,
    };
    apply::contributions::remember(&compiled.known, &target, lock)?;
    Ok(Turn {
        snapshot,
        compiled,
        findings,
        held,
        plan,
        published_before,
        drift: [observed.drift, left],
        refusal,
        outcome,
    })
}

/// Whether a plan has to wait for somebody's word; one that was given is used up.
fn guard(
    plan: &Plan,
    published: usize,
    settings: &Settings,
    target: &Target,
    lock: &Lock,
) -> Result<Option<Refusal>, ApplyError> {
    let state = State::read(target)?;
    let Some(refusal) = plan::guard(plan, published, &settings.guard) else {
        return Ok(None);
    };
    if !refusal.is_approved(state.approved.as_deref()) {
        return Ok(Some(refusal));
    }
    let approved = None;
    State { approved, ..state }.write(target, lock)?;
    Ok(None)
}

fn dry_run(context: &Context, settings: &Settings) -> Outcome {
    let (snapshot, compiled) = compile_once(settings)?;
    let findings = report::all_findings(&compiled);
    let held = report::held(settings, &findings);
    let mut observed = apply::observe(&target(settings)?)?;
    let left = drifted::leave(settings, &mut observed, &compiled.fragments);
    let applied = observed.applied;
    let plan = plan::plan(&applied, &compiled.fragments, &held);
    let mut out = report::overview(settings, &snapshot, &compiled, &held);
    if plan.changes.is_empty() {
        out.push_str("nothing would change\n");
    } else {
        let groups = summary::summarize(&plan, &compiled.proxies);
        let detail = Detail {
            color: context.color_on_stdout,
            ..Detail::default()
        };
        out.push_str(&format!("would publish: {}\n", changes::count(&plan, applied.len())));
        out.push_str(&changes::render(&groups, &plan, detail));
    }
    print(&out)?;
    complain(context, settings, &findings, &held)?;
    drifted::complain(&observed.drift, &left)?;
    if let Some(refusal) = plan::guard(&plan, applied.len(), &settings.guard) {
        writeln!(io::stderr(), "warning: {refusal}")?;
    }
    Ok(Exit::Done)
}

fn once(context: &Context, settings: &Settings) -> Outcome {
    let start = Instant::now();
    let lock = apply::lock(&target(settings)?)?;
    let turn = {
        let _progress = Progress::new("publishing");
        turn(settings, &lock)?
    };
    let mut out = report::overview(settings, &turn.snapshot, &turn.compiled, &turn.held);
    out.push_str(&published_once(settings, &turn, start));
    print(&out)?;
    complain(context, settings, &turn.findings, &turn.held)?;
    let [drift, left] = &turn.drift;
    drifted::complain(drift, left)?;
    for note in &turn.outcome.notes {
        writeln!(io::stderr(), "warning: {}", text::printable(&text::with_causes(note)))?;
    }
    if let Some(refusal) = &turn.refusal {
        writeln!(io::stderr(), "error: {refusal}")?;
        return Ok(Exit::Found);
    }
    let mut failed = false;
    for (proxy, why) in turn.outcome.failures() {
        failed = true;
        writeln!(io::stderr(), "error: {proxy}: {}", text::printable(&why))?;
    }
    Ok(match (failed, turn.held.is_empty()) {
        (true, _) => Exit::Failed,
        (false, false) => Exit::Found,
        (false, true) => Exit::Done,
    })
}

/// The line that says what was published, and what to type next.
fn published_once(settings: &Settings, turn: &Turn, start: Instant) -> String {
    let elapsed = start.elapsed().as_millis();
    let done = turn.done();
    let files = done.changes.iter().map(|change| change.changed().count()).sum();
    let proxies = done.changes.len();
    if turn.refusal.is_some() {
        return format!(
            "published nothing: {} as before\n",
            plural(turn.published_before, "proxy")
        );
    }
    if turn.plan.changes.is_empty() {
        let stay = plural(turn.published_before, "proxy");
        return match (turn.held.is_empty(), turn.published_before) {
            (true, 1) => "nothing to do: 1 proxy is up to date\n".to_owned(),
            (true, _) => format!("nothing to do: {stay} are up to date\n"),
            (false, 0) => "published nothing\n".to_owned(),
            (false, _) => format!("published nothing: {stay} as before\n"),
        };
    }
    let mut line = format!(
        "published {}, {} in {elapsed} ms.",
        plural(proxies, "proxy"),
        plural(files, "file")
    );
    let confirmed = turn.outcome.count(&Word::Confirmed);
    if confirmed > 0 {
        line.push_str(&format!(" {} confirmed by Envoy.", plural(confirmed, "proxy")));
    } else if let Some(first) = first_traced(&turn.compiled) {
        let path = settings.out.join(first.directory()).join(Artifact::Bootstrap.path());
        line.push_str(&format!(" Try:  envoy -c {}", path.display()));
    }
    line.push('\n');
    line
}

/// A proxy worth trying: the first with outbounds that traces, else the first.
fn first_traced(compiled: &Compiled) -> Option<ProxyKey> {
    let key = |proxy: &crate::ir::Proxy| ProxyKey::new(&proxy.mesh, &proxy.name);
    let published = || {
        compiled
            .proxies
            .iter()
            .filter(|proxy| compiled.fragments.contains_key(&key(proxy)))
    };
    let best = published()
        .find(|proxy| proxy.traced().count() > 1)
        .or_else(|| published().next());
    best.map(key)
}

/// Shows findings and what they keep from being written.
fn complain(context: &Context, settings: &Settings, findings: &[Diagnostic], held: &Held) -> Result<(), Failure> {
    let mut shown = text::render(
        findings,
        &settings.sources.prefix(),
        settings.findings_per_file,
        context.color_on_stderr,
    );
    if let Some(count) = text::count(findings) {
        shown.push_str(&format!("{count}{}\n", report::consequence(held)));
    }
    io::stderr().write_all(shown.as_bytes())?;
    Ok(())
}

/// Publishes now and after every change, until told to stop.
fn watch(context: &Context, settings: Settings) -> Outcome {
    let lock = apply::lock(&target(&settings)?)?;
    let timing = Timing {
        quiet: settings.quiet,
        ceiling: settings.ceiling,
        rescan: settings.rescan,
    };
    let roots: Vec<_> = settings.sources.roots.iter().map(|root| root.path.clone()).collect();
    let mut log = Log {
        root: settings.sources.prefix(),
        color: context.color_on_stderr,
        ..Log::default()
    };
    tracing::info!(policies = %settings.sources, out = %settings.out.display(), "watching");
    daemon::run(&roots, timing, move |reason| {
        let start = Instant::now();
        tracing::debug!(?reason, "looking");
        match turn(&settings, &lock) {
            Ok(turn) => log.turn(&turn, start),
            Err(failure) => log.failure(failure.as_ref()),
        }
    })?;
    tracing::info!("stopped; what is published stays");
    drop(io::stderr().flush());
    Ok(Exit::Done)
}

/// What the daemon has said, so that a turn says only what is new.
#[derive(Default)]
struct Log {
    root: String,
    color: bool,
    findings: Vec<Diagnostic>,
    failure: Option<String>,
    failures: Vec<(ProxyKey, String)>,
    /// Drift, notes, refusals.
    remarks: Vec<String>,
    started: bool,
}

impl Log {
    fn turn(&mut self, turn: &Turn, start: Instant) {
        let revision = turn.snapshot.revision();
        let elapsed_ms = start.elapsed().as_millis();
        if self.failure.take().is_some() {
            tracing::info!(%revision, "the policies can be read and published again");
        }
        self.findings(turn);
        let (confirmed, not_running) = (
            turn.outcome.count(&Word::Confirmed),
            turn.outcome.count(&Word::NotRunning),
        );
        let done = turn.done();
        if !done.changes.is_empty() {
            let changed = changes::count(&done, turn.published_before);
            tracing::info!(%revision, confirmed, not_running, elapsed_ms, "published: {changed}");
            for group in summary::summarize(&done, &turn.compiled.proxies) {
                tracing::info!("  {}", in_one_line(&group));
            }
        } else if !self.started {
            tracing::info!(%revision, elapsed_ms, "{} up to date", plural(turn.published_before, "proxy"));
        }
        self.started = true;
        self.remarks(turn);
        let failures: Vec<(ProxyKey, String)> = turn
            .outcome
            .failures()
            .map(|(proxy, why)| (proxy.clone(), why))
            .collect();
        for (proxy, why) in failures.iter().filter(|failure| !self.failures.contains(failure)) {
            tracing::error!(
                mesh = proxy.mesh,
                dataplane = proxy.dataplane,
                "{}",
                text::printable(why)
            );
        }
        self.failures = failures;
    }

    fn remarks(&mut self, turn: &Turn) {
        let [drift, left] = &turn.drift;
        let drift = drift.iter().map(|drift| drifted::sentence(drift, left));
        let notes = turn.outcome.notes.iter().map(|note| text::with_causes(note));
        let remarks: Vec<String> = drift
            .chain(notes)
            .chain(turn.refusal.iter().map(ToString::to_string))
            .collect();
        for remark in remarks.iter().filter(|remark| !self.remarks.contains(remark)) {
            tracing::warn!("{}", text::printable(remark));
        }
        self.remarks = remarks;
    }

    fn findings(&mut self, turn: &Turn) {
        if turn.findings == self.findings {
            return;
        }
        for finding in turn.findings.iter().filter(|finding| !self.findings.contains(finding)) {
            let shown = text::render(std::slice::from_ref(finding), &self.root, 1, self.color);
            match finding.severity {
                Severity::Error => tracing::error!("{}", shown.trim_end()),
                Severity::Warning => tracing::warn!("{}", shown.trim_end()),
            }
        }
        if !turn.held.is_empty() {
            let count = text::count(&turn.findings).unwrap_or_default();
            tracing::error!("{count}{}; what is published stays", report::consequence(&turn.held));
        } else if self.findings.iter().any(|finding| finding.severity == Severity::Error) {
            tracing::info!("the policies are free of errors again");
        }
        self.findings.clone_from(&turn.findings);
    }

    /// A failure of the machine, said once for as long as it lasts.
    fn failure(&mut self, failure: &(dyn std::error::Error + 'static)) {
        let text = text::with_causes(failure);
        if self.failure.as_deref() != Some(&text) {
            let held = failure.downcast_ref::<ApplyError>().is_none();
            tracing::error!(
                published = "stays",
                "{}{text}",
                if held { "cannot compile: " } else { "cannot publish: " }
            );
        }
        self.failure = Some(text);
    }
}

/// A group of changes as one line of a log.
fn in_one_line(group: &Group) -> String {
    let lines: Vec<String> = (group.lines.iter())
        .map(|line| {
            let before = line
                .before
                .as_ref()
                .map_or(String::new(), |before| format!("{before} -> "));
            let origin = line
                .origin
                .as_ref()
                .map_or(String::new(), |origin| format!(" by {origin}"));
            format!("{} {before}{}{origin}", line.label, line.after)
                .trim_start()
                .to_owned()
        })
        .collect();
    let names = group.dataplanes.join(", ");
    text::printable(&format!("{}: {names}: {}", group.mesh, lines.join("; ")))
}
