//! The changed files of a plan as unified diffs, with paths below the output directory.

use std::fmt::Write as _;

use similar::udiff::UnifiedDiff;
use similar::{ChangeTag, TextDiff};

use crate::envoy::FileText;
use crate::plan::Change;
use crate::words::printable;

/// The files of one change, as `patch` takes them.
pub(super) fn patch(change: &Change) -> String {
    files(change, |diff, names| {
        let mut unified = diff.unified_diff();
        unified.header(&names[0], &names[1]).to_string()
    })
}

/// The files of one change for people: in colour, with the changed words marked, if wanted.
pub(super) fn shown(change: &Change, color: bool) -> String {
    files(change, |diff, names| {
        let mut unified = diff.unified_diff();
        unified.header(&names[0], &names[1]);
        if color {
            colored(diff, &unified, names)
        } else {
            // Somebody may have written anything into a published file.
            let lines = unified.to_string();
            lines.lines().map(|line| printable(line) + "\n").collect()
        }
    })
}

/// The texts that `render` makes of the files that change, from their diff and their names before and after.
fn files(change: &Change, render: impl Fn(&TextDiff<'_, '_, str>, &[String; 2]) -> String) -> String {
    let mut out = String::new();
    for artifact in change.changed() {
        let path = format!("{}/{}", change.proxy.directory(), artifact.path());
        let [before, after] = [&change.before, &change.after].map(|files| files.get(&artifact));
        let names = names(&path, [before.is_some(), after.is_some()]);
        let [old, new] = [before, after].map(|text| text.map(FileText::text).unwrap_or_default());
        let _ = write!(out, "\n{}", render(&TextDiff::from_lines(old, new), &names));
    }
    out
}

/// The names of a file in a patch, before and after, by whether it is there.
pub(super) fn names(path: &str, [before, after]: [bool; 2]) -> [String; 2] {
    [("a", before), ("b", after)].map(|(side, is_there)| match is_there {
        true => format!("{side}/{path}"),
        false => "/dev/null".to_owned(),
    })
}

/// A unified diff with ANSI colours, in which the words that differ within a line are inverse.
fn colored(diff: &TextDiff<'_, '_, str>, unified: &UnifiedDiff<'_, '_, '_, str>, names: &[String; 2]) -> String {
    let mut out = format!("\u{1b}[1m--- {}\n+++ {}\u{1b}[0m\n", names[0], names[1]);
    for hunk in unified.iter_hunks() {
        let _ = writeln!(out, "\u{1b}[36m{}\u{1b}[0m", hunk.header());
        for change in hunk.ops().iter().flat_map(|op| diff.iter_inline_changes(op)) {
            let (sign, start) = match change.tag() {
                ChangeTag::Equal => (" ", ""),
                ChangeTag::Delete => ("-", "\u{1b}[31m"),
                ChangeTag::Insert => ("+", "\u{1b}[32m"),
            };
            let _ = write!(out, "{start}{sign}");
            for (is_other, part) in change.iter_strings_lossy() {
                let part = printable(part.trim_end_matches('\n'));
                let _ = match is_other && !part.is_empty() {
                    true => write!(out, "\u{1b}[7m{part}\u{1b}[27m"),
                    false => write!(out, "{part}"),
                };
            }
            out.push_str(if start.is_empty() { "\n" } else { "\u{1b}[0m\n" });
        }
    }
    out
}
