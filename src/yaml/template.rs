//! Templates in YAML: Mustache variables, which are filled in, and the templates of other tools, which are not.
//!
//! Variables are filled in after parsing, not before: each `{{ name }}` is covered with text of the same length that
//! has no meaning in YAML, and the value replaces the cover in the parsed scalar. So every location in the tree is
//! one of the file, and a value stays the scalar, or the part of a scalar, in whose place it was written, whatever it
//! contains.

use std::ops::Range;

use crate::diag::{Code, Diagnostic};
use crate::source::{Location, Opened, Vars};

/// The text of a file in which every variable is covered.
pub(super) struct Covered {
    /// The text, of the same length as the file.
    pub(super) text: String,
    /// The first character of every cover, which is nowhere else in the file.
    mark: char,
    /// The range of each cover, in their order, with the value that replaces it.
    covers: Vec<(Range<usize>, String)>,
}

/// Covers the variables of a file that has values for them.
///
/// # Errors
/// One finding for every expression that is not a variable, or a variable without a value.
pub(super) fn cover(file: &Opened, vars: &Vars) -> Result<Covered, Vec<Diagnostic>> {
    let whole = file.text();
    let mut findings = Vec::new();
    let mut covers = Vec::new();
    let mut at = 0;
    while let Some(expression) = expression(whole, at) {
        at = expression.end;
        match value(file, vars, expression.clone()) {
            Ok(value) => covers.push((expression, value)),
            Err(finding) => findings.push(*finding),
        }
    }
    let mark = ('\u{e000}'..='\u{f8ff}').find(|&mark| !whole.contains(mark));
    let Some(mark) = mark.filter(|_| findings.is_empty()) else {
        return Err(findings);
    };
    let mut text = String::with_capacity(whole.len());
    let mut done = 0;
    for (range, _) in &covers {
        text.push_str(&whole[done..range.start]);
        text.push(mark);
        // Letters, since spaces and punctuation have a meaning in YAML.
        text.extend(std::iter::repeat_n('x', range.len() - mark.len_utf8()));
        done = range.end;
    }
    text.push_str(&whole[done..]);
    Ok(Covered { text, mark, covers })
}

impl Covered {
    /// The text of the scalar at `bytes`, with values in place of covers.
    pub(super) fn fill(&self, text: String, bytes: &Range<usize>) -> String {
        if !text.contains(self.mark) {
            return text;
        }
        let first = self.covers.partition_point(|(range, _)| range.start < bytes.start);
        let mut covers = self.covers[first..].iter();
        let mut filled = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once(self.mark) {
            filled.push_str(before);
            let Some((range, value)) = covers.next() else { break };
            filled.push_str(value);
            rest = after.get(range.len() - self.mark.len_utf8()..).unwrap_or("");
        }
        filled.push_str(rest);
        filled
    }
}

/// The range of the next `{{ ... }}` or `{{{ ... }}}` after `from`; to the end of the text if it is not closed.
fn expression(text: &str, from: usize) -> Option<Range<usize>> {
    let start = from + text[from..].find("{{")?;
    let close = if text[start..].starts_with("{{{") { "}}}" } else { "}}" };
    let end = text[start..]
        .find(close)
        .map_or(text.len(), |i| start + i + close.len());
    Some(start..end)
}

