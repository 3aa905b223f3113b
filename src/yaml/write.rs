//! The writer of YAML: text that YAML 1.1, YAML 1.2 and Envoy read as the same value.
//!
//! [`write()`] is for the files that Envoy loads. Readers disagree on what looks harmless: for Envoy and YAML 1.1
//! `on` is a boolean and `007` a number, for others both are text; Envoy silently takes `null` in a string field for
//! an empty string. So the promise rests on three rules:
//!
//! - **Strings** are plain only if they start with an ASCII letter or `_`, go on with ASCII letters, digits and
//!   `_.:/-`, do not end with `:`, and are not a word that has a meaning for some reader. All others are
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

use serde::Serialize;

use super::quote;
use super::serializer::Node;

/// Writes the value as a YAML document in block style.
///
/// # Panics
/// If the value has keys that are not text, or is a variant with data.
#[must_use]
pub fn write<T: Serialize + ?Sized>(value: &T) -> String {
    let mut out = String::new();
    append(&mut out, value);
    out
}

/// Writes the value as [`write()`] does, behind what is there.
///
/// # Panics
/// If the value has keys that are not text, or is a variant with data.
pub fn append<T: Serialize + ?Sized>(out: &mut String, value: &T) {
    value.serialize(Node::document(out)).expect("plain data");
}

/// Writes text as comment lines; nothing in the text can end the comment.
///
/// Every kind of line break starts a new comment line; characters that readers reject even in comments are escaped as
/// in a string.
#[must_use]
pub fn comment(text: &str) -> String {
    let mut out = String::new();
    for line in text.replace("\r\n", "\n").split(quote::is_break) {
        out.push('#');
        if !line.is_empty() {
            out.push(' ');
            quote::escape(&mut out, line, |c| quote::needs_escape(c) && c != '\t');
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::quote::{LONGEST_RESERVED, RESERVED};
    use crate::yaml::serializer::IMPLICIT_KEY_BYTES;
    use serde_json::{Value, json};

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
            assert!(word.len() <= LONGEST_RESERVED);
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
