//! Says what is wrong with a text that is not YAML, where a person would look for it.
//!
//! The parser stops where it cannot go on, which is often behind the mistake, and speaks of its grammar. Each
//! function here takes one kind of mistake that people make, finds its place and says what to type.

use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use granit_parser::{ErrorKind, Options, ScanError, Scanner, StrInput, TokenType};

use crate::diag::{Code, Diagnostic};
use crate::source::{Location, SourceFile};
use crate::words::plural;

/// What the parser stopped at, as a diagnostic.
pub(super) fn explain(file: &Arc<SourceFile>, error: &ScanError, options: &Options) -> Diagnostic {
    let end = file.text.len();
    let offset = error.marker().byte_offset().unwrap_or(end);
    let offset = Location::new(file, offset.min(end)..end).bytes.start;
    let stop = Stop {
        file,
        text: &file.text,
        offset,
    };
    if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
        return too_deep(file, offset);
    }
    conflict_marker(&stop)
        .or_else(|| template(file, offset))
        .or_else(|| tab(&stop, error.kind()))
        .or_else(|| open_bracket(&stop, options))
        .unwrap_or_else(|| by_kind(&stop, error))
}

/// A template's mark on the line of `offset`, if there is one.
///
/// Not all of them are syntax errors: `{{ name }}` is YAML, a mapping inside a mapping.
pub(super) fn template(file: &Arc<SourceFile>, offset: usize) -> Option<Diagnostic> {
    let line = line_at(&file.text, offset);
    let (found, dialect) = super::template::find(file.text.get(line.clone())?)?;
    let at = Location::new(file, line.start + found.start..line.start + found.end);
    Some(super::template::unrendered(&at, dialect))
}

/// The place where the parser stopped.
struct Stop<'a> {
    file: &'a Arc<SourceFile>,
    text: &'a str,
    offset: usize,
}

impl<'a> Stop<'a> {
    fn error(&self, bytes: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(Code::SyntaxError, &Location::new(self.file, bytes), message.into())
    }

    /// The line it stopped in, without its end.
    fn line(&self) -> Range<usize> {
        line_at(self.text, self.offset)
    }

    /// The last line before it that is neither empty nor a comment.
    fn line_before(&self) -> Option<Range<usize>> {
        lines_before(self.text, self.offset).next()
    }

    /// From where it stopped to the end of what is written in the line; at least one character if there is one.
    fn rest(&self) -> Range<usize> {
        let end = self.line().end;
        let rest = without_comment(self.part(self.offset..end));
        let one = self.part(self.offset..).chars().next();
        let len = match (rest.len(), one) {
            (0, Some(c)) => c.len_utf8(),
            (len, _) => len,
        };
        self.offset..self.offset + len
    }

    /// The text in a range, as far as there is such a thing: no explanation is worth a panic.
    fn part(&self, range: impl RangeBounds<usize>) -> &'a str {
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

    /// From `start` to the end of what is written in the line where it stopped.
    fn rest_from(&self, start: usize) -> Range<usize> {
        start..content_of(self.text, self.line()).end.max(start)
    }

    /// The word that starts where it stopped.
    fn word(&self) -> Range<usize> {
        let rest = self.rest();
        let word = self.part(rest.clone());
        let len = word
            .find(|c: char| c.is_whitespace() || ",[]{}".contains(c))
            .filter(|&i| i > 0)
            .unwrap_or(word.len());
        rest.start..rest.start + len
    }

    /// Whether nothing but blanks stands before it in its line.
    fn starts_line(&self) -> bool {
        self.part(self.line().start..self.offset).trim().is_empty()
    }
}

/// The line that holds `offset`, without its end and without a byte order mark before it.
fn line_at(text: &str, offset: usize) -> Range<usize> {
    let start = line_start(text, offset);
    let mark = text[start..offset].len() - text[start..offset].trim_start_matches('\u{feff}').len();
    let end = text[offset..].find(is_break).map_or(text.len(), |i| offset + i);
    start + mark..end
}

fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind(is_break).map_or(0, |i| i + 1)
}

fn is_break(c: char) -> bool {
    c == '\n' || c == '\r'
}

/// The lines before that of `offset`, nearest first, those without content left out.
fn lines_before(text: &str, offset: usize) -> impl Iterator<Item = Range<usize>> {
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

/// What stands in a line, without a comment behind it and blanks at its end.
fn without_comment(line: &str) -> &str {
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

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The part of `line` that is content.
fn content_of(text: &str, line: Range<usize>) -> Range<usize> {
    let content = without_comment(&text[line.clone()]);
    let start = line.start + content.len() - content.trim_start().len();
    start..line.start + content.len()
}

/// What to type to make text of it.
fn quote_it(text: &str) -> String {
    if text.len() > 60 {
        "put the value between double quotes".to_owned()
    } else {
        format!("quote it: {}", serde_json::Value::from(text))
    }
}

/// Lines that version control leaves in a file when a merge needs a person.
fn conflict_marker(stop: &Stop) -> Option<Diagnostic> {
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
            .help("settle the conflict and remove the lines with `<<<<<<<`, `=======` and `>>>>>>>`"),
    )
}

/// Tabs where the indentation should be.
fn tab(stop: &Stop, kind: &ErrorKind) -> Option<Diagnostic> {
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
    // Of a value that seems to go on in the next line, the parser names the end of the line before.
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
            .help("indent with spaces: YAML takes no tabs there"),
    )
}

/// A bracket of an earlier line that is open where the parser stopped.
fn open_bracket(stop: &Stop, options: &Options) -> Option<Diagnostic> {
    let start = document_start(stop.text, stop.offset);
    let mut open: Vec<(usize, char, char)> = Vec::new();
    let scanner = Scanner::with_options(StrInput::new(stop.part(start..)), options.clone());
    for token in scanner.map_while(Result::ok) {
        let (span, token) = token.into_parts();
        let at = start + span.byte_range().map_or(0, |bytes| bytes.start);
        if at >= stop.offset {
            break;
        }
        match token {
            TokenType::FlowSequenceStart => open.push((at, '[', ']')),
            TokenType::FlowMappingStart => open.push((at, '{', '}')),
            TokenType::FlowSequenceEnd | TokenType::FlowMappingEnd => drop(open.pop()),
            _ => {}
        }
    }
    let (at, opening, closing) = open.pop()?;
    (at < stop.line().start).then(|| unclosed(stop, at, opening, closing))
}

fn unclosed(stop: &Stop, at: usize, opening: char, closing: char) -> Diagnostic {
    stop.error(at..at + 1, format!("this `{opening}` is not closed"))
        .help(format!("close it with `{closing}`"))
}

/// Where the document that holds `offset` starts, by its `---`.
fn document_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind("\n---").map_or(0, |i| i + 1)
}

