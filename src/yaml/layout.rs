//! The layout of a text that is patched: lines, their indentation, and the comments above them.

use std::ops::Range;

use super::meaning::{Meaning, Quotes};
use super::written::Written;

/// A replacement of some bytes.
pub(super) type Patch = (Range<usize>, String);

/// The begin of the first of the comment lines that stand directly above a line, with the same indentation.
pub(super) fn above_comments(written: &Written, line: usize, indent: &str) -> usize {
    let text = written.text();
    let mut line = line;
    loop {
        let above = text[..line]
            .strip_suffix('\n')
            .map_or(0, |text| text.rfind('\n').map_or(0, |end| end + 1));
        let start = above + indent.len();
        let is_comment = |start: usize| {
            written
                .comments
                .binary_search_by_key(&start, |comment| comment.start)
                .is_ok()
        };
        if above == line || !text[above..].starts_with(indent) || !is_comment(start) {
            return line;
        }
        line = above;
    }
}

/// The parts of a value without the brackets around them; with an indentation, on lines of their own.
pub(super) fn inner(parts: &Meaning, indent: Option<usize>, quotes: Quotes) -> String {
    let mut text = String::new();
    parts.append_flow(&mut text, indent.map(|indent| indent.saturating_sub(2)), quotes);
    text[1..text.len() - 1].trim().to_owned()
}

/// Whether an offset is the first of its line but for blanks, and the blanks that lead to its column.
pub(super) fn line_of(text: &str, at: usize) -> (bool, String) {
    let line = &text[text[..at].rfind('\n').map_or(0, |end| end + 1)..at];
    (line.bytes().all(|byte| byte == b' '), " ".repeat(line.chars().count()))
}

/// Lines with an indentation, and with the line ends of a text.
pub(super) fn indented(text: &str, block: &str, indent: &str) -> String {
    let end = line_end(text);
    block.lines().map(|line| format!("{indent}{line}{end}")).collect()
}

/// The line end of a text: that of its first line.
pub(crate) fn line_end(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}
