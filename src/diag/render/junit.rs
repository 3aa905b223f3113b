//! Findings as JUnit's XML, which most CI systems show: a suite per file, a case per finding.

use std::fmt::Write as _;

use super::limit::FileFindings;
use super::text;
use crate::diag::{Diagnostic, Place, Severity};
use crate::words::below;

/// The report as XML. Findings of severity `least` or above are failures, others are test cases that pass; each file
/// of `clean` is one test case that passes.
#[must_use]
pub fn render(files: &[FileFindings], clean: &[&str], root: &str, least: Severity) -> String {
    let fails = |finding: &Diagnostic| finding.severity >= least;
    let suites: Vec<String> = files
        .iter()
        .map(|of_file| {
            let failures = of_file.shown.iter().filter(|finding| fails(finding)).count();
            let file = of_file
                .file
                .map_or_else(|| "policies".to_owned(), |file| below(root, file));
            let mut cases: String = of_file
                .shown
                .iter()
                .map(|finding| case(finding, &file, root, fails(finding)))
                .collect();
            if of_file.left_out > 0 {
                let rest = format!("{} more findings", of_file.left_out);
                let _ = writeln!(cases, "    <testcase classname=\"{}\" name=\"{rest}\"/>", escape(&file));
            }
            suite(
                &file,
                of_file.shown.len() + usize::from(of_file.left_out > 0),
                failures,
                &cases,
            )
        })
        .chain(clean.iter().map(|file| {
            let file = below(root, file);
            let case = format!("    <testcase classname=\"{}\" name=\"no findings\"/>\n", escape(&file));
            suite(&file, 1, 0, &case)
        }))
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"meshtraced\">\n{}</testsuites>\n",
        suites.concat()
    )
}

fn suite(file: &str, tests: usize, failures: usize, cases: &str) -> String {
    let file = escape(file);
    format!("  <testsuite name=\"{file}\" tests=\"{tests}\" failures=\"{failures}\">\n{cases}  </testsuite>\n")
}

fn case(finding: &Diagnostic, file: &str, root: &str, fails: bool) -> String {
    let place = match &finding.place {
        Place::In(at) => format!("{}:{} ", at.line(), at.column()),
        Place::File(_) | Place::Nowhere => String::new(),
    };
    let name = escape(&format!("{place}{}", finding.code));
    let excerpt = escape(&(text::one(finding, root, false) + "\n"));
    let inside = if fails {
        let (message, code) = (escape(&finding.message), finding.code);
        format!("<failure type=\"{code}\" message=\"{message}\">{excerpt}</failure>")
    } else {
        format!("<system-out>{excerpt}</system-out>")
    };
    format!(
        "    <testcase classname=\"{}\" name=\"{name}\">{inside}</testcase>\n",
        escape(file)
    )
}

/// The text as XML; characters that XML cannot hold are replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn every_text_fits_into_xml() {
        assert_eq!(escape("a<b>&\"]]>\u{1b}\n"), "a&lt;b&gt;&amp;&quot;]]&gt;\u{fffd}&#10;");
    }
}
