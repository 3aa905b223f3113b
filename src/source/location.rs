//! Locations inside files.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use super::file::SourceFile;

/// A location in a file: `file:line:column`.
///
/// A location holds its file, so that its line can be shown. Locations are ordered by path, then by offset.
#[derive(Clone)]
pub struct Location {
    /// The file that contains the text.
    pub file: Arc<SourceFile>,
    /// The bytes; both ends are character boundaries inside the file.
    pub span: Span,
}

/// A location in a file that is known otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first byte. Four bytes are enough: no reader takes a file of 4 GiB.
    start: u32,
    /// The byte after the last one.
    end: u32,
}

impl Span {
    /// The location of `bytes` in a text. Offsets outside are moved to the nearest character boundary inside.
    #[must_use]
    pub fn new(text: &str, bytes: Range<usize>) -> Self {
        let start = floor_boundary(text, bytes.start);
        let end = floor_boundary(text, bytes.end).max(start);
        Self { start, end }
    }
}

impl Location {
    /// The location of `bytes` in `file`. Offsets outside are moved to the nearest character boundary inside.
    #[must_use]
    pub fn new(file: &Arc<SourceFile>, bytes: Range<usize>) -> Self {
        Self::within(file, Span::new(&file.text(), bytes))
    }

    /// The location of a span of `file`.
    #[must_use]
    pub fn within(file: &Arc<SourceFile>, span: Span) -> Self {
        Self {
            file: Arc::clone(file),
            span,
        }
    }

    /// The range of bytes; both ends are character boundaries inside the file.
    #[must_use]
    pub fn bytes(&self) -> Range<usize> {
        self.span.start as usize..self.span.end as usize
    }

    /// The line, from 1. CR, LF and CRLF each end a line.
    #[must_use]
    pub fn line(&self) -> usize {
        1 + self.line_index()
    }

    /// The column, from 1, in characters.
    #[must_use]
    pub fn column(&self) -> usize {
        let starts = self.file.line_starts();
        let line_start = self.line_index().checked_sub(1).map_or(0, |i| starts[i] as usize);
        let text = self.file.text();
        let before = &text[line_start..self.bytes().start];
        1 + before.trim_start_matches('\u{feff}').chars().count()
    }

    /// The number of lines before the one of the location.
    fn line_index(&self) -> usize {
        let starts = self.file.line_starts();
        starts.partition_point(|start| *start <= self.span.start)
    }

    /// The empty location after the last character.
    #[must_use]
    pub fn end(&self) -> Self {
        let Span { end, .. } = self.span;
        Self::within(&self.file, Span { start: end, end })
    }

    /// Whether both are at the same place of lines with the same text and number, in versions of a file that may differ elsewhere.
    #[must_use]
    pub fn is_shown_as(&self, other: &Self) -> bool {
        self == other && self.line() == other.line() && {
            let (own, theirs) = (self.file.text(), other.file.text());
            self.whole_lines(&own) == other.whole_lines(&theirs)
        }
    }

    /// The lines of the file's text that the location is in.
    fn whole_lines<'t>(&self, text: &'t str) -> &'t str {
        let Range { start, end } = self.bytes();
        let is_end = |c| matches!(c, '\n' | '\r');
        let from = text[..start].rfind(is_end).map_or(0, |i| i + 1);
        let to = text[end..].find(is_end).map_or(text.len(), |i| end + i);
        &text[from..to]
    }

    /// The text at the location.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self.file.text() {
            Cow::Borrowed(text) => Cow::Borrowed(&text[self.bytes()]),
            Cow::Owned(text) => Cow::Owned(text[self.bytes()].to_owned()),
        }
    }
}

/// A file whose text is at hand.
#[derive(Debug, Clone)]
pub struct Opened<'f> {
    /// The file itself.
    pub file: &'f Arc<SourceFile>,
    text: Cow<'f, str>,
}

impl<'f> From<&'f Arc<SourceFile>> for Opened<'f> {
    fn from(file: &'f Arc<SourceFile>) -> Self {
        Self {
            file,
            text: file.text(),
        }
    }
}

impl Opened<'_> {
    /// The whole text of the file.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The location of `bytes`, as in [`Location::new`].
    #[must_use]
    pub fn at(&self, bytes: Range<usize>) -> Location {
        Location::within(self.file, Span::new(&self.text, bytes))
    }
}

fn floor_boundary(text: &str, offset: usize) -> u32 {
    let offset = offset.min(text.len()).min(u32::MAX as usize);
    let boundary = (0..=offset).rev().find(|&i| text.is_char_boundary(i));
    boundary.and_then(|at| u32::try_from(at).ok()).unwrap_or(0)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.path, self.line(), self.column())
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Location {}

impl Hash for Location {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.file.path.as_str(), self.span).hash(state);
    }
}

impl PartialOrd for Location {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Location {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_path = self.file.path.cmp(&other.file.path);
        by_path.then_with(|| self.span.cmp(&other.span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, offset: usize, expected: (usize, usize)) {
        let location = Location::new(&SourceFile::new("a.yaml", text), offset..offset);
        assert_eq!((location.line(), location.column()), expected, "{text:?} at {offset}");
    }

    #[test]
    fn every_kind_of_line_end_counts_once() {
        check("a\nb", 2, (2, 1));
        check("a\r\nb", 3, (2, 1));
        check("a\rb", 2, (2, 1));
        check("a\n\nbc", 4, (3, 2));
    }

    #[test]
    fn columns_count_characters_and_no_byte_order_mark() {
        check("äö: x", 6, (1, 5));
        check("\u{feff}a: b", 6, (1, 4));
    }

    #[test]
    fn offsets_outside_the_text_move_inside() {
        check("ab", 99, (1, 3));
        check("ä", 1, (1, 1));
    }
}
