//! At most so many findings per file, so that one broken file does not bury the others.

use super::{Diagnostic, Severity};

/// The findings of one file that are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfFile<'a> {
    /// Path of the file; `None` for findings about no file.
    pub file: Option<&'a str>,
    /// The findings, in their order.
    pub shown: Vec<&'a Diagnostic>,
    /// How many more there are.
    pub left_out: usize,
}

/// The findings by file, at most `per_file` of each; errors are kept before warnings.
///
/// `diagnostics` are sorted by file already.
#[must_use]
pub fn cut(diagnostics: &[Diagnostic], per_file: usize) -> Vec<OfFile<'_>> {
    let of_file = |all: &'_ [Diagnostic]| -> Vec<usize> {
        let of = |severity| (0..all.len()).filter(move |&i| all[i].severity == severity);
        let mut kept: Vec<usize> = of(Severity::Error)
            .chain(of(Severity::Warning))
            .take(per_file)
            .collect();
        kept.sort_unstable();
        kept
    };
    let chunks = diagnostics.chunk_by(|a, b| a.file() == b.file());
    chunks
        .map(|all| {
            let shown: Vec<&Diagnostic> = of_file(all).into_iter().map(|i| &all[i]).collect();
            OfFile {
                file: all[0].file(),
                left_out: all.len() - shown.len(),
                shown,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Code, Place};
    use super::*;

    #[test]
    fn errors_are_kept_and_the_rest_is_counted() {
        let finding = |file: &str, severity, message: &str| {
            Diagnostic::new(severity, Code::UnknownField, Place::File(file.to_owned()), message)
        };
        let all = [
            finding("a", Severity::Warning, "1"),
            finding("a", Severity::Warning, "2"),
            finding("a", Severity::Error, "3"),
            finding("b", Severity::Warning, "4"),
        ];
        let cut = cut(&all, 2);
        let messages = |i: usize| cut[i].shown.iter().map(|d| d.message.as_str()).collect::<Vec<_>>();
        assert_eq!((messages(0), cut[0].left_out), (vec!["1", "3"], 1));
        assert_eq!((messages(1), cut[1].left_out), (vec!["4"], 0));
    }
}