fn by_kind(stop: &Stop, error: &ScanError) -> Diagnostic {
    let here = stop.rest();
    let word = stop.part(here.clone());
    match error.kind() {
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => no_colon(stop, here),
        ErrorKind::MappingValueNotAllowed => colon_not_allowed(stop),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::ExpectedBlockSequenceEntry => out_of_place(stop, error.kind()),
        ErrorKind::BlockSequenceEntryNotAllowed => stop
            .error(here, "a list cannot start in the line of its key")
            .help("start the list on the next line, or quote the value if it is text"),
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::DocumentIndicatorInQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent => unclosed_quote(stop),
        ErrorKind::InvalidTrailingSingleQuotedScalar => behind_quote(stop, '\'', "''"),
        ErrorKind::InvalidTrailingDoubleQuotedScalar => behind_quote(stop, '"', "\\\""),
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape
        | ErrorKind::InvalidLowSurrogateHexEscape
        | ErrorKind::InvalidLowSurrogate
        | ErrorKind::MissingLowSurrogate
        | ErrorKind::UnpairedLowSurrogate => bad_escape(stop),
        ErrorKind::UnclosedFlowCollection { open } => {
            let close = if *open == '[' { ']' } else { '}' };
            unclosed(stop, stop.offset, *open, close)
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            let should = if *open == '[' { ']' } else { '}' };
            stop.error(here, format!("this `{open}` is closed by `{close}`"))
                .help(format!("close it with `{should}`"))
        }
        ErrorKind::MisplacedFlowCollectionEnd => stop
            .error(stop.word(), format!("`{}` closes nothing", first(word)))
            .help("remove it, or quote the value if it is text"),
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => no_comma(stop),
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => stop
            .error(
                stop.offset..stop.offset + character.len_utf8(),
                format!("the control character U+{:04X}", u32::from(*character)),
            )
            .help("remove it: YAML takes it only as an escape between double quotes"),
        ErrorKind::UnexpectedCharacter { character: '`' } => stop
            .error(here.clone(), "a value cannot start with a backtick")
            .help(quote_it(word)),
        ErrorKind::UnexpectedCharacter { character } => stop
            .error(here.clone(), format!("a value cannot start with `{character}`"))
            .help(quote_it(word)),
        ErrorKind::MissingAnchorOrAliasName => stop
            .error(here.clone(), format!("a name should follow `{}`", first(word)))
            .help(quote_it(word)),
        ErrorKind::UnknownAnchor => unknown_anchor(stop),
        ErrorKind::UndeclaredTagHandle => stop
            .error(
                stop.word(),
                format!("the tag `{}` is not declared", stop.part(stop.word())),
            )
            .help("remove the tag, or quote the value if it is text"),
        ErrorKind::MappingKeyNotAllowed => stop
            .error(here.clone(), "a value cannot start with `? `")
            .help(quote_it(word)),
        ErrorKind::InvalidBlockScalarHeader => stop
            .error(here, format!("text in the line of `{}`", first(word)))
            .help("start the text on the next line, or quote the value"),
        ErrorKind::ExpectedNodeContent
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::UnexpectedEofBlockMapping
        | ErrorKind::UnexpectedEofBlockSequence
        | ErrorKind::UnexpectedEof
            if word.starts_with(',') =>
        {
            stop.error(here.clone(), "a `,` where a value should stand")
                .help("remove it, or quote the value if it is text")
        }
        ErrorKind::InvalidDocumentEnd => stop
            .error(here, "text behind `...`, which ends a document")
            .help("start the next document with `---` on a line of its own"),
        ErrorKind::ExpectedDocumentStart => no_document_start(stop),
        ErrorKind::BomInsideDocument => stop
            .error(
                stop.offset..stop.offset + '\u{feff}'.len_utf8(),
                "a byte order mark (U+FEFF), which can only start a file",
            )
            .help("remove the invisible character"),
        ErrorKind::UnsupportedYamlMajorVersion => stop
            .error(here, "a version of YAML that does not exist")
            .help("remove the line"),
        _ => stop.error(here, format!("not YAML: {}", error.info())),
    }
}

/// More lists and mappings inside each other than the reader takes.
pub(super) fn too_deep(file: &Arc<SourceFile>, offset: usize) -> Diagnostic {
    let at = Location::new(file, offset..offset + 1);
    Diagnostic::error(
        Code::LimitExceeded,
        &at,
        "lists and mappings stand too deep inside each other",
    )
    .help("move the file out of the policies, or raise `limits.depth` in the settings")
}

fn first(word: &str) -> String {
    word.chars().take(1).collect()
}

