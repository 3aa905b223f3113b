//! Brackets that are not closed, and commas that are missing between them.

use granit_parser::{Options, Scanner, StrInput, TokenType};

use super::stop::Stop;
use super::text::document_start;
use crate::diag::Diagnostic;

/// A bracket of an earlier line that is still open where the parser stopped.
pub(super) fn open_bracket(stop: &Stop, options: &Options) -> Option<Diagnostic> {
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

pub(super) fn unclosed(stop: &Stop, at: usize, opening: char, closing: char) -> Diagnostic {
    stop.error(at..at + 1, format!("this `{opening}` is not closed"))
        .help(format!("close it with `{closing}`"))
}

/// Two entries between brackets without a comma.
pub(super) fn no_comma(stop: &Stop) -> Diagnostic {
    let line = stop.line();
    let before = stop.part(line.start..stop.offset);
    let start = before.rfind([',', '[', '{']).map_or(line.start, |i| line.start + i + 1);
    let start = start + stop.part(start..).len() - stop.part(start..).trim_start().len();
    let start = start.min(stop.offset);
    let end = stop.offset.max(start + 1);
    stop.error(start..end, "a `,` is missing here")
        .help("put a `,` between the entries, or quote the value if it is text")
}
