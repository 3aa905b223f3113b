//! `meshtraced check`: what is wrong with the policies, and where.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Context, Exit, Outcome, compile_once, print, report};
use crate::diag::{Code, Diagnostic, Severity, json as diag_json, text};

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Form of the findings
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Least severity that ends with exit code 1
    #[arg(long, value_name = "SEVERITY", default_value = "error")]
    fail_on: FailOn,
    /// Take what Kuma ignores (unknown fields, keys that stand twice) for errors
    #[arg(long)]
    strict: bool,
}

const EXAMPLES: &str = "Examples:
  meshtraced check
  meshtraced check --strict --fail-on warning     for a merge gate
  meshtraced --policies /srv/mesh check -o json | jq '.diagnostics[].code'";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warning,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let settings = context.settings()?;
    let (snapshot, compiled) = compile_once(&settings)?;
    let mut findings = report::all_findings(&compiled);
    if arguments.strict {
        findings.iter_mut().for_each(make_strict);
    }
    match arguments.output {
        Format::Json => {
            let entries: Vec<_> = findings.iter().map(diag_json::entry).collect();
            print(&format!("{:#}\n", json!({"diagnostics": entries})))?;
        }
        Format::Text => {
            let mut out = text::render(&findings, &settings.sources.prefix(), context.color_on_stdout);
            out.push_str(&match text::count(&findings) {
                Some(count) => format!("{count}\n"),
                None => {
                    let resources = text::plural(compiled.resources, "resource");
                    format!(
                        "{resources} in {}, nothing to complain about\n",
                        text::plural(snapshot.files.len(), "file")
                    )
                }
            });
            print(&out)?;
        }
    }
    let least = match arguments.fail_on {
        FailOn::Error => Severity::Error,
        FailOn::Warning => Severity::Warning,
    };
    Ok(if findings.iter().any(|finding| finding.severity >= least) {
        Exit::Found
    } else {
        Exit::Done
    })
}

fn make_strict(finding: &mut Diagnostic) {
    if matches!(finding.code, Code::UnknownField | Code::DuplicateKey) {
        finding.severity = Severity::Error;
    }
}