/// A line among `key: value` lines that has no colon, or none with a space behind it.
fn no_colon(stop: &Stop, here: Range<usize>) -> Diagnostic {
    let found = stop.part(here.clone());
    if let Some(error) = long_key(stop, here.clone()) {
        return error;
    }
    let error = stop.error(here.clone(), format!("expected `key: value`, found `{found}`"));
    let one_word = |text: &str| !text.is_empty() && !text.contains(' ');
    match found.split_once(':') {
        Some((key, value)) if one_word(key) && value.starts_with(|c: char| !c.is_ascii() && c.is_whitespace()) => error
            .help(format!(
                "the blank behind the colon is no space; type one: `{key}: {}`",
                value.trim()
            )),
        Some((key, value)) if one_word(key) && one_word(value) => {
            error.help(format!("put a space behind the colon: `{key}: {value}`"))
        }
        None if one_word(found) => error.help(format!("write a colon behind the key: `{found}:`")),
        _ => error.help("write a colon and a space between key and value"),
    }
}

/// Longer than what a parser looks ahead for a colon.
fn long_key(stop: &Stop, key: Range<usize>) -> Option<Diagnostic> {
    if stop.part(key.clone()).chars().count() <= 1024 {
        return None;
    }
    let start = stop.error(key.start..key.start + 1, "a key longer than 1,024 characters");
    Some(start.help("shorten it, or put `? ` before it and `: ` before its value on the next line"))
}

/// A `: ` that makes a key of something that cannot be one.
fn colon_not_allowed(stop: &Stop) -> Diagnostic {
    let line = stop.line();
    let before = stop.part(line.start..stop.offset);
    if let Some(error) = long_key(stop, content_of(stop.text, line.start..stop.offset)) {
        return error;
    }
    if let Some(rest) = before.strip_prefix("--- ") {
        let start = stop.offset - rest.len();
        return stop
            .error(stop.rest_from(start), "a mapping in the line of `---`")
            .help("start it on the next line");
    }
    if let Some(i) = before.find(": ") {
        let key = before[..i].trim_start().trim_start_matches("- ").trim();
        let value = &before[i + 2..];
        let start = stop.offset - value.trim_start().len();
        let whole = stop.rest_from(start);
        let value = stop.part(whole.clone());
        let error = stop.error(whole, "a `: ` inside a value");
        return if value.len() > 60 {
            error.help("put the value between double quotes")
        } else {
            error.help(format!("quote the value: `{key}: {}`", serde_json::Value::from(value)))
        };
    }
    let Some(previous) = stop.line_before() else {
        return stop.error(stop.rest(), "a `:` where no key can stand");
    };
    let above = content_of(stop.text, previous.clone());
    let written = stop.part(above.clone());
    let item = written.trim_start_matches("- ");
    let key = content_of(stop.text, line.start..stop.offset);
    let column = key.start - line.start;
    let beside_item = column == above.end - item.len() - previous.start;
    if column > indent_of(stop.part(previous)) && !beside_item {
        let message = format!(
            "`{}` stands below `{item}`, which is a value already",
            stop.part(key.clone())
        );
        return stop
            .error(key, message)
            .help("give both lines the same indentation, or remove the value above");
    }
    let start = above.end - item.len();
    no_colon(stop, start..above.end)
}

