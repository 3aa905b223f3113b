//! Quotes that are not closed, text after them, escapes that YAML does not have.

use granit_parser::{Scanner, StrInput};

use super::stop::Stop;
use super::text::{document_start, first};
use crate::diag::Diagnostic;

/// Advice to quote the text.
pub(super) fn quote_it(text: &str) -> String {
    if text.len() > 60 {
        "put the value between double quotes".to_owned()
    } else {
        format!("quote it: {}", serde_json::Value::from(text))
    }
}

/// A quote that is not closed.
pub(super) fn unclosed_quote(stop: &Stop) -> Diagnostic {
    // For text that goes on with too little indentation the parser names that line; the quote is above.
    let is_quote = |c: char| c == '"' || c == '\'';
    let at = if stop.part(stop.offset..).starts_with(is_quote) {
        stop.offset
    } else {
        let start = document_start(stop.text, stop.offset);
        let quoted = Scanner::new(StrInput::new(stop.part(start..stop.offset)));
        // The scanner stops at the quote, whose scalar it could not finish.
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

pub(super) fn quote_not_closed(stop: &Stop, at: usize) -> Diagnostic {
    let quote = first(stop.part(at..));
    stop.error(at..at + quote.len(), "this quote is not closed")
        .help(format!("close it with `{quote}` on the same line"))
}

/// Text after the closing quote of a scalar.
pub(super) fn behind_quote(stop: &Stop, quote: char, escaped: &str) -> Diagnostic {
    // The quote that closed a scalar of several lines was probably meant to open one.
    let line = stop.line().start;
    if stop.part(line..stop.offset).matches(quote).count() == 1
        && let Some(at) = stop.part(..line).rfind(quote)
    {
        return quote_not_closed(stop, at);
    }
    stop.error(stop.rest(), "text after the closing quote")
        .help(format!("inside such quotes write `{escaped}` for `{quote}`"))
}

/// An invalid escape in the double-quoted scalar at which the parser stopped.
pub(super) fn bad_escape(stop: &Stop) -> Diagnostic {
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
            let message = format!("`{}` is not an escape in YAML", stop.part(at.clone()));
            return stop
                .error(at, message)
                .help("write `\\\\` for a backslash, or use single quotes");
        }
        from = i + 1 + c.len_utf8();
    }
    stop.error(stop.rest(), "an escape that YAML does not have")
        .help("write `\\\\` for a backslash, or use single quotes")
}
