//! The filter that chooses the files of a directory.

use std::ffi::OsStr;
use std::path::Path;

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The usual extensions of policy files, in any case of letters.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// The limit on files and directories that one root reaches through links, counted as often as they are reached.
/// Beyond it, links multiply each other.
pub(super) const LINKED: usize = 100_000;

/// Globs for paths below a root; `*` and `?` stay within a directory, `**` does not.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
#[schemars(with = "Vec<String>")]
pub struct Patterns {
    texts: Vec<String>,
    set: GlobSet,
}

/// The choice of the files that are read in a directory.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The files that are read; `None` means those with the usual extensions.
    include: Option<Patterns>,
    /// The files that are left out, even where `include` fits.
    exclude: Patterns,
    /// The directories that are left out as a whole.
    pruned: GlobSet,
}

/// The reason why a text is not a glob.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(globset::Error);

impl TryFrom<Vec<String>> for Patterns {
    type Error = PatternError;

    fn try_from(texts: Vec<String>) -> Result<Self, PatternError> {
        let set = set(texts.iter().map(String::as_str))?;
        Ok(Self { texts, set })
    }
}

impl From<Patterns> for Vec<String> {
    fn from(patterns: Patterns) -> Self {
        patterns.texts
    }
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

impl Eq for Patterns {}

impl Filter {
    /// A filter for the files of `include` without those of `exclude`.
    #[must_use]
    pub fn new(include: Option<Patterns>, exclude: Patterns) -> Self {
        let whole_directories = exclude.texts.iter().filter_map(|pattern| pattern.strip_suffix("/**"));
        Self {
            include,
            // An optimization only: in any other directory the files are left out one by one.
            pruned: set(whole_directories).unwrap_or_default(),
            exclude,
        }
    }

    /// Whether a file is read, by its path below the root.
    #[must_use]
    pub fn reads(&self, path: &Path) -> bool {
        let included = match &self.include {
            Some(include) => include.set.is_match(path),
            None => has_extension(path),
        };
        included && !self.exclude.set.is_match(path)
    }

    /// Whether globs choose the files, rather than their extensions.
    #[must_use]
    pub fn has_include(&self) -> bool {
        self.include.is_some()
    }

    /// The globs of `include` that match none of the paths, each below its root.
    #[must_use]
    pub fn unmatched<'p>(&self, paths: impl Iterator<Item = &'p Path>) -> Vec<GlobMatcher> {
        let Some(include) = &self.include else {
            return Vec::new();
        };
        let mut is_matched = vec![false; include.texts.len()];
        for path in paths {
            include.set.matches(path).into_iter().for_each(|i| is_matched[i] = true);
        }
        let unmatched = include
            .texts
            .iter()
            .zip(is_matched)
            .filter(|(_, is_matched)| !is_matched);
        let glob = |text: &String| Some(glob(text).ok()?.compile_matcher());
        unmatched.filter_map(|(text, _)| glob(text)).collect()
    }

    /// Whether a file or directory is left out by name, whatever it is.
    #[must_use]
    pub fn leaves_out(&self, path: &Path) -> bool {
        self.exclude.set.is_match(path) || self.pruned.is_match(path)
    }

    /// Whether a directory is entered, by its path below the root.
    #[must_use]
    pub fn enters(&self, path: &Path) -> bool {
        !self.pruned.is_match(path)
    }

    /// Whether all directories above a path are entered, and none of its parts is hidden.
    pub(super) fn reaches(&self, path: &Path) -> bool {
        path.iter().all(|name| !is_hidden(name)) && above(path).all(|above| self.enters(above))
    }

    /// Whether the file at a path is read, by the names of the file and of the directories above.
    pub(super) fn wants(&self, path: &Path) -> bool {
        self.reaches(path) && self.reads(path)
    }
}

/// Whether files and directories of a name are passed over.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// The directories above a path that lies below a root.
pub(super) fn above(path: &Path) -> impl Iterator<Item = &Path> {
    let above = path.ancestors().skip(1);
    above.filter(|above| !above.as_os_str().is_empty())
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.include == other.include && self.exclude == other.exclude
    }
}

impl Eq for Filter {}

fn set<'p>(patterns: impl Iterator<Item = &'p str>) -> Result<GlobSet, PatternError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(glob(pattern)?);
    }
    set.build().map_err(PatternError)
}

fn glob(pattern: &str) -> Result<Glob, PatternError> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.map_err(PatternError)
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

    fn patterns(texts: &[&str]) -> Patterns {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        texts.try_into().expect("globs")
    }

    fn check(include: Option<&[&str]>, exclude: &[&str], read: &[&str], left: &[&str]) {
        let filter = Filter::new(include.map(patterns), patterns(exclude));
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
        let filter = Filter::new(None, patterns(&["charts/**"]));
        assert!(!filter.enters(Path::new("charts")) && filter.enters(Path::new("chart")));
        assert!(Patterns::try_from(vec!["a[".to_owned()]).is_err());
    }
}