/// The value of the variable in an expression; empty for a comment.
fn value(file: &Opened, vars: &Vars, range: Range<usize>) -> Result<String, Box<Diagnostic>> {
    let at = file.at(range.clone());
    let written = &file.text()[range];
    let inside = written.trim_start_matches('{').trim_end_matches('}').trim();
    if !written.ends_with("}}") {
        let finding = Diagnostic::error(
            Code::SyntaxError,
            &file.at(at.bytes().start..at.bytes().start + 2),
            "`{{` without `}}`",
        );
        return Err(Box::new(finding.help("close the variable: `{{ name }}`")));
    }
    if inside.starts_with('!') {
        return Ok(String::new());
    }
    let name = inside.strip_prefix('&').unwrap_or(inside).trim();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "._-".contains(c));
    if !is_name || name.starts_with('.') || name.starts_with('-') {
        let message = format!("`{written}` is not a variable; only variables are filled in");
        let finding = Diagnostic::error(Code::UnrenderedTemplate, &at, message);
        return Err(Box::new(
            finding.help("render the file first, and leave out its `vars`"),
        ));
    }
    if let Some(value) = vars.get(name) {
        return Ok(value.clone());
    }
    let finding = Diagnostic::error(
        Code::MissingVariable,
        &at,
        format!("the variable `{name}` has no value"),
    );
    let known: Vec<&str> = vars.keys().map(String::as_str).collect();
    let help = match crate::words::closest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => "`vars` of this source in the settings is empty".to_owned(),
        None => format!("`vars` of this source in the settings has: {}", known.join(", ")),
    };
    Err(Box::new(finding.help(help)))
}

/// The dialect of `{{ name }}`.
const MUSTACHE: &str = "a Mustache or Jinja template";

/// Whether a dialect is one whose variables may have been filled in here.
pub(crate) fn is_mustache(dialect: &str) -> bool {
    dialect == MUSTACHE
}

/// The first template expression in a text, and its dialect.
pub(crate) fn find(text: &str) -> Option<(Range<usize>, &'static str)> {
    let braces = text.find("{{").map(|start| {
        let end = text[start..].find("}}").map_or(text.len(), |i| start + i + 2);
        let written = &text[start..end];
        let words = [
            "if ",
            "end",
            "else",
            "range ",
            "with ",
            "define ",
            "template ",
            "include ",
            "block ",
        ];
        let inside = written.trim_start_matches(['{', '-']).trim_start();
        let is_go = written.starts_with("{{-")
            || written.contains(" .")
            || written.contains("{{.")
            || inside.starts_with(['$', '"'])
            || written.contains(" \"")
            || words.iter().any(|word| inside.starts_with(word));
        let dialect = if is_go || written.contains("| ") {
            "a Go template, as Helm has them"
        } else {
            MUSTACHE
        };
        (start..end, dialect)
    });
    let percent = text.find("{%").map(|start| {
        let end = text[start..].find("%}").map_or(text.len(), |i| start + i + 2);
        (start..end, "a Jinja template, as Ansible has them")
    });
    let dollar = dollar(text).map(|range| (range, "for envsubst, a shell or Terraform to fill in"));
    let reference =
        reference(text).map(|range| (range, "for Kubernetes to fill in from the environment of a container"));
    [braces, percent, dollar, reference]
        .into_iter()
        .flatten()
        .min_by_key(|(range, _)| range.start)
}

/// The range of `$(NAME)`.
fn reference(text: &str) -> Option<Range<usize>> {
    let start = text.find("$(")?;
    let name = text[start + 2..].split(')').next()?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    let end = start + 2 + name.len();
    (is_name && text[end..].starts_with(')')).then_some(start..end + 1)
}

/// The range of `${NAME}` or `${path.to.name}`, or of `$NAME` if it is the whole text.
fn dollar(text: &str) -> Option<Range<usize>> {
    let is_bare = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    if text.strip_prefix('$').is_some_and(is_bare) {
        return Some(0..text.len());
    }
    let mut from = 0;
    while let Some(start) = text[from..].find("${").map(|i| from + i) {
        let inside = &text[start + 2..];
        let name = inside.split('}').next().unwrap_or_default();
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.:-[]\"".contains(c));
        if is_name && name.len() < inside.len() {
            return Some(start..start + 2 + name.len() + 1);
        }
        from = start + 2;
    }
    None
}

