//! The texts of scalars that all readers of YAML agree on; the rules are those of [`write`](super::write).

use std::fmt::Write as _;

use serde_json::Number;

/// Words that some version of YAML, or Envoy, reads as something other than text, in upper or lower case.
///
/// `nan`, `inf` and `infinity` are numbers only with a point before them, or for Envoy only in JSON; lenient readers
/// take them for numbers as they are.
pub(super) const RESERVED: &[&str] = &[
    "true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf", "infinity",
];

/// The length of the longest of these words.
pub(super) const LONGEST_RESERVED: usize = "infinity".len();

/// Writes a number.
pub(super) fn number(out: &mut String, number: &Number) {
    if number.is_i64() || number.is_u64() {
        let _ = write!(out, "{number}");
        return;
    }
    let text = number.to_string();
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, ""));
    out.push_str(mantissa);
    if !mantissa.contains('.') {
        out.push_str(".0");
    }
    if !exponent.is_empty() {
        out.push('e');
        if !exponent.starts_with(['+', '-']) {
            out.push('+');
        }
        out.push_str(exponent);
    }
}

/// Writes a string, plain or quoted.
pub(super) fn string(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else {
        quoted(out, text);
    }
}

/// Writes a string in double quotes.
pub(super) fn quoted(out: &mut String, text: &str) {
    out.push('"');
    // Most strings, such as addresses, are quoted for what they look like and have nothing to escape.
    if text.bytes().all(|b| ALLOWED[usize::from(b)] & QUOTED != 0) {
        out.push_str(text);
    } else {
        escape(out, text, |c| matches!(c, '"' | '\\') || needs_escape(c));
    }
    out.push('"');
}

/// The byte may stand in a plain string.
const PLAIN: u8 = 1;

/// The byte may stand in a quoted string as it is.
const QUOTED: u8 = 2;

/// Where each byte may stand.
const ALLOWED: [u8; 256] = {
    let mut allowed = [0; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'/' | b'-') {
            allowed[byte] = PLAIN | QUOTED;
        } else if !matches!(b, b'"' | b'\\') {
            allowed[byte] = QUOTED;
        }
        byte += 1;
    }
    allowed
};

/// Whether every reader takes the text as a string without quotes.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    (first.is_ascii_alphabetic() || *first == b'_')
        && *last != b':'
        && bytes.iter().all(|b| ALLOWED[usize::from(*b)] & PLAIN != 0)
        && !is_reserved(text, *first)
}

fn is_reserved(text: &str, first: u8) -> bool {
    let begins_as = |word: &str| word.as_bytes()[0] == first.to_ascii_lowercase();
    let is_it = |word: &&str| begins_as(word) && word.eq_ignore_ascii_case(text);
    text.len() <= LONGEST_RESERVED && RESERVED.iter().any(is_it)
}

/// Writes the text with an escape for each character that is `special`.
pub(super) fn escape(out: &mut String, text: &str, special: impl Fn(char) -> bool) {
    let mut rest = text;
    while let Some(at) = rest.find(&special) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let mut chars = from.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\t') => out.push_str("\\t"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            // Not as surrogate pairs, which JSON needs and YAML does not have.
            Some(c) if u32::from(c) > 0xffff => drop(write!(out, "\\U{:08x}", u32::from(c))),
            Some(c) => drop(write!(out, "\\u{:04x}", u32::from(c))),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// Whether some reader folds, drops or rejects the unescaped character, or a terminal obeys it.
pub(super) fn needs_escape(c: char) -> bool {
    let turns_direction = matches!(
        c,
        '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    let no_character = matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    // `is_control` covers DEL and the C1 block, U+0085 (next line) among it.
    !c.is_ascii() && (is_break(c) || c == '\u{feff}' || turns_direction || no_character) || c.is_control()
}

/// Whether the character is a line break in YAML 1.1 or 1.2.
pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}
