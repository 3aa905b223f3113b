//! Explanations of text that is not YAML, at the place of the mistake.
//!
//! The parser stops where it cannot go on, which is often after the mistake, and speaks of its grammar. Each function
//! here covers one kind of mistake that people make: it finds the place and says what to type.

mod text;

mod stop;

mod quotes;

mod brackets;

mod keys;

mod marks;

mod kind;

use granit_parser::{ErrorKind, Options, ScanError};

use self::brackets::open_bracket;
use self::kind::by_kind;
use self::marks::{conflict_marker, tab, template};
use self::stop::Stop;
use crate::diag::{Code, Diagnostic};
use crate::source::Opened;

/// A diagnostic for the mistake at which, or after which, the parser stopped.
pub(super) fn explain(file: &Opened, error: &ScanError, options: &Options) -> Diagnostic {
    let end = file.text().len();
    let offset = error.marker().byte_offset().unwrap_or(end);
    let offset = file.at(offset..end).bytes().start;
    let stop = Stop::new(file, offset);
    if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
        return too_deep(file, offset);
    }
    conflict_marker(&stop)
        .or_else(|| template(&stop))
        .or_else(|| tab(&stop, error.kind()))
        .or_else(|| open_bracket(&stop, options))
        .unwrap_or_else(|| by_kind(&stop, error))
}

/// A template expression on the line of `offset`, if there is one.
pub(super) fn template_at(file: &Opened, offset: usize) -> Option<Diagnostic> {
    template(&Stop::new(file, offset))
}

/// The error for lists and mappings that are nested deeper than the limit.
pub(super) fn too_deep(file: &Opened, offset: usize) -> Diagnostic {
    Diagnostic::error(
        Code::LimitExceeded,
        &file.at(offset..offset + 1),
        "lists and mappings are nested too deeply",
    )
    .help("move the file out of the policies, or raise `limits.depth` in the settings")
}

#[cfg(test)]
mod tests {
    use crate::diag::{Diagnostics, Place};
    use crate::source::SourceFile;
    use crate::yaml::Limits;
    use crate::yaml::read::Prepared;

    /// Compares the one error in `text`: the marked text, the message and the start of the help.
    fn check(text: &str, marked: &str, message: &str, help: &str) {
        let mut found = Diagnostics::default();
        let file = SourceFile::new("a.yaml", text);
        Prepared::new(&file).read(&Limits::default(), &mut found);
        let found = found.into_sorted();
        let [error] = found.as_slice() else {
            panic!("{text:?}: {found:?}")
        };
        let Place::In(at) = &error.place else {
            panic!("{text:?}: {error:?}")
        };
        let help_found = error.help.as_deref().unwrap_or("");
        assert_eq!((&*at.text(), error.message.as_str()), (marked, message), "{text:?}");
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
        check("a: 1\nb\n", "b", &says("b"), "write a colon after the key: `b:`");
        check(
            "a:1\nb: 2\n",
            "a:1",
            &says("a:1"),
            "put a space after the colon: `a: 1`",
        );
        check(
            "a: 1\nb:2\n",
            "b:2",
            &says("b:2"),
            "put a space after the colon: `b: 2`",
        );
        check(
            "x: 1\nb:\u{a0}2\n",
            "b:\u{a0}2",
            &says("b:\u{a0}2"),
            "the character after the colon is not a plain space; type one: `b: 2`",
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
            "a mapping on the line of `---`",
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
            "`b` is nested below `a: 1`, which already has a value",
            "give both lines the same",
        );
        check(
            "- a\n- b\n c: 1\n",
            "c",
            "`c` is nested below `b`, which already has a value",
            "give both lines the same",
        );
        check(
            "a:\n  b: 1\n c: 2\n",
            "c: 2",
            "an indentation of 1 space matches no line above",
            "indent it by 0 or 2 spaces",
        );
        check(
            "a:\n  - b\n - c\n",
            "- c",
            "an indentation of 1 space matches no line above",
            "indent it by 0 or 2 spaces",
        );
        check(
            "a:\n    b:\n      c: 1\n  d: 2 # x\n",
            "d: 2",
            "an indentation of 2 spaces matches no line above",
            "indent it by 0 or 4 spaces",
        );
        check(
            "a: 1\n- b\n",
            "- b",
            "expected `key: value`, found a list item",
            "put the list below a key",
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
            "a list cannot start on the line of its key",
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
            "text after the closing quote",
            "inside such quotes write `''`",
        );
        check(
            "a: \"b\"c # d\n",
            "c",
            "text after the closing quote",
            "inside such quotes write `\\\"`",
        );
        check(
            "a: \"C:\\x64\\q\"\n",
            "\\q",
            "`\\q` is not an escape in YAML",
            "write `\\\\` for a backslash",
        );
        check(
            "a: \"\\u12g\"\n",
            "\\u12",
            "`\\u12` is not an escape in YAML",
            "write `\\\\` for a backslash",
        );
        check(
            "a: \"\\ud800\"\n",
            "\\ud800",
            "`\\ud800` is not an escape in YAML",
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
            "a `,` where a value is expected",
            "remove it, or quote",
        );
        check("a: [b]c\n", "c", "text after the end of a value", "remove it, or quote");
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
            "text on the line of `|`",
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
            "`*b` refers to a value named `&b`, and there is none before it",
            "put `&b` before that value, or quote it: \"*b\"",
        );
        check(
            "a: &x\n  b: *x\n",
            "*x",
            "`*x` is used inside the value that it names",
            "write the value out",
        );
    }

    #[test]
    fn documents() {
        check(
            "[x]\na = 1\n",
            "a = 1",
            "text after the end of a document",
            "start a new document",
        );
        check(
            "a: 1\n... b\n",
            "b",
            "text after `...`, which ends a document",
            "start the next document",
        );
        check(
            "%YAML 1.2\na: 1\n",
            "%YAML 1.2",
            "a directive (a line that starts with `%`) without a document after it",
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
                "resolve the conflict",
            );
        }
    }
}
