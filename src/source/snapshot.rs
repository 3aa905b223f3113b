//! A snapshot: the files of one moment.

use std::sync::Arc;

use super::base::BaseFiles;
use super::commit::Commit;
use super::file::{SourceFile, Unreadable};
use super::read_mode::ReadMode;
use super::source_files::SourceFiles;
use crate::keep::Text;

/// The source files of one moment, sorted by path.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The files with their texts.
    pub files: SourceFiles,
    /// The files whose text is unavailable.
    pub unreadable: Vec<Unreadable>,
    /// The origin of the files of each root, in the order of the roots. Origins are for people: nothing that is
    /// compiled depends on them.
    pub origins: Vec<ReadOrigin>,
    /// The files of Envoys that somebody configured.
    pub bases: BaseFiles,
}

/// The mode, link and commit by which a root was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOrigin {
    pub(super) mode: ReadMode,
    /// The id of the commit in the target of the root's link, as git-sync makes it.
    pub(super) link: Option<String>,
    /// The commit, if there is one and the caller wanted it.
    pub commit: Option<Commit>,
}

impl Snapshot {
    /// The commit of the first root that has one.
    #[must_use]
    pub fn commit(&self) -> Option<&Commit> {
        self.origins.iter().find_map(|origin| origin.commit.as_ref())
    }

    /// The prefix with which the paths of files are those in the tree of their commit; empty without a commit, or for several
    /// sources, whose names the paths begin with.
    #[must_use]
    pub fn prefix_in_commit(&self) -> String {
        let [
            ReadOrigin {
                mode: ReadMode::Git { below, .. },
                ..
            },
        ] = self.origins.as_slice()
        else {
            return String::new();
        };
        let is_file = |file: &Arc<SourceFile>| below.file_name().is_some_and(|name| *name == *file.path);
        let directory = match below.parent() {
            Some(parent) if self.files.len() == 1 && self.files.iter().all(is_file) => parent,
            _ => below,
        };
        match directory.to_string_lossy() {
            empty if empty.is_empty() => String::new(),
            path => format!("{path}/"),
        }
    }

    /// The name of a snapshot with the given [`revision`](Self::revision) for people: its commit, the target of its
    /// link, or that revision.
    #[must_use]
    pub fn describe(&self, revision: &str) -> String {
        let link = self.origins.iter().find_map(|origin| origin.link.clone());
        match (self.commit(), link) {
            // One commit can have several texts when files are modified.
            (Some(commit), _) if commit.is_modified => format!("{}{}", commit.name(), &revision[..6]),
            (Some(commit), _) => commit.name(),
            (None, Some(link)) => link,
            (None, None) => revision.to_owned(),
        }
    }

    /// The number of files, with or without a text.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len() + self.unreadable.len()
    }

    /// Whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A snapshot of texts in memory, for tests and tools.
    #[must_use]
    pub fn from_texts<P: Into<Text>, T: Into<String>>(files: impl IntoIterator<Item = (P, T)>) -> Self {
        let files = files.into_iter().map(|(path, text)| SourceFile::new(path, text));
        Self {
            files: files.collect(),
            ..Self::default()
        }
    }

    /// The snapshot with the text of a base file in memory, for tests and tools.
    #[must_use]
    pub fn with_base(mut self, path: &str, text: &str) -> Self {
        let file = SourceFile::new(path, text);
        self.bases = BaseFiles::new(&[file], Vec::new());
        self
    }

    /// Sorts unreadable entries by path.
    pub fn sort(&mut self) {
        self.unreadable.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// A short hash of all paths and texts: equal files give equal revisions.
    #[must_use]
    pub fn revision(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.files.digest());
        for file in self.bases.texts() {
            hasher.update(file.digest().as_bytes());
        }
        for unreadable in self.unreadable.iter().chain(self.bases.unreadable()) {
            hasher.update(blake3::hash(unreadable.path.as_bytes()).as_bytes());
            hasher.update(blake3::hash(unreadable.reason.to_string().as_bytes()).as_bytes());
        }
        hasher.finalize().to_hex()[..12].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_depends_on_texts_and_paths_and_not_on_their_order() {
        let revision = |files: &[(&str, &str)]| Snapshot::from_texts(files.iter().map(|&(p, t)| (p, t))).revision();
        let one = revision(&[("a", "1"), ("b", "2")]);
        assert_eq!(one, revision(&[("b", "2"), ("a", "1")]));
        assert_ne!(one, revision(&[("a", "12"), ("b", "")]));
        assert_ne!(one, revision(&[("a", "1"), ("c", "2")]));
    }
}
