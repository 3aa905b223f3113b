//! Limits on findings: of one file, so that one broken file does not bury the others, and of one code, where all of them
//! would bury what was done.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diag::{Code, Diagnostic, Severity};

/// The findings of one file that are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFindings<'a> {
    /// Path of the file; `None` for findings about no file.
    pub file: Option<&'a str>,
    /// The findings within the limit, in the order of the file.
    pub shown: Vec<&'a Diagnostic>,
    /// The number of findings beyond the limit.
    pub left_out: usize,
}

/// The findings of each file, at most `per_file` of them, errors before warnings.
///
/// `diagnostics` must be sorted by file.
#[must_use]
pub fn limit_per_file(diagnostics: &[Arc<Diagnostic>], per_file: usize) -> Vec<FileFindings<'_>> {
    let files = diagnostics.chunk_by(|a, b| a.file() == b.file());
    files.map(|all| limit_of_file(all, per_file)).collect()
}

/// At most `per_file` of the findings of one file, errors before warnings.
pub(super) fn limit_of_file(all: &[Arc<Diagnostic>], per_file: usize) -> FileFindings<'_> {
    let of = |severity| (0..all.len()).filter(move |&i| all[i].severity == severity);
    let mut kept: Vec<usize> = of(Severity::Error)
        .chain(of(Severity::Warning))
        .take(per_file)
        .collect();
    kept.sort_unstable();
    let shown: Vec<&Diagnostic> = kept.into_iter().map(|i| &*all[i]).collect();
    FileFindings {
        file: all.first().and_then(|first| first.file()),
        left_out: all.len() - shown.len(),
        shown,
    }
}

/// The first findings of each code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeFindings<'a> {
    /// The findings within the limit, in the order given.
    pub shown: Vec<&'a Arc<Diagnostic>>,
    /// The number of findings beyond the limit, by code.
    pub left_out: BTreeMap<Code, usize>,
}

/// The first `per_code` findings of each code.
pub fn limit_per_code<'a>(
    diagnostics: impl IntoIterator<Item = &'a Arc<Diagnostic>>,
    per_code: impl Fn(&Diagnostic) -> usize,
) -> CodeFindings<'a> {
    let mut counts: BTreeMap<Code, usize> = BTreeMap::new();
    let mut limited = CodeFindings::default();
    for diagnostic in diagnostics {
        let count = counts.entry(diagnostic.code).or_default();
        *count += 1;
        if *count <= per_code(diagnostic) {
            limited.shown.push(diagnostic);
        } else {
            *limited.left_out.entry(diagnostic.code).or_default() += 1;
        }
    }
    limited
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Place;

    #[test]
    fn errors_are_kept_and_the_rest_is_counted() {
        let finding = |file: &str, severity, message: &str| {
            Arc::new(Diagnostic::new(
                severity,
                Code::UnknownField,
                Place::File(file.to_owned()),
                message,
            ))
        };
        let all = [
            finding("a", Severity::Warning, "1"),
            finding("a", Severity::Warning, "2"),
            finding("a", Severity::Error, "3"),
            finding("b", Severity::Warning, "4"),
        ];
        let cut = limit_per_file(&all, 2);
        let messages = |i: usize| cut[i].shown.iter().map(|d| d.message.as_str()).collect::<Vec<_>>();
        assert_eq!((messages(0), cut[0].left_out), (vec!["1", "3"], 1));
        assert_eq!((messages(1), cut[1].left_out), (vec!["4"], 0));
    }

    #[test]
    fn the_first_of_each_code_are_kept_and_the_rest_is_counted() {
        let finding = |code, message: &str| Arc::new(Diagnostic::new(Severity::Warning, code, Place::Nowhere, message));
        let all = [
            finding(Code::SpanName, "1"),
            finding(Code::SpanName, "2"),
            finding(Code::UnknownField, "3"),
            finding(Code::SpanName, "4"),
        ];
        let limited = limit_per_code(&all, |_| 1);
        let messages: Vec<_> = limited.shown.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(messages, ["1", "3"]);
        assert_eq!(limited.left_out, BTreeMap::from([(Code::SpanName, 2)]));
    }
}