/// A line whose indentation fits nothing above it, or a thing of another kind than its neighbours.
fn out_of_place(stop: &Stop, kind: &ErrorKind) -> Diagnostic {
    let line = stop.line();
    let content = content_of(stop.text, line.clone());
    let before = stop.part(content.start.min(stop.offset)..stop.offset);
    let stop = if before.trim_matches(['-', ' ']).is_empty() {
        &Stop {
            offset: content.start.min(stop.offset),
            ..*stop
        }
    } else {
        stop
    };
    let here = stop.rest();
    if !stop.starts_line() {
        return stop
            .error(here, "text behind a value that has ended")
            .help("remove it, or quote the whole value if it is text");
    }
    let column = stop.offset - line.start;
    // The indentations that are open here: those of the lines above, each less than all below it.
    let mut open: Vec<usize> = Vec::new();
    for above in lines_before(stop.text, stop.offset) {
        let written = stop.part(above);
        if written.starts_with("---") {
            break;
        }
        let indent = indent_of(written);
        if open.last().is_none_or(|&least| indent < least) {
            open.push(indent);
        }
        if indent == 0 {
            break;
        }
    }
    if open.contains(&column) {
        return if *kind == ErrorKind::ExpectedBlockSequenceEntry {
            stop.error(here, "expected a list item, which starts with `- `")
                .help("put `- ` before it, or indent it as the item it belongs to")
        } else {
            stop.error(here, "expected `key: value`, found something else")
                .help("a list stands below a key of its own, as in `items:`")
        };
    }
    let less = open.iter().copied().filter(|&i| i < column).max();
    let more = open.iter().copied().filter(|&i| i > column).min();
    let error = stop.error(
        here,
        format!("{} before this fit no line above it", plural(column, "space")),
    );
    match (less, more) {
        (Some(less), Some(more)) => error.help(format!("indent it by {less} or {more} spaces")),
        (Some(n), None) | (None, Some(n)) => error.help(format!("indent it by {n} spaces")),
        (None, None) => error,
    }
}

/// A quote without its partner.
fn unclosed_quote(stop: &Stop) -> Diagnostic {
    // Of text that goes on with too little indentation the parser names that line; look for the quote above.
    let is_quote = |c: char| c == '"' || c == '\'';
    let at = if stop.part(stop.offset..).starts_with(is_quote) {
        stop.offset
    } else {
        let start = document_start(stop.text, stop.offset);
        let quoted = Scanner::new(StrInput::new(stop.part(start..stop.offset)));
        // The scanner stops at the quote, the last thing it has not understood.
        let read = quoted
            .map_while(Result::ok)
            .map(|token| token.into_parts().0)
            .filter_map(|span| span.byte_range())
            .last()
            .map_or(start, |bytes| start + bytes.end);
        let read = read.min(stop.offset);
        stop.part(read..stop.offset)
            .find(is_quote)
            .map_or(stop.offset, |i| read + i)
    };
    quote_not_closed(stop, at)
}

fn quote_not_closed(stop: &Stop, at: usize) -> Diagnostic {
    let quote = first(stop.part(at..));
    stop.error(at..at + quote.len(), "this quote is not closed")
        .help(format!("close it with `{quote}` in the same line"))
}

/// Text that follows what closes a quoted scalar.
fn behind_quote(stop: &Stop, quote: char, escaped: &str) -> Diagnostic {
    // The quote that closed a scalar of several lines was meant to open one.
    let line = stop.line().start;
    if stop.part(line..stop.offset).matches(quote).count() == 1
        && let Some(at) = stop.part(..line).rfind(quote)
    {
        return quote_not_closed(stop, at);
    }
    stop.error(stop.rest(), "text behind the closing quote")
        .help(format!("inside such quotes write `{escaped}` for `{quote}`"))
}

