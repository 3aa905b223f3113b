//! The files of one moment.

use std::sync::Arc;

use super::commit::Commit;
use super::file::{SourceFile, Unreadable};
use super::read_mode::ReadMode;

/// The source files of one moment, sorted by path.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Files whose text could be read.
    pub files: Vec<Arc<SourceFile>>,
    /// Files that are there but could not be read.
    pub unreadable: Vec<Unreadable>,
    /// How each root was read, in the order in which they were. For people: nothing of it may reach what is compiled.
    pub origins: Vec<ReadOrigin>,
}

/// How a root was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOrigin {
    pub(super) mode: ReadMode,
    /// The name of the directory that the root leads to, where that is the id of a commit, as git-sync makes it.
    pub(super) link: Option<String>,
    /// The commit, where there is one and it was asked for.
    pub commit: Option<Commit>,
}

impl Snapshot {
    /// The commit of the first root that has one.
    #[must_use]
    pub fn commit(&self) -> Option<&Commit> {
        self.origins.iter().find_map(|origin| origin.commit.as_ref())
    }

    /// The name of this revision for people: that of its commit or of the target of a link, or a hash of the content.
    #[must_use]
    pub fn describe(&self) -> String {
        let link = self.origins.iter().find_map(|origin| origin.link.clone());
        match (self.commit(), link) {
            // More than one text can stand beside a commit.
            (Some(commit), _) if commit.is_modified => format!("{}{}", commit.name(), &self.revision()[..6]),
            (Some(commit), _) => commit.name(),
            (None, Some(link)) => link,
            (None, None) => self.revision(),
        }
    }

    /// How many files there are, whether they could be read or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len() + self.unreadable.len()
    }

    /// Whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A snapshot of texts held in memory, as tests and tools need it.
    #[must_use]
    pub fn from_texts<P: Into<String>, T: Into<String>>(files: impl IntoIterator<Item = (P, T)>) -> Self {
        let files = files.into_iter().map(|(path, text)| SourceFile::new(path, text));
        let mut snapshot = Self {
            files: files.collect(),
            ..Self::default()
        };
        snapshot.sort();
        snapshot
    }

    /// Brings files and unreadable entries into the order of their paths.
    pub fn sort(&mut self) {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.unreadable.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// A short hash of all paths and texts: the same files give the same revision.
    #[must_use]
    pub fn revision(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for file in &self.files {
            part(file.path.as_bytes());
            part(file.text.as_bytes());
            for (name, value) in file.vars.iter().flatten() {
                part(name.as_bytes());
                part(value.as_bytes());
            }
        }
        for unreadable in &self.unreadable {
            part(unreadable.path.as_bytes());
            part(unreadable.reason.to_string().as_bytes());
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
