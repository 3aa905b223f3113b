//! The writer of YAML: text that YAML 1.1, YAML 1.2 and Envoy read as the same value.
//!
//! [`write()`] is for the files that Envoy loads. Readers disagree on what looks harmless: for Envoy and YAML 1.1
//! `on` is a boolean and `007` a number, for others both are text; Envoy silently takes `null` in a string field for
//! an empty string. So the promise rests on three rules:
//!
//! - **Strings** are plain only if they start with an ASCII letter or `_`, go on with ASCII letters, digits and
//!   `_.:/-`, do not end with `:`, and are not a word that has a meaning for some reader (`RESERVED`). All others are
//!   double-quoted on one line, with the escapes that JSON and YAML share. Characters that a reader might fold, drop or
//!   reject, or that a terminal would obey, are escaped: control characters, line and paragraph separators, byte order
//!   marks, marks of text direction, and code points that are not characters. Keys follow the same rules.
//! - **Integers** are decimal, without sign `+` or leading zeros.
//! - **Floats** have a point, and their exponent has a sign: without these YAML 1.1 reads `1e3` as text. `NaN` and
//!   infinities do not occur, since JSON has none.
//!
//! Envoy has one limit that no spelling lifts: in an untyped field (a `Struct`, such as `node.metadata`) fractions
//! and integers beyond 32 bits are kept as text. Typed fields read both as numbers.
//!
//! The layout is a function of the value: keys in their order, two spaces a level, lists at the column of their
//! key, `{}` and `[]` for empty ones, `\n` at the end of every line, no folded lines.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

/// Words that some version of YAML, or Envoy, reads as something other than text, in upper or lower case.
///
/// `nan`, `inf` and `infinity` are numbers only with a point before them, or for Envoy only in JSON; lenient readers
/// take them for numbers as they are.
const RESERVED: &[&str] = &[
    "true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf", "infinity",
];

/// Longest key, in bytes as written, that is not marked by `?`: readers search at most 1,024 characters for the
/// colon.
const IMPLICIT_KEY_BYTES: usize = 1_000;

/// Writes the value as a YAML document in block style.
#[must_use]
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    node(&mut out, value, 0);
    out
}

/// Writes text as comment lines; nothing in the text can end the comment.
///
/// Every kind of line break starts a new comment line; characters that readers reject even in comments are escaped as
/// in a string.
#[must_use]
pub fn comment(text: &str) -> String {
    let mut out = String::new();
    for line in text.replace("\r\n", "\n").split(is_break) {
        out.push('#');
        if !line.is_empty() {
            out.push(' ');
            escape(&mut out, line, |c| needs_escape(c) && c != '\t');
        }
        out.push('\n');
    }
    out
}

/// Writes a node whose first line has been indented, or started with `- `, up to column `indent`.
fn node(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Array(items) if !items.is_empty() => list(out, items, indent),
        Value::Object(fields) if !fields.is_empty() => map(out, fields, indent),
        _ => {
            scalar(out, value);
            out.push('\n');
        }
    }
}

fn list(out: &mut String, items: &[Value], indent: usize) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            pad(out, indent);
        }
        out.push_str("- ");
        node(out, item, indent + 2);
    }
}

fn map(out: &mut String, fields: &Map<String, Value>, indent: usize) {
    for (i, (key, value)) in fields.iter().enumerate() {
        if i > 0 {
            pad(out, indent);
        }
        let start = out.len();
        string(out, key);
        let explicit = out.len() - start > IMPLICIT_KEY_BYTES;
        if explicit {
            out.insert_str(start, "? ");
            out.push('\n');
            pad(out, indent);
        }
        out.push(':');
        let column = match value {
            Value::Object(fields) if !fields.is_empty() => indent + 2,
            Value::Array(items) if !items.is_empty() && explicit => indent + 2,
            Value::Array(items) if !items.is_empty() => indent,
            _ => {
                out.push(' ');
                node(out, value, indent);
                continue;
            }
        };
        out.push('\n');
        pad(out, column);
        node(out, value, column);
    }
}

/// Writes a node that fits on one line: a scalar, an empty list or an empty mapping.
fn scalar(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(n) => number(out, n),
        Value::String(text) => string(out, text),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

fn number(out: &mut String, number: &Number) {
    let text = number.to_string();
    if number.is_i64() || number.is_u64() {
        out.push_str(&text);
        return;
    }
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

fn string(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else {
        out.push('"');
        escape(out, text, |c| matches!(c, '"' | '\\') || needs_escape(c));
        out.push('"');
    }
}

/// Whether every reader takes the text as a string without quotes.
fn is_plain(text: &str) -> bool {
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().last()) else {
        return false;
    };
    (first.is_ascii_alphabetic() || first == b'_')
        && last != b':'
        && (text.bytes()).all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'/' | b'-'))
        && !RESERVED.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Writes the text with an escape for each character that is `special`.
