//! `meshtraced run`: watches the policies, compiles them and publishes the changes.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::changes::{self, Detail};
use super::context::{CommandResult, Context, Exit, Failure, print};
use super::progress;
use super::report;
use crate::apply::reload::Reloader;
use crate::apply::{Delivery, Lock, Session, Target};
use crate::compile::{Compiled, Extent};
use crate::daemon;
use crate::diag::render::text;
use crate::envoy::artifact::{Artifact, ProxyKey};
use crate::reconcile::{self, Cache, Overview, ReconcileOptions, Reconciliation, Side};
use crate::settings::Settings;
use crate::source;
use crate::words::{plural, printable, with_causes};

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Publish once and exit
    #[arg(long)]
    once: bool,
    /// Print the changes once and exit, without writing files
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "Examples:
  meshtraced run --once
  meshtraced run --dry-run
  meshtraced run --policies /srv/mesh-config/policies --out /var/lib/meshtraced/envoy

SIGHUP reads the settings again and looks at once; SIGTERM and SIGINT end it after what it is doing.";

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let settings = context.settings()?;
    if arguments.dry_run {
        return dry_run(context, &settings);
    }
    if arguments.once {
        return once(context, &settings);
    }
    watch(context, settings)
}

fn dry_run(context: &Context, settings: &Settings) -> CommandResult {
    let policies = super::compiled::policies(settings, &Side::Now, Extent::Files)?;
    let comparison = reconcile::compare(settings, &Target::from_settings(settings)?, policies)?;
    let plan = &comparison.planned.plan;
    let mut out = report::overview(settings, &policies.overview);
    if plan.changes.is_empty() {
        out.push_str("no change\n");
    } else {
        let detail = Detail {
            list: false,
            bytes: false,
            color: context.color_on_stdout,
            limit: changes::MANY_GROUPS,
        };
        let groups = changes::groups(settings, plan, None, policies);
        let counts = comparison.counts(&policies.overview.held);
        out.push_str(&format!("would publish: {counts}\n"));
        out.push_str(&changes::render(&groups, plan, detail));
    }
    print(&out)?;
    complain(context, settings, &policies.overview)?;
    if let Some(violation) = &comparison.planned.violation {
        writeln!(io::stderr(), "error: {violation}")?;
    }
    Ok(Exit::Done)
}

fn once(context: &Context, settings: &Settings) -> CommandResult {
    let start = Instant::now();
    let target = Target::from_settings(settings)?;
    let session = Session::open(&target)?;
    let options = ReconcileOptions::once(settings);
    let reconciliation =
        progress::shown(|| reconcile::reconcile(settings, &target, &session, &mut Cache::default(), &options))?;
    let (reloaded, not_reloaded) = reload(settings, &reconciliation, &target, session.lock());
    for failure in &not_reloaded {
        writeln!(io::stderr(), "error: {}", printable(failure))?;
    }
    let policies = match &reconciliation.policies {
        Ok(policies) => policies,
        Err(error) => return Err(with_causes(error).into()),
    };
    let mut out = report::overview(settings, policies);
    out.push_str(&published_once(settings, &reconciliation, policies, start));
    if reloaded > 0 {
        out.push_str(&format!("reloaded {}\n", plural(reloaded, "proxy")));
    }
    print(&out)?;
    complain(context, settings, policies)?;
    report_plan(&reconciliation)?;
    let mut failed = !not_reloaded.is_empty();
    for (proxy, why) in reconciliation.publication.failures() {
        failed = true;
        writeln!(io::stderr(), "error: {proxy}: {}", printable(&why))?;
    }
    // Whoever selects proxies by name or tags wants each of them.
    let lacks_selected = !settings.select.is_empty() && !policies.without_files.is_empty();
    let is_complete = policies.held.is_empty() && reconciliation.planned.violation.is_none() && !lacks_selected;
    Ok(match (failed, is_complete) {
        (true, _) => Exit::Failed,
        (false, false) => Exit::Found,
        (false, true) => Exit::Done,
    })
}

/// Prints the drift, and the reason why a plan waits for approval.
fn report_plan(reconciliation: &Reconciliation) -> Result<(), Failure> {
    for drift in &reconciliation.planned.drift {
        writeln!(
            io::stderr(),
            "warning: {}",
            drift.describe(reconciliation.planned.leaves(drift))
        )?;
    }
    if let Some(violation) = &reconciliation.planned.violation {
        writeln!(io::stderr(), "error: {violation}")?;
    }
    Ok(())
}

/// Makes the reloads that are due. Returns the number of reloaded proxies and the failures of the others.
fn reload(settings: &Settings, reconciliation: &Reconciliation, target: &Target, lock: &Lock) -> (usize, Vec<String>) {
    let mut reloader = Reloader::default();
    reconciliation.offer(|offer| reloader.offer(offer, &settings.reload, &target.out, lock));
    reloader.finish(None);
    let (mut reloaded, mut failures) = (0, Vec::new());
    for ended in reloader.drain(&target.out, lock) {
        match &ended.result {
            Ok(_) => reloaded += ended.proxies.len(),
            Err(why) => failures.push(format!("cannot reload {}: {}: {why}", ended.who(), ended.target)),
        }
    }
    (reloaded, failures)
}

