//! Findings as workflow commands, which GitHub's runner turns into annotations of a pull request.

use std::fmt::Write as _;

use super::limit::FileFindings;
use crate::diag::{Diagnostic, Place};
use crate::words::below;

/// One workflow command per finding. `root` is put before every path: annotations need paths from the top of the
/// repository.
#[must_use]
pub fn render(files: &[FileFindings], root: &str) -> String {
    let mut out = String::new();
    for of_file in files {
        for finding in &of_file.shown {
            out.push_str(&one(finding, root));
        }
        if let (1.., Some(file)) = (of_file.left_out, of_file.file) {
            let file = property(&below(root, file));
            let _ = writeln!(out, "::notice file={file}::{} more in this file", of_file.left_out);
        }
    }
    out
}

fn one(finding: &Diagnostic, root: &str) -> String {
    let mut properties = Vec::new();
    if let Some(file) = finding.file() {
        properties.push(format!("file={}", property(&below(root, file))));
    }
    if let Place::In(at) = &finding.place {
        let end = at.end();
        properties.push(format!("line={},endLine={}", at.line(), end.line()));
        // GitHub ignores columns of a range over several lines.
        if at.line() == end.line() {
            properties.push(format!("col={},endColumn={}", at.column(), end.column()));
        }
    }
    properties.push(format!("title={}", property(finding.code.as_str())));
    let help = finding
        .help
        .as_ref()
        .map_or(String::new(), |help| format!("\nhelp: {help}"));
    let message = data(&format!("{}{help}", finding.message));
    format!("::{} {}::{message}\n", finding.severity, properties.join(","))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_the_command() {
        assert_eq!(property("a,b:c%\n"), "a%2Cb%3Ac%25%0A");
        assert_eq!(data("a,b:c%\r\n"), "a,b:c%25%0D%0A");
    }
}
