//! Which files of a directory are read.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// The names that files with policies end with, in any case.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Files and directories that one root shows through links, each as often as it is seen: more are no policies, but links
/// that multiply each other.
pub(super) const LINKED: usize = 100_000;

/// Patterns for paths below a directory; `*` stays within a directory, `**` does not.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Files that are read; `None` for those with the usual extensions.
    include: Option<GlobSet>,
    /// Files that are left out all the same.
    exclude: GlobSet,
    /// Directories that are left out as a whole.
    pruned: GlobSet,
    /// The patterns as they are written: included and excluded.
    patterns: (Option<Vec<String>>, Vec<String>),
}

/// A pattern that is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(globset::Error);

impl Filter {
    /// A filter that leaves `exclude` out of `include`; without `include` all files with the usual extensions.
    ///
    /// # Errors
    /// When one of the patterns is no glob.
    pub fn new(include: Option<Vec<String>>, exclude: Vec<String>) -> Result<Self, PatternError> {
        let whole_directories = exclude.iter().filter_map(|pattern| pattern.strip_suffix("/**"));
        Ok(Self {
            include: include
                .as_deref()
                .map(|patterns| set(patterns.iter().map(String::as_str)))
                .transpose()?,
            exclude: set(exclude.iter().map(String::as_str))?,
            pruned: set(whole_directories)?,
            patterns: (include, exclude),
        })
    }

    /// Whether a file is read, by its path below the root.
    #[must_use]
    pub fn reads(&self, path: &Path) -> bool {
        let included = match &self.include {
            Some(include) => include.is_match(path),
            None => has_extension(path),
        };
        included && !self.exclude.is_match(path)
    }

    /// Whether a directory is entered, by its path below the root.
    #[must_use]
    pub fn enters(&self, path: &Path) -> bool {
        !self.pruned.is_match(path)
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for Filter {}

fn set<'p>(patterns: impl Iterator<Item = &'p str>) -> Result<GlobSet, PatternError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(
            GlobBuilder::new(pattern)
                .literal_separator(true)
                .build()
                .map_err(PatternError)?,
        );
    }
    set.build().map_err(PatternError)
}

fn has_extension(path: &Path) -> bool {
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(include: Option<&[&str]>, exclude: &[&str], read: &[&str], left: &[&str]) {
        let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>();
        let filter = Filter::new(include.map(owned), owned(exclude)).expect("globs");
        for path in read {
            assert!(filter.reads(Path::new(path)), "{path}");
        }
        for path in left {
            assert!(!filter.reads(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn patterns_choose_files() {
        check(None, &[], &["a.yaml", "x/b.YML", "c.json"], &["d.txt", "yaml"]);
        check(
            Some(&["mesh/**/*.yaml"]),
            &[],
            &["mesh/a.yaml", "mesh/b/c.yaml"],
            &["a.yaml", "mesh/a.yml"],
        );
        check(Some(&["*.yaml"]), &[], &["a.yaml"], &["b/a.yaml"]);
        check(
            None,
            &["charts/**", "**/*.tpl.yaml"],
            &["a.yaml"],
            &["charts/a.yaml", "x/a.tpl.yaml"],
        );
        let filter = Filter::new(None, vec!["charts/**".to_owned()]).expect("a glob");
        assert!(!filter.enters(Path::new("charts")) && filter.enters(Path::new("chart")));
        assert!(Filter::new(None, vec!["a[".to_owned()]).is_err());
    }
}