fn escape(out: &mut String, text: &str, special: impl Fn(char) -> bool) {
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
fn needs_escape(c: char) -> bool {
    let turns_direction = matches!(
        c,
        '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    let no_character = matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    // `is_control` covers DEL and the C1 block, U+0085 (next line) among it.
    !c.is_ascii() && (is_break(c) || c == '\u{feff}' || turns_direction || no_character) || c.is_control()
}

/// Whether the character is a line break in YAML 1.1 or 1.2.
fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn pad(out: &mut String, columns: usize) {
    out.extend(std::iter::repeat_n(' ', columns));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(value: Value, expected: &str) {
        assert_eq!(write(&value), expected, "{value}");
    }

    #[test]
    fn layout() {
        check(
            json!({
                "version_info": "r-0123abcd",
                "resources": [{
                    "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": 15080}},
                    "filter_chains": [{"filters": [{"name": "a"}, {"name": "b"}]}],
                    "none": {"list": [], "map": {}, "null": null},
                }],
                "nested": [["a", ["b"]], [], {}, [{"k": ["v"]}]],
            }),
            r#"version_info: r-0123abcd
resources:
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  address:
    socket_address:
      address: "127.0.0.1"
      port_value: 15080
  filter_chains:
  - filters:
    - name: a
    - name: b
  none:
    list: []
    map: {}
    "null": null
nested:
- - a
  - - b
- []
- {}
- - k:
    - v
"#,
        );
    }

    #[test]
    fn a_document_of_one_value() {
        check(json!({}), "{}\n");
        check(json!([]), "[]\n");
        check(json!(null), "null\n");
        check(json!("---"), "\"---\"\n");
    }

    #[test]
    fn strings_that_stand_plain() {
        for text in [
            "a",
            "_",
            "tracing:zipkin",
            "HTTP_JSON",
            "a.b-c/d:80",
            "nothing",
            "e1",
            "True-ish",
        ] {
            check(json!(text), &format!("{text}\n"));
        }
    }

    #[test]
    fn strings_that_some_reader_takes_for_something_else() {
        for text in [
            "",
            "~",
            "=",
            "<<",
            "-",
            "--",
            "---",
            "...",
            ".",
            ".5",
            ".inf",
            "-.INF",
            ".nan",
            "0",
            "-1",
            "+1",
            "007",
            "0x10",
            "0o7",
            "0b1",
            "1_000",
            "1e3",
            "1E3",
            "1.",
            "1:30",
            "1:30.5",
            "2020-01-01",
            "127.0.0.1",
            "a:",
            "a: b",
            "a #b",
            "a b",
            " a",
            "a ",
            "#a",
            "&a",
            "*a",
            "!a",
            "@a",
            "`a",
            "%a",
            "|",
            ">",
            "'a'",
            "\"a\"",
            "[]",
            "{}",
            "?",
            ":",
            "a,b",
            "a\tb",
            "a\nb",
            "{{ x }}",
            "ä",
            "\u{1f600}",
            "$x",
            "(a)",
            "a=b",
            "a%20b",
        ] {
            check(json!(text), &format!("{}\n", json!(text)));
        }
        for word in RESERVED {
            for word in [
                (*word).to_owned(),
                word.to_uppercase(),
                word[..1].to_uppercase() + &word[1..],
            ] {
                check(json!(word), &format!("\"{word}\"\n"));
            }
        }
        check(json!({"on": 1, "<<": 2, "": 3}), "\"on\": 1\n\"<<\": 2\n\"\": 3\n");
    }

    #[test]
    fn escapes() {
        for (text, expected) in [
            ("\"\\", r#""\"\\""#),
            ("\t\n\r\0\u{1b}\u{7f}", r#""\t\n\r\u0000\u001b\u007f""#),
            (
                "\u{80}\u{85}\u{9f}\u{2028}\u{2029}\u{feff}",
                r#""\u0080\u0085\u009f\u2028\u2029\ufeff""#,
            ),
            ("\u{fffe}\u{ffff}\u{fdd0}\u{1fffe}", r#""\ufffe\uffff\ufdd0\U0001fffe""#),
            ("\u{202e}\u{2066}", r#""\u202e\u2066""#),
            (
                "e\u{301} \u{a0}\u{10fffd}\u{1f600}",
                "\"e\u{301} \u{a0}\u{10fffd}\u{1f600}\"",
            ),
        ] {
            check(json!(text), &format!("{expected}\n"));
        }
    }

    #[test]
    fn numbers() {
        check(
            json!([0, -1, u64::MAX, i64::MIN, 0.5, 100.0, 1e3, 1e300, -2.5e-7, 1e-7, -0.0]),
            "- 0\n- -1\n- 18446744073709551615\n- -9223372036854775808\n- 0.5\n- 100.0\n- 1000.0\n- 1.0e+300\n\
             - -2.5e-7\n- 1.0e-7\n- -0.0\n",
        );
    }

    #[test]
    fn long_keys_stand_behind_a_question_mark() {
        let key = "k".repeat(IMPLICIT_KEY_BYTES + 1);
        let short = "k".repeat(IMPLICIT_KEY_BYTES);
        check(
            json!([{&key: "v"}, {&key: {"a": 1}}, {&key: ["x"]}, {&key: []}, {&short: 1}]),
            &format!(
                "- ? {key}\n  : v\n- ? {key}\n  :\n    a: 1\n- ? {key}\n  :\n    - x\n- ? {key}\n  : []\n- {short}: 1\n"
            ),
        );
    }

    #[test]
    fn nothing_ends_a_comment() {
        for (text, expected) in [
            ("", "#\n"),
            ("made by meshtraced", "# made by meshtraced\n"),
            ("a\n\nb", "# a\n#\n# b\n"),
            ("a\r\nb\rc\u{85}d\u{2028}e\u{2029}f", "# a\n# b\n# c\n# d\n# e\n# f\n"),
            ("\0\u{feff}\u{1b}\t\"\\", "# \\u0000\\ufeff\\u001b\t\"\\\n"),
        ] {
            assert_eq!(comment(text), expected, "{text:?}");
        }
    }
}
