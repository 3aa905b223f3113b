//! The text form of changes: for `diff` and for `run --dry-run`.

use std::fmt::Write as _;

use super::unified;
use crate::apply::reload;
use crate::plan::summary::{Context, Difference, Group, Impact, folded, summarize};
use crate::plan::{Action, Change, Plan};
use crate::reconcile::Policies;
use crate::settings::Settings;
use crate::words::{counted, plural, printable};

/// The amount of detail of changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Detail {
    /// Whether all names are shown, rather than the first few, and every group on its own.
    pub(super) list: bool,
    /// Whether the files are shown as unified diffs.
    pub(super) bytes: bool,
    /// Whether ANSI colours are used.
    pub(super) color: bool,
    /// The most groups, and with `bytes` the most proxies with their files.
    pub(super) limit: usize,
}

/// The widest head, in columns, beside which the notes are aligned.
const WIDEST_HEAD: usize = 72;

/// The number of groups beyond which groups that look alike are shown as one: about a screen.
pub(super) const MANY_GROUPS: usize = 12;

/// The changes of a plan that leads to these policies in groups; from those of `before`, if it is not from what is published.
pub(super) fn groups(settings: &Settings, plan: &Plan, before: Option<&Policies>, after: &Policies) -> Vec<Group> {
    let reload = |change: &Change| reload::announced(change, &after.overview.reload_entries, &settings.reload);
    let context = Context {
        before: before.map(|policies| &policies.compiled),
        after: &after.compiled,
        reload: &reload,
    };
    summarize(plan, &context)
}

/// The groups of changes as text, each with its lines below; what is beyond the limit is counted.
pub(super) fn render(groups: &[Group], plan: &Plan, detail: Detail) -> String {
    let groups = if detail.list {
        groups.to_vec()
    } else {
        folded(groups, MANY_GROUPS)
    };
    let (shown, others) = groups.split_at(detail.limit.min(groups.len()));
    let heads: Vec<String> = shown.iter().map(|group| head(group, detail)).collect();
    let width = heads.iter().map(|head| head.chars().count()).max().unwrap_or(0);
    let width = width.min(WIDEST_HEAD);
    let mut out = String::new();
    for (group, head) in shown.iter().zip(&heads) {
        out.push_str(&one_group(group, &format!("{head:<width$}"), detail));
    }
    if !others.is_empty() {
        let proxies = others.iter().map(|group| group.dataplanes.len()).sum();
        let (groups, proxies) = (counted(others.len()), plural(proxies, "proxy"));
        let _ = writeln!(
            out,
            "... and {groups} more such changes, of {proxies}; `--limit 0` shows all"
        );
    }
    if detail.bytes {
        let (shown, others) = plan.changes.split_at(detail.limit.min(plan.changes.len()));
        out.extend(shown.iter().map(|change| unified::shown(change, detail.color)));
        if !others.is_empty() {
            let proxies = plural(others.len(), "proxy");
            let _ = writeln!(out, "\n... and the files of {proxies} more; `--limit 0` shows all");
        }
    }
    out
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
    let sign = in_color(sign, color, detail);
    let reasons = || group.reasons.iter().map(|reason| reason.text.as_str());
    let after = |difference: &'_ Difference| difference.after.clone();
    // What comes or goes is told beside the names.
    let note = match group.action {
        Action::Change => effect(group),
        Action::Add => {
            let said = group.differences.iter().map(after);
            said.chain(reasons().map(str::to_owned)).collect::<Vec<_>>().join(", ")
        }
        Action::Remove => reasons().collect::<Vec<_>>().join(", "),
    };
    let mut out = format!("{}\n", format!("{sign} {head}   {}", printable(&note)).trim_end());
    if group.action != Action::Change {
        return out;
    }
    let width = |part: fn(&Difference) -> usize| group.differences.iter().map(part).max().unwrap_or(0);
    let before = width(|difference| difference.before.as_deref().map_or(0, |text| text.chars().count()));
    let is_explained = !group.reasons.is_empty();
    let label =
        width(|difference| difference.label.chars().count()).max(if is_explained { "because".len() } else { 0 });
    for difference in &group.differences {
        let _ = write!(out, "    {:<label$}   ", difference.label);
        if let Some(text) = &difference.before {
            let _ = write!(out, "{:<before$}  ->  ", printable(text));
        }
        let _ = writeln!(out, "{}", printable(&difference.after));
    }
    for reason in reasons() {
        let _ = writeln!(out, "    {:<label$}   {}", "because", printable(reason));
    }
    for consequence in &group.consequences {
        let (note, text) = (format!("{:<label$}", "note"), printable(&consequence.text()));
        let _ = writeln!(
            out,
            "    {}   {}",
            in_color(&note, "1;33", detail),
            in_color(&text, "1;33", detail)
        );
    }
    out
}

/// The effect of a change on the traffic, in words.
pub(super) fn effect(group: &Group) -> String {
    match (group.impact, &group.reload) {
        (Impact::None, None) => String::new(),
        (impact, None) => impact.as_str().to_owned(),
        (Impact::None | Impact::Restart, Some(reload)) => format!("takes effect through {reload}"),
        (impact, Some(reload)) => format!("{}; then {reload}", impact.as_str()),
    }
}

fn in_color(text: &str, color: &str, detail: Detail) -> String {
    if detail.color {
        format!("\u{1b}[{color}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}
