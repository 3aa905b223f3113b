//! Lines, indentation and comments of a text that need not be YAML.

use std::ops::Range;

/// The line that contains `offset`, without its line break and without a byte order mark before it.
pub(super) fn line_at(text: &str, offset: usize) -> Range<usize> {
    let start = line_start(text, offset);
    let mark = text[start..offset].len() - text[start..offset].trim_start_matches('\u{feff}').len();
    let end = text[offset..].find(is_break).map_or(text.len(), |i| offset + i);
    start + mark..end
}

pub(super) fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind(is_break).map_or(0, |i| i + 1)
}

pub(super) fn is_break(c: char) -> bool {
    c == '\n' || c == '\r'
}

/// The lines before that of `offset` that have content, nearest first.
pub(super) fn lines_before(text: &str, offset: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = line_start(text, offset);
    std::iter::from_fn(move || {
        while start > 0 {
            let line = line_at(text, start - 1); // of its line break
            start = line_start(text, start - 1);
            let content = text[line.clone()].trim();
            if !content.is_empty() && !content.starts_with('#') {
                return Some(line);
            }
        }
        None
    })
}

/// The content of a line, without a comment and white space at its end.
pub(super) fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    let mut open = None;
    let mut chars = line.char_indices();
    while let Some((i, c)) = chars.next() {
        let starts = before.is_whitespace() || ",[{:".contains(before);
        match (open, c) {
            (None, '#') if before.is_whitespace() => return line[..i].trim_end(),
            (None, '"' | '\'') if starts => open = Some(c),
            (Some('"'), '\\') => drop(chars.next()),
            (Some(quote), c) if c == quote => open = None,
            _ => {}
        }
        before = c;
    }
    line.trim_end()
}

pub(super) fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The range of the content of `line`.
pub(super) fn content_of(text: &str, line: Range<usize>) -> Range<usize> {
    let content = without_comment(&text[line.clone()]);
    let start = line.start + content.len() - content.trim_start().len();
    start..line.start + content.len()
}

/// The start of the document that contains `offset`, by its `---`.
pub(super) fn document_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind("\n---").map_or(0, |i| i + 1)
}

pub(super) fn first(word: &str) -> String {
    word.chars().take(1).collect()
}
