//! `meshtraced check`: the findings about the policies, with their places.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::compiled::policies;
use super::context::{CommandResult, Context, Exit, print};
use super::report;
use super::side::prefix;
use crate::compile::Extent;
use crate::diag::render::limit::{FileFindings, limit_per_file};
use crate::diag::render::{github, json as diag_json, junit, sarif, text};
use crate::diag::{Code, Diagnostic, Severity};
use crate::reconcile::{Policies, Side};
use crate::source::Revision;
use crate::words::plural;

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Revision of the policies, read from Git without a checkout [default: the policies as they are now]
    #[arg(value_name = "REV")]
    revision: Option<String>,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Lowest severity that makes the exit code 1
    #[arg(long, value_name = "SEVERITY", default_value = "error")]
    fail_on: FailOn,
    /// Report unknown fields and duplicate keys, which Kuma ignores, as errors
    #[arg(long)]
    strict: bool,
}

const EXAMPLES: &str = "Examples:
  meshtraced check
  meshtraced check origin/main                    the policies of a revision, without a checkout
  meshtraced check --strict --fail-on warning     for a merge gate
  meshtraced check -o github                      annotations in a workflow of GitHub
  meshtraced check -o sarif > meshtraced.sarif    for code hosts and editors
  meshtraced check -o junit > meshtraced.xml      for other CI
  meshtraced --policies /srv/mesh check -o json | jq '.diagnostics[].code'";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
    Github,
    Junit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warning,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let settings = context.settings()?;
    let named = |name: &String| Side::Revision(Revision::Named(name.clone()));
    let side = arguments.revision.as_ref().map_or(Side::Now, named);
    let Policies { snapshot, overview, .. } = policies(&settings, &side, Extent::Findings)?;
    let mut findings = std::mem::take(&mut overview.findings);
    if arguments.strict {
        findings.iter_mut().for_each(make_strict);
    }
    let least = match arguments.fail_on {
        FailOn::Error => Severity::Error,
        FailOn::Warning => Severity::Warning,
    };
    let root = prefix(&settings, &side, snapshot);
    let per_file = settings.findings_per_file.get();
    let limited = || limit_per_file(&findings, per_file);
    print(&match arguments.output {
        Format::Json => json(&limited(), &root),
        Format::Sarif => format!("{:#}\n", sarif::render(&limited(), &root)),
        Format::Github => github::render(&limited(), &root),
        Format::Junit => {
            let files = limited();
            let is_clean = |path: &&str| files.iter().all(|of_file| of_file.file != Some(*path));
            let paths = snapshot.files.iter().map(|file| file.path.as_str());
            let clean: Vec<&str> = paths.filter(is_clean).collect();
            junit::render(&files, &clean, &root, least)
        }
        Format::Text => {
            for part in text::in_parts(&findings, &root, per_file, context.color_on_stdout) {
                print(&part)?;
            }
            match text::count(&findings) {
                Some(count) => format!("{count}\n"),
                None => {
                    let (resources, files) = (plural(overview.resources, "resource"), plural(overview.files, "file"));
                    format!("{resources} in {files}{}, no findings\n", report::passed_over(overview))
                }
            }
        }
    })?;
    Ok(if findings.iter().any(|finding| finding.severity >= least) {
        Exit::Found
    } else {
        Exit::Done
    })
}

/// The findings as JSON, with the number of findings beyond the limit per file.
fn json(files: &[FileFindings], root: &str) -> String {
    let shown = files.iter().flat_map(|of_file| &of_file.shown);
    let entries: Vec<_> = shown.map(|finding| diag_json::entry(finding, root)).collect();
    let left_out: BTreeMap<String, usize> = (files.iter())
        .filter(|of_file| of_file.left_out > 0)
        .filter_map(|of_file| Some((format!("{root}{}", of_file.file?), of_file.left_out)))
        .collect();
    let mut found = json!({"diagnostics": entries});
    if !left_out.is_empty() {
        found["leftOut"] = json!(left_out);
    }
    format!("{found:#}\n")
}

fn make_strict(finding: &mut Arc<Diagnostic>) {
    if matches!(finding.code, Code::UnknownField | Code::DuplicateKey) {
        Arc::make_mut(finding).severity = Severity::Error;
    }
}
