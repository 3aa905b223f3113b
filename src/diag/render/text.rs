//! Findings as text, for people: message, excerpt of the file, help.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::limit::{limit_of_file, limit_per_code};
use crate::diag::{Code, Diagnostic, Place, Severity};
use crate::source::Location;
use crate::system::parallel;
use crate::words::{below, plural, printable};

/// The findings as text, each with an excerpt, in the order given. At most `per_file` findings of a file are shown,
/// the others are counted.
///
/// `root` is put before every path, so that a terminal can open it. With `color` the text carries ANSI
/// colours and is otherwise the same.
#[must_use]
pub fn render(diagnostics: &[Arc<Diagnostic>], root: &str, per_file: usize, color: bool) -> String {
    in_parts(diagnostics, root, per_file, color).collect()
}

/// The number of files whose findings are one part of [`in_parts`].
const FILES_OF_PART: usize = 1024;

/// The text that [`render`] makes, in parts, of which each is made when the one before was taken: for many findings.
pub fn in_parts<'d>(
    diagnostics: &'d [Arc<Diagnostic>],
    root: &'d str,
    per_file: usize,
    color: bool,
) -> impl Iterator<Item = String> + 'd {
    let mut files = diagnostics.chunk_by(|a, b| a.file() == b.file());
    iter::from_fn(move || {
        let part: Vec<&[Arc<Diagnostic>]> = files.by_ref().take(FILES_OF_PART).collect();
        (!part.is_empty()).then(|| part_of(&part, root, per_file, color))
    })
}

fn part_of(files: &[&[Arc<Diagnostic>]], root: &str, per_file: usize, color: bool) -> String {
    let threads = parallel::threads_for(files.len());
    parallel::map("showing findings", files, threads, |all| {
        let mut out = String::new();
        let of_file = limit_of_file(all, per_file);
        for diagnostic in &of_file.shown {
            out.push_str(&one(diagnostic, root, color));
            out.push('\n');
        }
        if let (rest @ 1.., Some(file)) = (of_file.left_out, of_file.file) {
            let _ = writeln!(out, "... and {rest} more in {}", printable(&below(root, file)));
        }
        out
    })
    .concat()
}

/// The first ten findings of each code as [`render`] shows them, or of warnings the first if there are many, with the numbers
/// of the others: for commands that do something else than to check.
#[must_use]
pub fn brief(diagnostics: &[Arc<Diagnostic>], root: &str, per_file: usize, color: bool) -> String {
    let is_many = diagnostics.len() > MANY;
    let limited = limit_per_code(diagnostics, |finding| match finding.severity {
        Severity::Warning if is_many => 1,
        Severity::Warning | Severity::Error => PER_CODE,
    });
    let shown: Vec<Arc<Diagnostic>> = limited.shown.into_iter().cloned().collect();
    render(&shown, root, per_file, color) + &left_out(&limited.left_out)
}

/// The number of findings of one code that a brief text shows.
pub const PER_CODE: usize = 10;

/// The number of findings beyond which one warning of each code is enough.
const MANY: usize = 20;

/// A line with the numbers of findings that a brief text leaves out; empty without any.
#[must_use]
pub fn left_out(counts: &BTreeMap<Code, usize>) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let counts: Vec<String> = (counts.iter())
        .map(|(code, n)| format!("{n} more `{}`", code.as_str()))
        .collect();
    format!("... and {}; `meshtraced check` shows all\n", counts.join(", "))
}

/// A line that counts the findings: `3 errors, 1 warning in 2 files`; `None` if there are none.
#[must_use]
pub fn count(diagnostics: &[Arc<Diagnostic>]) -> Option<String> {
    let of = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let parts = [(of(Severity::Error), "error"), (of(Severity::Warning), "warning")];
    let parts: Vec<String> = (parts.iter().filter(|(n, _)| *n > 0))
        .map(|&(n, word)| plural(n, word))
        .collect();
    let files: BTreeSet<&str> = diagnostics
        .iter()
        .filter_map(|finding| finding.file())
        .filter(|file| !file.is_empty())
        .collect();
    match (parts.is_empty(), files.len()) {
        (true, _) => None,
        (false, 0) => Some(parts.join(", ")),
        (false, n) => Some(format!("{} in {}", parts.join(", "), plural(n, "file"))),
    }
}

/// The text as [`printable`] makes it, with its line ends kept.
fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// One finding with its excerpt, without a line end.
pub(super) fn one(diagnostic: &Diagnostic, root: &str, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let message = printable(&diagnostic.message);
    let help = diagnostic.help.as_deref().map(printable_lines);
    let title = level.primary_title(message).id(diagnostic.code.as_str());
    let place = match &diagnostic.place {
        Place::In(at) => Some((at, at.file.text())),
        Place::File(_) | Place::Nowhere => None,
    };
    let line = place.as_ref().map(|(at, whole)| Line::of(at, whole));
    let path = diagnostic.file().map(|file| printable(&below(root, file)));
    let mut group = Group::with_title(title);
    match (&line, path) {
        (Some(line), path) => {
            let excerpt = Snippet::source(line.text)
                .line_start(line.number)
                .path(path)
                .annotation(AnnotationKind::Primary.span(line.marked.clone()));
            group = group.element(excerpt);
        }
        (None, Some(path)) => group = group.element(Origin::path(path)),
        (None, None) => {}
    }
    if let Some(help) = &help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).render(&[group])
}

/// The first line of a location, and the range to underline in it.
struct Line<'a> {
    text: &'a str,
    number: usize,
    marked: Range<usize>,
}

impl<'a> Line<'a> {
    fn of(at: &Location, whole: &'a str) -> Self {
        let is_break = |c| c == '\n' || c == '\r';
        let start = whole[..at.bytes().start].rfind(is_break).map_or(0, |i| i + 1);
        let start = if whole[start..].starts_with('\u{feff}') {
            start + '\u{feff}'.len_utf8()
        } else {
            start
        };
        let end = whole[start..].find(is_break).map_or(whole.len(), |i| start + i);
        let marked = at.bytes().start.clamp(start, end)..at.bytes().end.clamp(start, end);
        Self {
            text: &whole[start..end],
            number: at.line(),
            marked: marked.start - start..marked.end - start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceFile;

    fn check(text: &str, marked: &str, expected: &str) {
        let start = text.find(marked).expect("the marked text is in the file");
        let at = Location::new(&SourceFile::new("checkout.yaml", text), start..start + marked.len());
        let diagnostic = Diagnostic::error(Code::SamplingOutOfRange, &at, "`sampling` is 250, outside 0..=100")
            .help("25 keeps one request in four");
        assert_eq!(render(&[Arc::new(diagnostic)], "policies/", 20, false), expected);
    }

    #[test]
    fn an_excerpt_marks_the_scalar() {
        check(
            "a: 1\nsampling: 250\r\n",
            "250",
            "error[sampling-out-of-range]: `sampling` is 250, outside 0..=100
 --> policies/checkout.yaml:2:11
  |
2 | sampling: 250
  |           ^^^
  |
  = help: 25 keeps one request in four
",
        );
    }

    #[test]
    fn a_location_over_several_lines_marks_its_first() {
        let text = "\u{feff}a: [1,\n 2]\n";
        let at = Location::new(&SourceFile::new("a.yaml", text), 3..text.len());
        let shown = render(
            &[Arc::new(Diagnostic::warning(Code::WrongType, &at, "no"))],
            "",
            20,
            false,
        );
        assert!(
            shown.contains("a.yaml:1:1\n") && shown.contains("1 | a: [1,\n  | ^^^^^^"),
            "{shown}"
        );
    }
}
