//! Marks of other tools and of documents: conflict markers, tabs, templates, directives, aliases.

use granit_parser::ErrorKind;
use std::ops::Range;

use super::quotes::quote_it;
use super::stop::Stop;
use super::text::{line_at, lines_before};
use crate::diag::Diagnostic;

/// Lines that version control leaves in a file when a merge has conflicts.
pub(super) fn conflict_marker(stop: &Stop) -> Option<Diagnostic> {
    let is_marker = |line: &Range<usize>| {
        let line = stop.part(line.clone());
        ["<<<<<<< ", ">>>>>>> "].iter().any(|m| line.starts_with(m)) || line == "======="
    };
    let line = [Some(stop.line()), stop.line_before()]
        .into_iter()
        .flatten()
        .find(is_marker)?;
    Some(
        stop.error(line, "a conflict marker of version control")
            .help("resolve the conflict and remove the lines with `<<<<<<<`, `=======` and `>>>>>>>`"),
    )
}

/// Tabs in the indentation.
pub(super) fn tab(stop: &Stop, kind: &ErrorKind) -> Option<Diagnostic> {
    let tabs = |line: Range<usize>| {
        let written = stop.part(line.clone());
        let blank = written.len() - written.trim_start_matches([' ', '\t']).len();
        let start = written[..blank].find('\t')?;
        let len = written[start..blank].bytes().take_while(|&b| b == b'\t').count();
        Some(line.start + start..line.start + start + len)
    };
    let about_tabs = matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabAtBlockScalarStart
    );
    // For a value that seems to go on in the next line, the parser names the end of the line before.
    let next = || {
        let next = stop.line().end + 1;
        let lines = stop.text.get(next..).filter(|_| about_tabs)?;
        let blank = lines.len() - lines.trim_start().len();
        tabs(line_at(stop.text, next + blank))
    };
    let at = tabs(stop.line()).or_else(next).or_else(|| {
        let rest = stop.part(..stop.offset).trim_end_matches('\t').len();
        about_tabs.then_some(rest..stop.offset.max(rest + 1))
    })?;
    Some(
        stop.error(at, "a tab in the indentation")
            .help("indent with spaces: YAML does not allow tabs there"),
    )
}

/// A template expression on the line, if there is one.
///
/// Some expressions are valid YAML: `{{ name }}` is a mapping inside a mapping.
pub(super) fn template(stop: &Stop) -> Option<Diagnostic> {
    let line = stop.line();
    let (found, dialect) = crate::yaml::template::find(stop.text.get(line.clone())?)?;
    let at = stop.file.at(line.start + found.start..line.start + found.end);
    Some(crate::yaml::template::unrendered(&at, dialect))
}

/// An alias without an anchor.
pub(super) fn unknown_anchor(stop: &Stop) -> Diagnostic {
    let at = stop.word();
    let word = stop.part(at.clone());
    let name = word.trim_start_matches('*');
    stop.error(
        at,
        format!("`{word}` refers to a value named `&{name}`, and there is none before it"),
    )
    .help(format!("put `&{name}` before that value, or {}", quote_it(word)))
}

/// Text after the end of a document, or a directive without its document.
pub(super) fn no_document_start(stop: &Stop) -> Diagnostic {
    let directive = lines_before(stop.text, stop.offset)
        .next()
        .filter(|line| stop.part(line.clone()).starts_with('%'));
    match directive {
        Some(line) => stop
            .error(
                line,
                "a directive (a line that starts with `%`) without a document after it",
            )
            .help("put `---` on the next line, or remove this one"),
        None => stop
            .error(stop.rest(), "text after the end of a document")
            .help("start a new document with `---` on a line of its own"),
    }
}
