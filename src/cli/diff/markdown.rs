//! A diff as Markdown, for a comment on a pull request.

use std::fmt::Write as _;

use super::report::DiffReport;
use crate::plan::Action;
use crate::plan::summary::{Group, Impact, Line};
use crate::words::{plural, printable};

/// The comment: the numbers, a table of the changes, and the names of all proxies folded; at most `limit` bytes. What is
/// left out is counted.
pub(super) fn render(report: &DiffReport, head: &str, limit: usize) -> String {
    let mut out = format!("### Tracing: {}\n\n", escaped(head));
    let _ = writeln!(out, "From {} to {}.", code(&report.from), code(&report.to));
    if !report.changes.is_empty() {
        out.push_str("\n| | proxies | before | after | because |\n|---|---|---|---|---|\n");
    }
    let rows = report.changes.iter().map(row).collect();
    // Room for the sentences at the end.
    add_within(&mut out, rows, limit.saturating_sub(1_000), "group");
    let drains = |changed: &Group| changed.impact == Impact::Drain;
    if report.changes.iter().any(drains) {
        out.push_str("\nNew connections only: open ones drain for up to 600 s.\n");
    }
    if report.changes.iter().any(|changed| changed.impact == Impact::Restart) {
        out.push_str("\nSome changes take effect when Envoy starts again.\n");
    }
    let (come, go) = (report.findings.come.len(), report.findings.go.len());
    if come + go > 0 {
        let _ = writeln!(
            out,
            "\n{} with the change, {go} without it any more; `meshtraced check` shows all.",
            plural(come, "finding")
        );
    }
    let names = names(report);
    if names.len() > 1 {
        let head = format!("\n<details><summary>All {}</summary>\n\n", plural(names.len(), "proxy"));
        let end = "\n</details>\n";
        // At least some names, or none of it.
        if out.len() + head.len() + end.len() + 200 < limit {
            out.push_str(&head);
            add_within(&mut out, names, limit - end.len(), "proxy");
            out.push_str(end);
        }
    }
    out
}

/// Adds lines as long as they fit into the limit, with a line for the number of the others.
fn add_within(out: &mut String, lines: Vec<String>, limit: usize, what: &str) {
    /// Room for that line.
    const REST: usize = 80;
    let mut left_out = 0;
    for line in lines {
        if left_out > 0 || out.len() + line.len() + REST > limit {
            left_out += 1;
        } else {
            out.push_str(&line);
        }
    }
    if left_out > 0 {
        let _ = writeln!(out, "\n... and {} more", plural(left_out, what));
    }
}

/// One row: the proxies, the values before and after, and the reason.
fn row(changed: &Group) -> String {
    let sign = match changed.action {
        Action::Change => "~",
        Action::Add => "+",
        Action::Remove => "-",
    };
    let (reasons, values): (Vec<&Line>, Vec<&Line>) = changed
        .lines
        .iter()
        .partition(|difference| difference.label == "because");
    let joined = |parts: Vec<String>| parts.join("<br>");
    let labelled = |label: &str, value: &str| escaped(format!("{label} {value}").trim());
    let before = values
        .iter()
        .filter_map(|one| Some(labelled(&one.label, one.before.as_ref()?)));
    let after = values.iter().map(|one| labelled(&one.label, &one.after));
    let origins = values.iter().filter_map(|one| one.origin.as_deref());
    let because = reasons.iter().map(|reason| reason.after.as_str()).chain(origins);
    let proxies = escaped(&format!("{} of {}", changed.dataplanes.len(), changed.mesh));
    let (before, after, because) = match changed.action {
        // What is said of it is the reason.
        Action::Remove => (String::new(), String::new(), joined(after.collect())),
        Action::Change | Action::Add => (
            joined(before.collect()),
            joined(after.collect()),
            joined(because.map(escaped).collect()),
        ),
    };
    format!("| {sign} | {proxies} | {before} | {after} | {because} |\n")
}

/// The names of all proxies, each with the sign of its change.
fn names(report: &DiffReport) -> Vec<String> {
    let of_group = |changed: &Group| {
        let sign = match changed.action {
            Action::Change => "changes",
            Action::Add => "is new",
            Action::Remove => "goes",
        };
        let name = |dataplane: &String| format!("- {} {sign}\n", code(&format!("{}/{dataplane}", changed.mesh)));
        changed.dataplanes.iter().map(name).collect::<Vec<_>>()
    };
    report.changes.iter().flat_map(of_group).collect()
}

/// A text that is nothing but text in Markdown, in HTML and in a table.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in printable(text).chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' | '#' => {
                // Neither a person nor an issue is meant.
                out.push_str(&format!("&#{};", u32::from(letter)));
            }
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => {
                out.push('\\');
                out.push(letter);
            }
            letter => out.push(letter),
        }
    }
    out
}

/// A name in code font.
fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_and_nothing_else() {
        for (name, expected) in [
            ("a|b", "a\\|b"),
            ("<img src=x>", "&lt;img src=x&gt;"),
            ("*bold* _it_ `code`", "\\*bold\\* \\_it\\_ \\`code\\`"),
            ("@all #1", "&#64;all &#35;1"),
            ("![x](y)", "\\!\\[x\\](y)"),
        ] {
            assert_eq!(escaped(name), expected);
        }
    }

    #[test]
    fn lines_beyond_the_limit_are_counted() {
        let mut out = String::new();
        let lines = (0..100).map(|i| format!("line {i}\n")).collect();
        add_within(&mut out, lines, 200, "line");
        assert!(out.len() <= 200 && out.ends_with("more\n"), "{out}");
        let shown = out.lines().filter(|line| line.starts_with("line ")).count();
        assert!(out.contains(&format!("... and {} lines more", 100 - shown)), "{out}");
    }
}
