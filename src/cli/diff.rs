//! `meshtraced diff`: the changes that the policies would make on disk, or between two states of the policies.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::changes::{self, Detail};
use super::context::{CommandResult, Context, Exit, Failure, print};
use super::progress;
use crate::apply::Target;
use crate::diag::render::text;
use crate::diag::{Diagnostic, Severity};
use crate::plan::summary;
use crate::reconcile::{self, Cache, Comparison, Overview, Policies, Purpose, Side, Stopwatch};
use crate::settings::Settings;
use crate::source::{self, Revision};
use crate::words::{plural, printable};

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Revisions of the policies: REV (from there to the policies as they are now), A..B, or A...B (from their merge
    /// base to B, as in a pull request) [default: from what is published to the policies]
    #[arg(value_name = "REVISIONS", conflicts_with_all = ["from", "to"])]
    revisions: Option<String>,
    /// Side before the change: `disk`, a revision, or a directory of policies (`./DIR`)
    #[arg(long, value_name = "WHAT")]
    from: Option<String>,
    /// Side after the change: a revision, or a directory of policies (`./DIR`) [default: the policies]
    #[arg(long, value_name = "WHAT")]
    to: Option<String>,
    /// Show the names of all proxies
    #[arg(long)]
    list: bool,
    /// Show the files as unified diffs
    #[arg(long)]
    bytes: bool,
    /// Exit with 1 when something would change; with `false`, exit with 0 after any complete diff
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    exit_code: bool,
}

const EXAMPLES: &str = "Examples:
  meshtraced diff                          from what is published to the policies, as `run` would publish them
  meshtraced diff --bytes | less
  meshtraced diff main                     from a branch to the policies as they are now
  meshtraced diff origin/main...HEAD       what a pull request changes
  meshtraced diff --from ./old --to ./new";

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let settings = context.settings()?;
    let (from, to) = sides(arguments)?;
    let mut cache = Cache::default();
    let Some(after) = policies(context, &settings, &to, &mut cache)? else {
        return Ok(Exit::Failed);
    };
    let (name, comparison, before) = match &from {
        From::Disk => {
            let target = Target::from_settings(&settings)?;
            let comparison = reconcile::compare(&settings, &target, &after)?;
            (settings.out.display().to_string(), comparison, None)
        }
        From::Side(side) => {
            let Some(before) = policies(context, &settings, side, &mut cache)? else {
                return Ok(Exit::Failed);
            };
            let comparison = reconcile::compare_policies(&before, &after);
            (described(&settings, side, &before.overview), comparison, Some(before))
        }
    };
    for drift in &comparison.planned.drift_left {
        writeln!(io::stderr(), "warning: {}", drift.describe(true))?;
    }
    if let Some(refusal) = &comparison.planned.violation {
        writeln!(io::stderr(), "warning: {refusal}")?;
    }
    let head = match (&from, &to) {
        (From::Disk, Side::Now) => format!("{name} -> {}", settings.sources()),
        _ => format!("{name} -> {}", described(&settings, &to, &after.overview)),
    };
    if let Some(before) = before.filter(|before| !before.snapshot.is_empty() && !after.snapshot.is_empty()) {
        report_findings(context, &settings, &before.overview, &after.overview)?;
    }
    let is_empty = comparison.planned.plan.changes.is_empty();
    print(&shown(&printable(&head), &comparison, &after, context, arguments))?;
    Ok(if arguments.exit_code && !is_empty {
        Exit::Found
    } else {
        Exit::Done
    })
}

/// The side before the change.
enum From {
    /// The published files.
    Disk,
    /// Policies.
    Side(Side),
}

/// The sides that the arguments name.
fn sides(arguments: &Arguments) -> Result<(From, Side), Failure> {
    let named = |name: &str| Side::Revision(Revision::Named(if name.is_empty() { "HEAD" } else { name }.to_owned()));
    if let Some(revisions) = &arguments.revisions {
        return Ok(match (revisions.split_once("..."), revisions.split_once("..")) {
            (Some((one, other)), _) => {
                let name = |name: &str| if name.is_empty() { "HEAD" } else { name }.to_owned();
                let base = Revision::MergeBase(name(one), name(other));
                (From::Side(Side::Revision(base)), named(other))
            }
            (None, Some((from, to))) => (From::Side(named(from)), named(to)),
            (None, None) => (From::Side(side(revisions)?), Side::Now),
        });
    }
    let from = match arguments.from.as_deref() {
        None | Some("disk") => From::Disk,
        Some(name) => From::Side(side(name)?),
    };
    let to = match arguments.to.as_deref() {
        None => Side::Now,
        Some("disk") => return Err("`--to disk` is no change that anybody would make; use `--from disk`".into()),
        Some(name) => side(name)?,
    };
    Ok((from, to))
}