/// The line about the published changes, with a command to try next.
fn published_once(settings: &Settings, reconciliation: &Reconciliation, policies: &Overview, start: Instant) -> String {
    let elapsed = start.elapsed().as_millis();
    let done = reconciliation.carried_out();
    let files = done.changes.iter().map(|change| change.changed().count()).sum();
    let proxies = done.changes.len();
    let stay = plural(reconciliation.published_before, "proxy");
    let without = match policies.without_files.len() {
        0 => String::new(),
        n => format!("{} cannot be a sidecar", plural(n, "dataplane")),
    };
    let and_without = if without.is_empty() {
        String::new()
    } else {
        format!("; {without}")
    };
    if let Some(frozen) = &reconciliation.intent.frozen
        && proxies == 0
    {
        let since = &frozen.since;
        return format!(
            "published nothing: frozen since {since}, {}; `meshtraced thaw` ends it\n",
            frozen.why
        );
    }
    if reconciliation.planned.plan.changes.is_empty() || reconciliation.planned.violation.is_some() {
        return match (
            policies.held.is_empty() && reconciliation.planned.violation.is_none(),
            reconciliation.published_before,
        ) {
            (true, 0) if !without.is_empty() => format!("published nothing: {without}\n"),
            (true, 1) => format!("no change: 1 proxy is up to date{and_without}\n"),
            (true, _) => format!("no change: {stay} are up to date{and_without}\n"),
            (false, 0) => "published nothing\n".to_owned(),
            (false, _) => format!("published nothing: {stay} as before\n"),
        };
    }
    let mut line = format!(
        "published {}, {} in {elapsed} ms.",
        plural(proxies, "proxy"),
        plural(files, "file")
    );
    let confirmed = reconciliation.publication.count(&Delivery::Acked);
    if confirmed > 0 {
        line.push_str(&format!(" {} confirmed by Envoy.", plural(confirmed, "proxy")));
    } else if let Some(path) = reconciliation
        .compiled
        .as_ref()
        .and_then(|compiled| first_bootstrap(compiled, settings))
    {
        line.push_str(&format!(" Try:  envoy -c {}", path.display()));
    }
    line.push('\n');
    line
}

/// The bootstrap of the command to try next, if that proxy has one.
fn first_bootstrap(compiled: &Compiled, settings: &Settings) -> Option<PathBuf> {
    let first = first_traced(compiled)?;
    let has_one = compiled.fragments.get(&first)?.contains_key(&Artifact::Bootstrap);
    let elsewhere = compiled.elsewhere.get(&first);
    let own = || settings.out.join(first.directory()).join(&*Artifact::Bootstrap.path());
    let path = elsewhere.and_then(|places| places.get(&Artifact::Bootstrap).cloned());
    has_one.then(|| path.unwrap_or_else(own))
}

/// The proxy of the command to try next: the first traced one with outbounds, else the first one.
fn first_traced(compiled: &Compiled) -> Option<ProxyKey> {
    let key = |proxy: &crate::ir::Proxy| proxy.key.clone();
    let published = || {
        compiled
            .proxies
            .iter()
            .filter(|proxy| compiled.fragments.contains_key(&key(proxy)))
    };
    let best = published()
        .find(|proxy| proxy.traced().count() > 1)
        .or_else(|| published().next());
    best.map(|proxy| key(proxy))
}

/// Prints the findings, and the meshes that their errors hold.
fn complain(context: &Context, settings: &Settings, policies: &Overview) -> Result<(), Failure> {
    let mut shown = context.brief(settings, &settings.sources().prefix(), &policies.findings);
    if let Some(count) = text::count(&policies.findings) {
        shown.push_str(&format!("{count}{}\n", policies.held.consequence()));
    }
    io::stderr().write_all(shown.as_bytes())?;
    Ok(())
}

/// Publishes now and after every change, until a signal ends the daemon.
fn watch(context: &Context, settings: Settings) -> CommandResult {
    let how = source::describe(&settings.sources());
    let beginning = format!(
        "watching {} ({how}), publishing to {}",
        settings.sources(),
        settings.out.display()
    );
    tracing::info!(policies = %settings.sources(), out = %settings.out.display(), "{}", printable(&beginning));
    let (config, overrides) = (context.config.clone(), context.overrides.clone());
    let load = Box::new(move || Settings::load(config.as_deref(), &overrides));
    daemon::run(settings, load, context.color_on_stderr)?;
    tracing::info!("stopped; published files stay");
    drop(io::stderr().flush());
    Ok(Exit::Done)
}