/// An escape in a double-quoted scalar that starts where the parser stopped.
fn bad_escape(stop: &Stop) -> Diagnostic {
    let text = stop.part(stop.offset..);
    let mut from = 0;
    while let Some(i) = text[from..].find('\\').map(|i| from + i) {
        let rest = &text[i + 1..];
        let Some(c) = rest.chars().next() else {
            return unclosed_quote(stop);
        };
        let digits = match c {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        let hex = rest
            .chars()
            .skip(1)
            .take(digits)
            .take_while(char::is_ascii_hexdigit)
            .count();
        let value = u32::from_str_radix(rest.get(1..=hex).unwrap_or(""), 16);
        let scalar = digits == 0 || hex == digits && value.is_ok_and(|n| char::from_u32(n).is_some());
        let known = "0abt\tnvfre \"/\\N_LPxuU\n\r".contains(c);
        if !known || !scalar {
            let at = stop.offset + i..stop.offset + i + 1 + c.len_utf8() + hex;
            let message = format!("`{}` is no escape of YAML", stop.part(at.clone()));
            return stop
                .error(at, message)
                .help("write `\\\\` for a backslash, or use single quotes");
        }
        from = i + 1 + c.len_utf8();
    }
    stop.error(stop.rest(), "an escape that YAML does not know")
        .help("write `\\\\` for a backslash, or use single quotes")
}

/// Two entries between brackets without a comma.
fn no_comma(stop: &Stop) -> Diagnostic {
    let line = stop.line();
    let before = stop.part(line.start..stop.offset);
    let start = before.rfind([',', '[', '{']).map_or(line.start, |i| line.start + i + 1);
    let start = start + stop.part(start..).len() - stop.part(start..).trim_start().len();
    let start = start.min(stop.offset);
    let end = stop.offset.max(start + 1);
    stop.error(start..end, "a `,` is missing here")
        .help("put a `,` between the entries, or quote the value if it is text")
}

/// An alias whose anchor is not there.
fn unknown_anchor(stop: &Stop) -> Diagnostic {
    let at = stop.word();
    let word = stop.part(at.clone());
    let name = word.trim_start_matches('*');
    stop.error(
        at,
        format!("`{word}` stands for a value named `&{name}`, and there is none before it"),
    )
    .help(format!("put `&{name}` before that value, or {}", quote_it(word)))
}

/// Something behind the end of a document, or a directive without the document it is for.
fn no_document_start(stop: &Stop) -> Diagnostic {
    let directive = lines_before(stop.text, stop.offset)
        .next()
        .filter(|line| stop.part(line.clone()).starts_with('%'));
    match directive {
        Some(line) => stop
            .error(
                line,
                "a directive, as a line that starts with `%` is, without a document behind it",
            )
            .help("put `---` on the next line, or remove this one"),
        None => stop
            .error(stop.rest(), "text behind the end of a document")
            .help("start a new document with `---` on a line of its own"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Diagnostics, Place};
    use crate::yaml::read::{Limits, read};

    /// The one error in `text`: what it marks, its message and the start of its help.
    fn check(text: &str, marked: &str, message: &str, help: &str) {
        let mut found = Diagnostics::default();
        let file = SourceFile::new("a.yaml", text);
        read(&file, &Limits::default(), &mut found);
        let found = found.into_sorted();
        let [error] = found.as_slice() else {
            panic!("{text:?}: {found:?}")
        };
        let Place::In(at) = &error.place else {
            panic!("{text:?}: {error:?}")
        };
        let help_found = error.help.as_deref().unwrap_or("");
        assert_eq!((at.text(), error.message.as_str()), (marked, message), "{text:?}");
        assert!(help_found.starts_with(help), "{text:?}: {help_found}");
    }

    #[test]
    fn tabs() {
        for text in [
            "a:\n\tb: 1\n",
            "a:\n  b: 1\n\tc: 2\n",
            "- a\n\t- b\n",
            "a:\n  - x\n\n\t- y\n",
            "a: b\r\n\tc: d\r\n",
            "a: [\n\tb\n]\n",
        ] {
            check(text, "\t", "a tab in the indentation", "indent with spaces");
        }
    }

    #[test]
    fn colons() {
        let says = |found: &str| format!("expected `key: value`, found `{found}`");
        check(
            "a: 1\nb 2 # c\nc: 3\n",
            "b 2",
            &says("b 2"),
            "write a colon and a space",
        );
        check("a 1\nb: 2\n", "a 1", &says("a 1"), "write a colon and a space");
        check("a: 1\nb\n", "b", &says("b"), "write a colon behind the key: `b:`");
        check(
            "a:1\nb: 2\n",
            "a:1",
            &says("a:1"),
            "put a space behind the colon: `a: 1`",
        );
        check(
            "a: 1\nb:2\n",
            "b:2",
            &says("b:2"),
            "put a space behind the colon: `b: 2`",
        );
        check(
            "x: 1\nb:\u{a0}2\n",
            "b:\u{a0}2",
            &says("b:\u{a0}2"),
            "the blank behind the colon is no space; type one: `b: 2`",
        );
        check("- a:1\n  b: 2\n", "a:1", &says("a:1"), "put a space");
        let inside = "a `: ` inside a value";
        check(
            "key: value: x\n",
            "value: x",
            inside,
            "quote the value: `key: \"value: x\"`",
        );
        check(
            "- url: http://x: 1 # c\n",
            "http://x: 1",
            inside,
            "quote the value: `url: \"http://x: 1\"`",
        );
        check(
            "--- a: 1\n",
            "a: 1",
            "a mapping in the line of `---`",
            "start it on the next line",
        );
        let key = "k".repeat(1100);
        check(
            &format!("{key}: 1\n"),
            "k",
            "a key longer than 1,024 characters",
            "shorten it",
        );
    }

    #[test]
    fn indentation() {
        check(
            "a: 1\n  b: 2\n",
            "b",
            "`b` stands below `a: 1`, which is a value already",
            "give both lines the same",
        );
        check(
            "- a\n- b\n c: 1\n",
            "c",
            "`c` stands below `b`, which is a value already",
            "give both lines the same",
        );
        check(
            "a:\n  b: 1\n c: 2\n",
            "c: 2",
            "1 space before this fit no line above it",
            "indent it by 0 or 2 spaces",
        );
        check(
            "a:\n  - b\n - c\n",
            "- c",
            "1 space before this fit no line above it",
            "indent it by 0 or 2 spaces",
        );
        check(
            "a:\n    b:\n      c: 1\n  d: 2 # x\n",
            "d: 2",
            "2 spaces before this fit no line above it",
            "indent it by 0 or 4 spaces",
        );
        check(
            "a: 1\n- b\n",
            "- b",
            "expected `key: value`, found something else",
            "a list stands below a key",
        );
        check(
            "- a\nb: 1\n",
            "b: 1",
            "expected a list item, which starts with `- `",
            "put `- ` before it",
        );
        check(
            "a: - b\n",
            "- b",
            "a list cannot start in the line of its key",
            "start the list on the next line",
        );
    }

    #[test]
    fn quotes() {
        check("a: \"b\nc: d\n", "\"", "this quote is not closed", "close it with `\"`");
        check("a: 'b\nc: d\n", "'", "this quote is not closed", "close it with `'`");
        check(
            "a:\n  b: \"x\nc: \"y\"\n",
            "\"",
            "this quote is not closed",
            "close it with `\"`",
        );
        check(
            "a: 'it's'\n",
            "s'",
            "text behind the closing quote",
            "inside such quotes write `''`",
        );
        check(
            "a: \"b\"c # d\n",
            "c",
            "text behind the closing quote",
            "inside such quotes write `\\\"`",
        );
        check(
            "a: \"C:\\x64\\q\"\n",
            "\\q",
            "`\\q` is no escape of YAML",
            "write `\\\\` for a backslash",
        );
        check(
            "a: \"\\u12g\"\n",
            "\\u12",
            "`\\u12` is no escape of YAML",
            "write `\\\\` for a backslash",
        );
        check(
            "a: \"\\ud800\"\n",
            "\\ud800",
            "`\\ud800` is no escape of YAML",
            "write `\\\\` for a backslash",
        );
    }

    #[test]
    fn brackets() {
        check("a: [1, 2\nb: 3\n", "[", "this `[` is not closed", "close it with `]`");
        check(
            "a: [\"]\", {b: 1}\nb: 3\n",
            "[",
            "this `[` is not closed",
            "close it with `]`",
        );
        check("a: {b: 1\nc: 2\n", "{", "this `{` is not closed", "close it with `}`");
        check("a: {\n", "{", "this `{` is not closed", "close it with `}`");
        check(
            "a: [1, 2}\n",
            "[1, 2}",
            "this `[` is closed by `}`",
            "close it with `]`",
        );
        check("a: ]\n", "]", "`]` closes nothing", "remove it, or quote");
        check(
            "a: {b: 1 c: 2}\n",
            "b: 1 c",
            "a `,` is missing here",
            "put a `,` between",
        );
        check(
            "a: [a, , b]\n",
            ", b]",
            "a `,` where a value should stand",
            "remove it, or quote",
        );
        check(
            "a: [b]c\n",
            "c",
            "text behind a value that has ended",
            "remove it, or quote",
        );
    }

    #[test]
    fn characters_with_a_meaning() {
        check("a: %b # c\n", "%b", "a value cannot start with `%`", "quote it: \"%b\"");
        check("a: @b\n", "@b", "a value cannot start with `@`", "quote it: \"@b\"");
        check(
            "a: `b` c\n",
            "`b` c",
            "a value cannot start with a backtick",
            "quote it: \"`b` c\"",
        );
        check("a: *\n", "*", "a name should follow `*`", "quote it: \"*\"");
        check("- &\n", "&", "a name should follow `&`", "quote it: \"&\"");
        check("a: ? b\n", "? b", "a value cannot start with `? `", "quote it: \"? b\"");
        check(
            "a: | text\n",
            "| text",
            "text in the line of `|`",
            "start the text on the next line",
        );
        check(
            "a: !x!y z\n",
            "!x!y",
            "the tag `!x!y` is not declared",
            "remove the tag",
        );
        check("a: b\0c\n", "\0", "the control character U+0000", "remove it");
        check(
            "a: 1\n\u{feff}b: 2\n",
            "\u{feff}",
            "a byte order mark (U+FEFF), which can only start a file",
            "remove",
        );
    }

    #[test]
    fn aliases() {
        check(
            "a: *b c\n",
            "*b",
            "`*b` stands for a value named `&b`, and there is none before it",
            "put `&b` before that value, or quote it: \"*b\"",
        );
        check(
            "a: &x\n  b: *x\n",
            "*x",
            "`*x` stands inside the value that it names",
            "write the value out",
        );
    }

    #[test]
    fn documents() {
        check(
            "[x]\na = 1\n",
            "a = 1",
            "text behind the end of a document",
            "start a new document",
        );
        check(
            "a: 1\n... b\n",
            "b",
            "text behind `...`, which ends a document",
            "start the next document",
        );
        check(
            "%YAML 1.2\na: 1\n",
            "%YAML 1.2",
            "a directive, as a line that starts with `%` is, without a document behind it",
            "put `---` on the next line",
        );
    }

    #[test]
    fn templates() {
        let (mustache, go) = ("a Mustache or Jinja template", "a Go template, as Helm has them");
        let jinja = "a Jinja template, as Ansible has them";
        for (text, marked, dialect) in [
            ("{{ name }}\n", "{{ name }}", mustache),
            ("name: {{ name }}-x\n", "{{ name }}", mustache),
            ("name: {{ .Values.x | quote }}\n", "{{ .Values.x | quote }}", go),
            ("a:\n  {{ x }}: 1\n", "{{ x }}", mustache),
            ("{{- if .x }}\na: 1\n{{- end }}\n", "{{- if .x }}", go),
            ("a: 1\n{% if x %}\nb: 1\n{% endif %}\n", "{% if x %}", jinja),
        ] {
            let message = format!("`{marked}` is {dialect}, and not rendered yet");
            check(text, marked, &message, "render it first");
        }
    }

    #[test]
    fn conflicts() {
        for text in [
            "<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> x\n",
            "a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> x\n",
        ] {
            check(
                text,
                "<<<<<<< HEAD",
                "a conflict marker of version control",
                "settle the conflict",
            );
        }
    }
}