/// A directory, by its form, or a revision.
fn side(name: &str) -> Result<Side, Failure> {
    let path = Path::new(name);
    let is_path = ["./", "../", "/"].iter().any(|start| name.starts_with(start)) || matches!(name, "." | "..");
    if is_path {
        return Ok(Side::Directory(PathBuf::from(path)));
    }
    if path.is_dir() {
        return Err(format!(
            "`{name}` may be a directory or a revision: write `./{name}` for the directory, `{name}..` for the revision"
        )
        .into());
    }
    Ok(Side::Revision(Revision::Named(name.to_owned())))
}

/// The name of a side.
fn described(settings: &Settings, side: &Side, overview: &Overview) -> String {
    match side {
        Side::Now if overview.commit.is_some() => overview.name.clone(),
        Side::Now if source::describe(&settings.sources()).starts_with("worktree") => "work tree".to_owned(),
        Side::Now => settings.sources().to_string(),
        Side::Revision(_) => overview.name.clone(),
        Side::Directory(path) => path.display().to_string(),
    }
}

/// The compiled policies of a side; `None` if they have errors, which are printed.
fn policies(
    context: &Context,
    settings: &Settings,
    side: &Side,
    cache: &mut Cache,
) -> Result<Option<Policies>, Failure> {
    let target = Target::from_settings(settings)?;
    let purpose = Purpose::Compare(side);
    let read = || Policies::read(settings, &target, purpose, cache, &mut Stopwatch::default());
    let policies = progress::shown(read)??;
    // A revision from before the policies came, or after they went, has none.
    let is_before_them = matches!(side, Side::Revision(_)) && policies.snapshot.is_empty();
    if is_before_them {
        let name = described(settings, side, &policies.overview);
        writeln!(io::stderr(), "note: {} has no {}", printable(&name), settings.sources())?;
    }
    let is_error = |finding: &&Diagnostic| finding.severity == Severity::Error && !is_before_them;
    let errors: Vec<_> = policies.overview.findings.iter().filter(is_error).cloned().collect();
    if errors.is_empty() {
        return Ok(Some(policies));
    }
    let shown = brief(context, settings, side, &errors);
    let count = text::count(&errors).unwrap_or_default();
    let of = match side {
        Side::Now => String::new(),
        side => format!(" in {}", printable(&described(settings, side, &policies.overview))),
    };
    writeln!(
        io::stderr(),
        "{shown}{count}{of}: no diff is possible until they are fixed"
    )?;
    Ok(None)
}

fn brief(context: &Context, settings: &Settings, side: &Side, findings: &[Diagnostic]) -> String {
    let prefix = match side {
        Side::Now => settings.sources().prefix(),
        // There is no such file to open.
        Side::Revision(_) => String::new(),
        Side::Directory(path) => format!("{}/", path.display()),
    };
    text::brief(
        findings,
        &prefix,
        settings.findings_per_file.get(),
        context.color_on_stderr,
    )
}

/// Prints the findings that come with a change, and counts those that go.
fn report_findings(context: &Context, settings: &Settings, before: &Overview, after: &Overview) -> Result<(), Failure> {
    let only = |all: &[Diagnostic], others: &[Diagnostic]| -> Vec<Diagnostic> {
        let known: BTreeSet<_> = others.iter().map(identity).collect();
        let is_new = |finding: &&Diagnostic| !known.contains(&identity(finding));
        all.iter().filter(is_new).cloned().collect()
    };
    let come = only(&after.findings, &before.findings);
    let gone = only(&before.findings, &after.findings);
    let mut stderr = io::stderr().lock();
    if let Some(count) = text::count(&come) {
        let shown = brief(
            context,
            settings,
            &Side::Revision(Revision::Named(String::new())),
            &come,
        );
        writeln!(stderr, "{shown}{count} with the change")?;
    }
    if let Some(count) = text::count(&gone) {
        writeln!(stderr, "{count} without it any more")?;
    }
    Ok(())
}

/// The parts of a finding that a line above it does not change.
fn identity(finding: &Diagnostic) -> (&str, &str, &str, Option<&str>) {
    (finding.code.as_str(), &finding.message, &finding.path, finding.file())
}

/// The comparison as text.
fn shown(head: &str, comparison: &Comparison, after: &Policies, context: &Context, arguments: &Arguments) -> String {
    let (plan, published) = (&comparison.planned.plan, comparison.observed.applied.len());
    if plan.changes.is_empty() {
        return format!("{head}: no change, {}\n", plural(published, "proxy"));
    }
    let groups = summary::summarize(plan, &after.compiled);
    let detail = Detail {
        list: arguments.list,
        bytes: arguments.bytes,
        color: context.color_on_stdout,
    };
    let mut shown = format!("{head}: {}\n\n", summary::count(plan, published));
    shown.push_str(&changes::render(&groups, plan, detail));
    if !arguments.list && !arguments.bytes {
        shown.push_str("\nRun `meshtraced diff --list` for all names, `--bytes` for the files.\n");
    }
    shown
}
