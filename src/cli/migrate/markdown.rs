//! The report of a migration as Markdown, for a comment on a pull request.

use std::fmt::Write as _;

use super::report::{MigrationReport, merged};
use crate::cli::markdown::{add_within, code, escaped};
use crate::words::{few, plural};

/// The comment, at most `limit` bytes long. What is left out is counted.
pub(super) fn render(report: &MigrationReport, limit: usize) -> String {
    let proxies = report.proxies;
    let mut out = format!("### Tracing: {}\n\n", escaped(&report.summary()));
    let _ = writeln!(out, "| proxies | tracing afterwards |\n|---|---|");
    let _ = writeln!(out, "| {} | identical |", proxies.identical);
    let _ = writeln!(
        out,
        "| {} | equivalent: names and explicit defaults differ, and nothing else |",
        proxies.equivalent
    );
    let _ = writeln!(out, "| {} | different |\n", proxies.different);
    let reasons = report.reasons();
    let rows = reasons.iter().map(|reason| {
        let one = reason.example;
        let value = |value: &Option<String>| value.as_ref().map(|value| escaped(value)).unwrap_or_default();
        let names: Vec<&String> = reason.proxies.iter().collect();
        let of = format!("{}: {}", plural(names.len(), "proxy"), few(&names));
        let (before, after) = (value(&one.before), value(&one.after));
        format!(
            "| {} | {} | {before} | {after} | {} |\n",
            escaped(&of),
            code(&one.field),
            escaped(&one.reason)
        )
    });
    if !reasons.is_empty() {
        out.push_str("| proxies | field | before | after | because |\n|---|---|---|---|---|\n");
        add_within(&mut out, rows, limit.saturating_sub(900), "such difference");
        out.push('\n');
    }
    let merged = report
        .merged
        .iter()
        .map(|one| format!("- **Merged:** {}.\n", escaped(&merged(one))));
    add_within(&mut out, merged, limit.saturating_sub(600), "merged policy");
    let unmigrated = report.unmigrated.iter().map(|one| {
        let place = format!("{}:{}", one.file, one.line);
        format!(
            "- **Not migrated:** {} {} ({}): {}\n",
            escaped(&one.kind),
            code(&one.name),
            code(&place),
            escaped(&one.reason)
        )
    });
    add_within(&mut out, unmigrated, limit.saturating_sub(300), "resource");
    out.push_str(match proxies.different {
        0 => "\nEvery proxy keeps its tracing.\n",
        _ => "\nSome proxies do not keep their tracing.\n",
    });
    out
}
