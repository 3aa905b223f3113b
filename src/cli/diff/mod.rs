//! `meshtraced diff`: the changes that the policies would make on disk, or between two states of the policies.

mod sides;

mod findings;

mod fail_on;

mod report;

mod markdown;

pub(super) use report::DiffReport;

use std::io::{self, Write};

use clap::{Args, ValueEnum};

use self::fail_on::FailOn;
use self::findings::Changed;
use self::sides::{From, Sides, sides};
use super::changes::{self, Detail, MANY_GROUPS};
use super::context::{CommandResult, Context, Exit, Failure, print};
use super::side::{OfSide, described};
use super::{pager, unified};
use crate::apply::Target;
use crate::plan::Plan;
use crate::reconcile::{self, Cache, Comparison, Purpose, Side};
use crate::words::printable;

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    sides: Sides,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Show the names of all proxies, and groups that differ in names alone one by one
    #[arg(long)]
    list: bool,
    /// Show the files as unified diffs
    #[arg(long)]
    bytes: bool,
    /// Most groups of proxies to show, and with `--bytes` most proxies with their files; the others are counted, 0 is all
    /// [default: 12, and all with `--list` or `--bytes`]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print long text to the terminal, without a pager (MESHTRACED_PAGER, PAGER, less)
    #[arg(long)]
    no_pager: bool,
    /// Most bytes of a comment in Markdown; forges have limits
    #[arg(long, value_name = "N", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(2_000..))]
    max_bytes: u64,
    /// Changes that make the exit code 1: `changed`, `removed`, or more than a share of the proxies (`10%`)
    #[arg(long, value_name = "CHANGES", default_value = "changed")]
    fail_on: FailOn,
    /// Exit with 1 when something would change; with `false`, exit with 0 after any complete diff
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    exit_code: bool,
}

const EXAMPLES: &str = "Examples:
  meshtraced diff                          from what is published to the policies, as `run` would publish them
  meshtraced diff --bytes
  meshtraced diff main                     from a branch to the policies as they are now
  meshtraced diff origin/main...HEAD       what a pull request changes
  meshtraced diff origin/main...HEAD -o markdown > comment.md
  meshtraced diff --from ./old --to ./new
  meshtraced diff -o patch | patch -p1 -d envoy";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    /// One object; `meshtraced schema diff` describes it
    Json,
    /// A comment for a pull request
    Markdown,
    /// A patch of the output directory
    Patch,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let settings = context.settings()?;
    let (from, to) = sides(&arguments.sides)?;
    // Nothing of a large tree is freed before the process ends and frees it at once.
    let cache = Box::leak(Box::<Cache>::default());
    let after = &*Box::leak(Box::new(OfSide::read(
        context,
        &settings,
        Purpose::Compare(&to),
        cache,
    )?));
    let (name, comparison, before) = match &from {
        From::Disk => {
            let target = Target::from_settings(&settings)?;
            let comparison = reconcile::compare(&settings, &target, &after.policies)?;
            (settings.out.display().to_string(), comparison, None)
        }
        From::Side(side) => {
            let before = Box::leak(Box::new(OfSide::read(
                context,
                &settings,
                Purpose::Compare(side),
                cache,
            )?));
            if has_errors(&[before, after])? {
                return Ok(Exit::Failed);
            }
            before.note_sources_without_revision(&settings, side)?;
            let before = &mut before.policies;
            let comparison = reconcile::compare_policies(before, &after.policies);
            (described(&settings, side, &before.overview), comparison, Some(&*before))
        }
    };
    let comparison = &*Box::leak(Box::new(comparison));
    report_obstacles(comparison, after)?;
    let to_name = match (&from, &to) {
        (From::Disk, Side::Now) => settings.sources().to_string(),
        _ => described(&settings, &to, &after.policies.overview),
    };
    let findings = before.map(|before| Changed::between(before, &after.policies));
    let findings = findings.unwrap_or_default();
    findings.print(context, &settings)?;
    let plan = &comparison.planned.plan;
    let report = DiffReport {
        version: report::VERSION,
        from: name,
        to: to_name,
        proxies: comparison.counts(&after.policies.overview.held),
        changes: changes::groups(&settings, plan, before, &after.policies),
        findings: findings.into(),
    };
    show(&report, plan, context, arguments)?;
    Ok(match &after.errors {
        Some(_) => Exit::Failed,
        None if arguments.exit_code && arguments.fail_on.holds(&report.proxies) => Exit::Found,
        None => Exit::Done,
    })
}

/// Whether one of the sides has errors, which are counted in a message.
fn has_errors(sides: &[&OfSide]) -> Result<bool, Failure> {
    for errors in sides.iter().filter_map(|side| side.errors.as_ref()) {
        writeln!(io::stderr(), "{errors}: no diff is possible until they are fixed")?;
    }
    Ok(sides.iter().any(|side| side.errors.is_some()))
}

/// Prints what keeps published files from becoming what the policies say.
fn report_obstacles(comparison: &Comparison, after: &OfSide) -> Result<(), Failure> {
    let mut stderr = io::stderr().lock();
    if let Some(errors) = &after.errors {
        let held = &after.policies.overview.held;
        writeln!(
            stderr,
            "{errors}; nothing would be written for {}",
            printable(&held.names())
        )?;
    }
    for drift in &comparison.planned.drift_left {
        writeln!(stderr, "warning: {}", drift.describe(true))?;
    }
    if let Some(refusal) = &comparison.planned.violation {
        writeln!(stderr, "warning: {refusal}")?;
    }
    if let Some(frozen) = &comparison.frozen {
        let since = printable(&format!("since {}, {}", frozen.since, frozen.why));
        writeln!(
            stderr,
            "warning: publishing is frozen {since}; `meshtraced thaw` ends it"
        )?;
    }
    Ok(())
}

/// Prints the diff in the wanted format.
fn show(report: &DiffReport, plan: &Plan, context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    match arguments.output {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(report)?)),
        Format::Markdown => {
            let limit = usize::try_from(arguments.max_bytes).unwrap_or(usize::MAX);
            print(&markdown::render(report, limit))
        }
        Format::Patch => print(&plan.changes.iter().map(unified::patch).collect::<String>()),
        Format::Text => {
            let shown = text(report, plan, context, arguments);
            if arguments.no_pager {
                print(&shown)
            } else {
                pager::page(&shown)
            }
        }
    }
}

/// The diff for people.
fn text(report: &DiffReport, plan: &Plan, context: &Context, arguments: &Arguments) -> String {
    let (sides, proxies) = (format!("{} -> {}", report.from, report.to), &report.proxies);
    let mut shown = format!("{}: {proxies}\n", printable(&sides));
    if plan.changes.is_empty() {
        return shown;
    }
    let is_detailed = arguments.list || arguments.bytes;
    let limit = match arguments.limit {
        None if is_detailed => usize::MAX,
        None => MANY_GROUPS,
        Some(0) => usize::MAX,
        Some(limit) => limit,
    };
    let detail = Detail {
        list: arguments.list,
        bytes: arguments.bytes,
        color: context.color_on_stdout,
        limit,
    };
    shown.push('\n');
    shown.push_str(&changes::render(&report.changes, plan, detail));
    if !is_detailed {
        let sides = arguments.sides.written();
        shown.push_str(&format!(
            "\nRun `meshtraced diff{sides} --list` for all names, `--bytes` for the files.\n"
        ));
    }
    shown
}
