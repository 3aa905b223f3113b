//! `meshtraced diff`: the changes that the policies would make on disk.

use std::io::{self, Write};

use clap::Args;

use super::changes::{self, Detail};
use super::compiled::policies;
use super::context::{CommandResult, Context, Exit, print};
use crate::apply::Target;
use crate::compile::Extent;
use crate::diag::render::text;
use crate::diag::{Diagnostic, Severity};
use crate::plan::summary;
use crate::reconcile;
use crate::words::plural;

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
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
  meshtraced diff
  meshtraced diff --bytes | less
  meshtraced --policies /srv/mesh --out /var/lib/meshtraced/envoy diff --list";

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let settings = context.settings()?;
    let policies = policies(&settings, Extent::Files)?;
    let is_error = |finding: &&Diagnostic| finding.severity == Severity::Error;
    let errors: Vec<_> = policies.overview.findings.iter().filter(is_error).cloned().collect();
    if !errors.is_empty() {
        let shown = text::brief(
            &errors,
            &settings.sources().prefix(),
            settings.findings_per_file.get(),
            context.color_on_stderr,
        );
        let count = text::count(&errors).unwrap_or_default();
        writeln!(io::stderr(), "{shown}{count}: no diff is possible until they are fixed")?;
        return Ok(Exit::Failed);
    }
    let comparison = reconcile::compare(&settings, &Target::from_settings(&settings)?, policies)?;
    for drift in &comparison.planned.drift_left {
        writeln!(io::stderr(), "warning: {}", drift.describe(true))?;
    }
    if let Some(refusal) = &comparison.planned.violation {
        writeln!(io::stderr(), "warning: {refusal}")?;
    }
    let (plan, published) = (&comparison.planned.plan, comparison.observed.applied.len());
    let (out, sources) = (settings.out.display(), &settings.sources());
    if plan.changes.is_empty() {
        print(&format!(
            "{out} -> {sources}: no change, {}\n",
            plural(published, "proxy")
        ))?;
        return Ok(Exit::Done);
    }
    let groups = summary::summarize(plan, &policies.compiled);
    let detail = Detail {
        list: arguments.list,
        bytes: arguments.bytes,
        color: context.color_on_stdout,
    };
    let mut shown = format!("{out} -> {sources}: {}\n\n", summary::count(plan, published));
    shown.push_str(&changes::render(&groups, plan, detail));
    if !arguments.list && !arguments.bytes {
        shown.push_str("\nRun `meshtraced diff --list` for all names, `--bytes` for the files.\n");
    }
    print(&shown)?;
    Ok(if arguments.exit_code { Exit::Found } else { Exit::Done })
}
