//! The place where the parser stopped, and the text around it.

use std::ops::{Bound, Range, RangeBounds};

use super::text::{content_of, line_at, lines_before, without_comment};
use crate::diag::{Code, Diagnostic};
use crate::source::Opened;

/// A place in the text, with what explanations ask about it.
pub(super) struct Stop<'a> {
    pub(super) file: &'a Opened<'a>,
    pub(super) text: &'a str,
    pub(super) offset: usize,
}

impl<'a> Stop<'a> {
    pub(super) fn new(file: &'a Opened, offset: usize) -> Self {
        let text = file.text();
        Self { file, text, offset }
    }

    pub(super) fn error(&self, bytes: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(Code::SyntaxError, &self.file.at(bytes), message.into())
    }

    /// The line of that place, without its line break.
    pub(super) fn line(&self) -> Range<usize> {
        line_at(self.text, self.offset)
    }

    /// The last line before that is neither empty nor a comment.
    pub(super) fn line_before(&self) -> Option<Range<usize>> {
        lines_before(self.text, self.offset).next()
    }

    /// The range from the place to the end of the line's content; at least one character if there is one.
    pub(super) fn rest(&self) -> Range<usize> {
        let end = self.line().end;
        let rest = without_comment(self.part(self.offset..end));
        let one = self.part(self.offset..).chars().next();
        let len = match (rest.len(), one) {
            (0, Some(c)) => c.len_utf8(),
            (len, _) => len,
        };
        self.offset..self.offset + len
    }

    /// The text in a range; empty if the range is not one of the text, since no explanation is worth a panic.
    pub(super) fn part(&self, range: impl RangeBounds<usize>) -> &'a str {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&end) => end + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.text.len(),
        };
        self.text.get(start..end).unwrap_or_default()
    }

    /// The range from `start` to the end of the content of the line.
    pub(super) fn rest_from(&self, start: usize) -> Range<usize> {
        start..content_of(self.text, self.line()).end.max(start)
    }

    /// The word that starts at the place.
    pub(super) fn word(&self) -> Range<usize> {
        let rest = self.rest();
        let word = self.part(rest.clone());
        let len = word
            .find(|c: char| c.is_whitespace() || ",[]{}".contains(c))
            .filter(|&i| i > 0)
            .unwrap_or(word.len());
        rest.start..rest.start + len
    }

    /// Whether only white space comes before the place in its line.
    pub(super) fn starts_line(&self) -> bool {
        self.part(self.line().start..self.offset).trim().is_empty()
    }
}
