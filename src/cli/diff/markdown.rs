//! A diff as Markdown, for a comment on a pull request.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::report::DiffReport;
use crate::cli::changes::{self, MANY_GROUPS};
use crate::cli::markdown::{add_within, code, escaped};
use crate::plan::Action;
use crate::plan::summary::{Difference, Group, folded};
use crate::words::{counted, plural};

/// The comment: the numbers, a table of the changes, what a reviewer must not miss, and the names of all proxies folded; at
/// most `limit` bytes. What is left out is counted.
pub(super) fn render(report: &DiffReport, limit: usize) -> String {
    let mut out = format!("### Tracing: {}\n\n", escaped(&report.proxies.to_string()));
    let _ = writeln!(out, "From {} to {}.", code(&report.from), code(&report.to));
    let groups = folded(&report.changes, MANY_GROUPS);
    if !groups.is_empty() {
        out.push_str("\n| | proxies | before | after | because |\n|---|---|---|---|---|\n");
        // Room for the sentences at the end.
        add_within(
            &mut out,
            groups.iter().map(row),
            limit.saturating_sub(1_500),
            "such change",
        );
        out.push('\n');
    }
    add_within(&mut out, consequences(&groups), limit.saturating_sub(900), "note");
    let effects: BTreeSet<String> = groups
        .iter()
        .map(changes::effect)
        .filter(|effect| !effect.is_empty())
        .collect();
    let sentence = |effect: String| format!("- Effect: {}.\n", escaped(&effect));
    add_within(
        &mut out,
        effects.into_iter().map(sentence),
        limit.saturating_sub(600),
        "effect",
    );
    let (come, go) = (report.findings.come.len(), report.findings.go.len());
    if come + go > 0 {
        let come = plural(come, "finding");
        let _ = writeln!(
            out,
            "\n{come} with the change, {go} without it any more; `meshtraced check` shows all."
        );
    }
    let proxies = report.proxies.different();
    if proxies > 1 {
        let head = format!("\n<details><summary>All {}</summary>\n\n", plural(proxies, "proxy"));
        let end = "\n</details>\n";
        // At least some names, or none of it.
        if out.len() + head.len() + end.len() + 200 < limit {
            out.push_str(&head);
            add_within(&mut out, names(report), limit - end.len(), "proxy");
            out.push_str(end);
        }
    }
    out
}

/// The consequences, each with the number of its proxies in a mesh.
fn consequences(groups: &[Group]) -> impl Iterator<Item = String> {
    let mut proxies: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for group in groups {
        for consequence in &group.consequences {
            *proxies.entry((consequence.text(), &group.mesh)).or_default() += group.dataplanes.len();
        }
    }
    proxies.into_iter().map(|((text, mesh), n)| {
        let (of, text) = (format!("{} of {mesh}", plural(n, "proxy")), escaped(&text));
        format!("- **Note:** {}: {text}.\n", escaped(&of))
    })
}

/// One row: the proxies, the values before and after, and the reason.
fn row(changed: &Group) -> String {
    let sign = match changed.action {
        Action::Change => "~",
        Action::Add => "+",
        Action::Remove => "-",
    };
    // What a collector is can be seen.
    let labelled = |label: &str, value: &str| match label {
        "" | "collector" => escaped(value),
        label => escaped(&format!("{label} {value}")),
    };
    let differences = || changed.differences.iter();
    let before = differences().filter_map(|one| Some(labelled(&one.label, one.before.as_ref()?)));
    let is_there = |one: &&Difference| changed.action != Action::Remove || !one.label.is_empty();
    let after = differences()
        .filter(is_there)
        .map(|one| labelled(&one.label, &one.after));
    let because = changed.reasons.iter().map(|reason| escaped(&reason.text));
    let [before, after, because] =
        [before.collect(), after.collect(), because.collect::<Vec<_>>()].map(|parts: Vec<String>| parts.join("<br>"));
    let proxies = match changed.dataplanes.as_slice() {
        [one] => format!("{}/{one}", changed.mesh),
        several => format!("{} of {}", counted(several.len()), changed.mesh),
    };
    let proxies = escaped(&proxies);
    format!("| {sign} | {proxies} | {before} | {after} | {because} |\n")
}

/// The names of all proxies, each with the sign of its change.
fn names(report: &DiffReport) -> impl Iterator<Item = String> {
    let of_group = |changed: &Group| {
        let sign = match changed.action {
            Action::Change => "changes",
            Action::Add => "is new",
            Action::Remove => "goes",
        };
        let name = |dataplane: &String| format!("- {} {sign}\n", code(&format!("{}/{dataplane}", changed.mesh)));
        changed.dataplanes.iter().map(name).collect::<Vec<_>>()
    };
    report.changes.iter().flat_map(of_group)
}