/// The finding for a template expression that nobody has rendered.
pub(crate) fn unrendered(at: &Location, dialect: &str) -> Diagnostic {
    let message = format!("`{}` is {dialect}, and not rendered yet", at.text().trim_end());
    let finding = Diagnostic::error(Code::UnrenderedTemplate, at, message);
    finding.help(if is_mustache(dialect) {
        "render it first, or give its variables values in the settings: `vars` of a source"
    } else {
        "render it first"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, vars: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let vars: Vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let file = crate::source::SourceFile::with_vars("a.yaml", text, Some(vars));
        let mut diagnostics = crate::diag::Diagnostics::default();
        let (prepared, limits) = (crate::yaml::read::Prepared::new(&file), crate::yaml::Limits::default());
        let stream = prepared.read(&limits, &mut diagnostics);
        if let Some(first) = diagnostics.into_sorted().first() {
            return Err(format!("{}: {}", first.code, first.message));
        }
        let document = stream.documents.first().ok_or("nothing")?;
        let crate::yaml::Value::Map(map) = &document.root.value else {
            return Err("no map".to_owned());
        };
        let pair = |entry: &crate::yaml::Entry| {
            (
                entry.key.text.to_string(),
                crate::yaml::json::of(&entry.value).to_string(),
            )
        };
        Ok(map.entries.iter().map(pair).collect())
    }

    fn check(text: &str, vars: &[(&str, &str)], expected: &[(&str, &str)]) {
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(filled(text, vars), Ok(expected), "{text}");
    }

    #[test]
    fn values_are_filled_in_where_variables_stand() {
        let vars = [("name", "web-01"), ("port", "8080"), ("a.b", "x"), ("on", "true")];
        check("n: {{ name }}\n", &vars, &[("n", "\"web-01\"")]);
        check("n: {{name}}-{{{port}}}\n", &vars, &[("n", "\"web-01-8080\"")]);
        check(
            "p: {{ port }}\nq: \"{{ port }}\"\n",
            &vars,
            &[("p", "8080"), ("q", "\"8080\"")],
        );
        check(
            "f: {{&on}}\n{{ a.b }}: '{{! nothing }}'\n",
            &vars,
            &[("f", "true"), ("x", "\"\"")],
        );
        check(
            "t: |\n  a {{ name }}\n  {{ port }}\n",
            &vars,
            &[("t", "\"a web-01\\n8080\\n\"")],
        );
        check(
            "t: >-\n  a {{ name }}\n  {{ port }}\n",
            &vars,
            &[("t", "\"a web-01 8080\"")],
        );
        check("l: [{{ port }}, {{ name }}]\n", &vars, &[("l", "[8080,\"web-01\"]")]);
    }

    #[test]
    fn a_value_stays_the_scalar_that_it_was_written_as() {
        for value in [
            "a: b",
            "x # y",
            "[1",
            "\"",
            "'",
            "- a\nb: c",
            "{{ name }}",
            "\u{e000}xx",
            "",
            "&a",
            "*a",
            "---\n",
        ] {
            let vars = [("v", value)];
            let quoted = serde_json::Value::from(value).to_string();
            check("n: \"{{ v }}\"\nm: 1\n", &vars, &[("n", &quoted), ("m", "1")]);
            let plain = filled("n: {{ v }}\nm: 1\n", &vars).expect("two entries");
            assert_eq!(plain.len(), 2, "{value}");
        }
    }

    #[test]
    fn what_is_no_variable_is_said() {
        let check = |text: &str, expected: &str| {
            let found = filled(text, &[("name", "a")]).expect_err(text);
            assert!(found.contains(expected), "{text}: {found}");
        };
        check("a: {{ nmae }}\n", "missing-variable: the variable `nmae` has no value");
        check(
            "a: {{#name}}x{{/name}}\n",
            "unrendered-template: `{{#name}}` is not a variable",
        );
        check("a: {{ .Values.name }}\n", "unrendered-template");
        check("a: {{ name\n", "`{{` without `}}`");
    }

    #[test]
    fn expressions_of_others_are_found() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(find(text).map(|(range, _)| &text[range]), expected, "{text}");
        };
        check("a {{ b }} c", Some("{{ b }}"));
        check("${IP}:80", Some("${IP}"));
        check("${var.name[0]}", Some("${var.name[0]}"));
        check("{% if a %}", Some("{% if a %}"));
        check("$5 and ${ and $NAME", None);
        check("$CONTAINER_IP", Some("$CONTAINER_IP"));
        check("$5", None);
        check("{ a }", None);
    }
}
