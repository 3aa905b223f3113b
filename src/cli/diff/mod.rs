//! `meshtraced diff`: the changes that the policies would make on disk, or between two states of the policies.

mod sides;

mod report;

mod markdown;

pub(super) use report::DiffReport;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use serde_json::json;

use self::sides::{From, Sides, described, sides};
use super::changes::{self, Detail};
use super::context::{CommandResult, Context, Exit, Failure, print};
use super::progress;
use crate::apply::Target;
use crate::diag::render::{json as diag_json, text};
use crate::diag::{Diagnostic, Severity};
use crate::plan::summary;
use crate::reconcile::{self, Cache, Comparison, Policies, Purpose, Side, Stopwatch};
use crate::settings::Settings;
use crate::words::{plural, printable};

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    sides: Sides,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Show the names of all proxies
    #[arg(long)]
    list: bool,
    /// Show the files as unified diffs
    #[arg(long)]
    bytes: bool,
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
  meshtraced diff --bytes | less
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

/// The changes that make the exit code 1.
#[derive(Debug, Clone, Copy, PartialEq)]
enum FailOn {
    Changed,
    Removed,
    /// More than this share of the proxies before, in percent.
    Share(f64),
}

impl FromStr for FailOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = |text: &str| text.parse().ok().filter(|share| (0.0..=100.0).contains(share));
        match text {
            "changed" => Ok(Self::Changed),
            "removed" => Ok(Self::Removed),
            text => match text.strip_suffix('%').and_then(share) {
                Some(share) => Ok(Self::Share(share)),
                None => Err("write `changed`, `removed`, or a percentage such as `10%`".to_owned()),
            },
        }
    }
}

impl FailOn {
    fn holds(self, report: &DiffReport) -> bool {
        let counts = &report.proxies;
        let changed = counts.changed + counts.added + counts.removed;
        match self {
            Self::Changed => changed > 0,
            Self::Removed => counts.removed > 0,
            Self::Share(share) => {
                let before = counts.changed + counts.removed + counts.unchanged;
                changed as f64 * 100.0 > share * before as f64
            }
        }
    }
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let settings = context.settings()?;
    let (from, to) = sides(&arguments.sides)?;
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
    let to_name = match (&from, &to) {
        (From::Disk, Side::Now) => settings.sources().to_string(),
        _ => described(&settings, &to, &after.overview),
    };
    let (plan, published) = (&comparison.planned.plan, comparison.observed.applied.len());
    let groups = summary::summarize(plan, &after.compiled);
    let mut report = DiffReport::of((name, to_name), plan, groups, published);
    let both_are_there = |before: &Policies| !before.snapshot.is_empty() && !after.snapshot.is_empty();
    if let Some(before) = before.filter(both_are_there) {
        let (come, go) = findings(&before, &after);
        let entries = |findings: &[Diagnostic]| findings.iter().map(|one| json!(diag_json::entry(one, ""))).collect();
        (report.findings.come, report.findings.go) = (entries(&come), entries(&go));
        report_findings(context, &settings, &come, &go)?;
    }
    let is_found = arguments.exit_code && arguments.fail_on.holds(&report);
    print(&rendered(&report, &comparison, context, arguments)?)?;
    Ok(if is_found { Exit::Found } else { Exit::Done })
}

/// The diff in the wanted format.
fn rendered(
    report: &DiffReport,
    comparison: &Comparison,
    context: &Context,
    arguments: &Arguments,
) -> Result<String, Failure> {
    let (plan, published) = (&comparison.planned.plan, comparison.observed.applied.len());
    let head = if plan.changes.is_empty() {
        format!("no change, {}", plural(published, "proxy"))
    } else {
        summary::count(plan, published)
    };
    Ok(match arguments.output {
        Format::Json => format!("{}\n", serde_json::to_string_pretty(report)?),
        Format::Markdown => markdown::render(
            report,
            &head,
            usize::try_from(arguments.max_bytes).unwrap_or(usize::MAX),
        ),
        Format::Patch => changes::patch(plan),
        Format::Text => {
            let mut shown = format!("{}: {head}\n", printable(&format!("{} -> {}", report.from, report.to)));
            if !plan.changes.is_empty() {
                let detail = Detail {
                    list: arguments.list,
                    bytes: arguments.bytes,
                    color: context.color_on_stdout,
                };
                shown.push('\n');
                shown.push_str(&changes::render(&report.changes, plan, detail));
                if !arguments.list && !arguments.bytes {
                    let sides = arguments.sides.written();
                    shown.push_str(&format!(
                        "\nRun `meshtraced diff{sides} --list` for all names, `--bytes` for the files.\n"
                    ));
                }
            }
            shown
        }
    })
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
    let prefix = match side {
        Side::Now => settings.sources().prefix(),
        // There is no such file to open.
        Side::Revision(_) => String::new(),
        Side::Directory(path) => format!("{}/", path.display()),
    };
    let shown = brief(context, settings, &prefix, &errors);
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

fn brief(context: &Context, settings: &Settings, prefix: &str, findings: &[Diagnostic]) -> String {
    text::brief(
        findings,
        prefix,
        settings.findings_per_file.get(),
        context.color_on_stderr,
    )
}

/// The findings that come and those that go.
fn findings(before: &Policies, after: &Policies) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
    let (before, after) = (&before.overview.findings, &after.overview.findings);
    let only = |all: &[Diagnostic], others: &[Diagnostic]| -> Vec<Diagnostic> {
        let known: BTreeSet<_> = others.iter().map(identity).collect();
        let is_new = |finding: &&Diagnostic| !known.contains(&identity(finding));
        all.iter().filter(is_new).cloned().collect()
    };
    (only(after, before), only(before, after))
}

/// The parts of a finding that a line above it does not change.
fn identity(finding: &Diagnostic) -> (&str, &str, &str, Option<&str>) {
    (finding.code.as_str(), &finding.message, &finding.path, finding.file())
}

/// Prints the findings that come with a change, and counts those that go.
fn report_findings(
    context: &Context,
    settings: &Settings,
    come: &[Diagnostic],
    go: &[Diagnostic],
) -> Result<(), Failure> {
    let mut stderr = io::stderr().lock();
    if let Some(count) = text::count(come) {
        let shown = brief(context, settings, "", come);
        writeln!(stderr, "{shown}{count} with the change")?;
    }
    if let Some(count) = text::count(go) {
        writeln!(stderr, "{count} without it any more")?;
    }
    Ok(())
}
