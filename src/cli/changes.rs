//! The text form of changes: for `diff`, for `run --dry-run` and in the log of `run`.

use std::fmt::Write as _;
use std::sync::Arc;

use similar::TextDiff;

use crate::envoy::artifact::Artifact;
use crate::plan::summary::{Group, Impact, Line};
use crate::plan::{Action, Change, Plan};
use crate::words::{plural, printable};

/// The amount of detail of a change.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Detail {
    /// Whether all names are shown, rather than the first few.
    pub(super) list: bool,
    /// Whether the files are shown as unified diffs.
    pub(super) bytes: bool,
    /// Whether ANSI colours are used.
    pub(super) color: bool,
}

/// The widest head, in columns, beside which the notes are aligned.
const WIDEST_HEAD: usize = 72;

/// The groups of changes as text, each with its lines below.
pub(super) fn render(groups: &[Group], plan: &Plan, detail: Detail) -> String {
    let heads: Vec<String> = groups.iter().map(|group| head(group, detail)).collect();
    let width = heads
        .iter()
        .map(|head| head.chars().count())
        .max()
        .unwrap_or(0)
        .min(WIDEST_HEAD);
    let mut out = String::new();
    for (group, head) in groups.iter().zip(&heads) {
        out.push_str(&one_group(group, &format!("{head:<width$}"), detail));
    }
    if detail.bytes {
        out.push_str(&patch(plan));
    }
    out
}

/// The changed files as unified diffs, with paths below the output directory.
pub(super) fn patch(plan: &Plan) -> String {
    plan.changes.iter().map(files).collect()
}

/// The proxies of one group: `2 proxies of default: web-01, web-02`.
fn head(group: &Group, detail: Detail) -> String {
    let proxies = plural(group.dataplanes.len(), "proxy");
    format!("{proxies} of {}: {}", printable(&group.mesh), group.names(detail.list))
}

fn one_group(group: &Group, head: &str, detail: Detail) -> String {
    let (sign, color) = match group.action {
        Action::Change => ("~", "33"),
        Action::Add => ("+", "32"),
        Action::Remove => ("-", "31"),
    };
    let sign = if detail.color {
        format!("\u{1b}[{color}m{sign}\u{1b}[0m")
    } else {
        sign.to_owned()
    };
    let (note, lines) = match group.lines.as_slice() {
        // A note of one line goes beside the names.
        [line] if line.label.is_empty() => (line.after.clone(), &[][..]),
        lines => (
            if group.impact == Impact::None {
                String::new()
            } else {
                group.impact.as_str().to_owned()
            },
            lines,
        ),
    };
    let mut out = format!("{}\n", format!("{sign} {head}   {}", printable(&note)).trim_end());
    let width = |part: fn(&Line) -> usize| lines.iter().map(part).max().unwrap_or(0);
    let (label, before) = (
        width(|line| line.label.chars().count()),
        width(|line| line.before.as_deref().map_or(0, |b| b.chars().count())),
    );
    for line in lines {
        let _ = write!(out, "    {:<label$}   ", line.label);
        if let Some(text) = &line.before {
            let _ = write!(out, "{:<before$}  ->  ", printable(text));
        }
        out.push_str(&printable(&line.after));
        if let Some(origin) = &line.origin {
            let _ = write!(out, "   {}", printable(origin));
        }
        out.push('\n');
    }
    out
}

fn files(change: &Change) -> String {
    let mut out = String::new();
    for artifact in Artifact::ALL {
        let (before, after) = (change.before.get(&artifact), change.after.get(&artifact));
        if before == after {
            continue;
        }
        let path = format!("{}/{}", change.proxy.directory(), artifact.path());
        let name = |side: &str, text: Option<&Arc<str>>| {
            if text.is_some() {
                format!("{side}/{path}")
            } else {
                "/dev/null".to_owned()
            }
        };
        let [old, new] = [before, after].map(|text| text.map_or("", |text| text));
        let diff = TextDiff::from_lines(old, new);
        let _ = write!(
            out,
            "\n{}",
            diff.unified_diff().header(&name("a", before), &name("b", after))
        );
    }
    out
}
