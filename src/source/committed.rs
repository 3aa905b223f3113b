//! The files of a work tree beside those of the commit that `HEAD` names.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::commit::Commit;
use super::file::{SourceFile, Unreadable, UnreadableReason, show};
use super::git::{GitError, Part, Repository};
use super::known::KnownFiles;

/// The files of a work tree beside those of a commit.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// The id of the commit, if it has any of the files and could be read.
    id: Option<String>,
    /// The files that are as in the commit.
    same: KnownFiles,
    /// The paths below the root at which files and commit differ.
    differing: BTreeSet<PathBuf>,
}

/// The files of a work tree.
#[derive(Clone, Copy)]
pub(super) struct Here<'h> {
    pub(super) files: &'h [Arc<SourceFile>],
    pub(super) unreadable: &'h [Unreadable],
    /// The prefix of their paths.
    pub(super) prefix: &'h str,
    /// The real paths of files that belong to other roots.
    pub(super) others: &'h BTreeSet<PathBuf>,
}

impl Committed {
    /// The comparison of all files with a commit, and the commit with whether they differ; no commit where it has none
    /// of the files, as in a directory that Git ignores. `known` is the comparison before.
    pub(super) fn compare(
        repository: &Repository,
        commit: Commit,
        part: Part,
        here: Here,
        known: &Self,
    ) -> (Self, Option<Commit>) {
        let tree = match repository.read(commit.clone(), part, &known.same) {
            Ok(tree) => tree,
            Err(GitError::Missing { .. }) => return (Self::default(), None),
            Err(_) => {
                let commit = Commit {
                    is_modified: true,
                    ..commit
                };
                return (Self::default(), Some(commit));
            }
        };
        let mut compared = Self {
            id: Some(commit.id.clone()),
            ..Self::default()
        };
        let files = here.files.iter().map(|file| (file.path.as_str(), Ok(file)));
        let unreadable = here.unreadable.iter();
        let unreadable = unreadable.map(|file| (file.path.as_str(), Err(&file.reason)));
        let mut found: HashMap<&str, Result<_, _>> = files.chain(unreadable).collect();
        for committed in tree.files {
            if here.others.contains(&committed.really) {
                continue;
            }
            let name = format!("{}{}", here.prefix, show(&committed.below));
            match (found.remove(name.as_str()), committed.content) {
                // Differences in line ends are Git's own.
                (Some(Ok(file)), Ok(content)) if content.is_of(file) => {
                    compared.same.add(&committed.below, committed.stamp, Arc::clone(file));
                }
                (Some(Err(UnreadableReason::Empty)), Ok(content)) if content.text().is_empty() => {}
                (Some(Err(reason)), Err(_)) if *reason != UnreadableReason::Empty => {}
                _ => drop(compared.differing.insert(committed.below)),
            }
        }
        let rest = found
            .into_keys()
            .map(|name| PathBuf::from(name.strip_prefix(here.prefix).unwrap_or(name)));
        compared.differing.extend(rest);
        let is_modified = !compared.differing.is_empty();
        (compared, Some(Commit { is_modified, ..commit }))
    }

    /// Brings the comparison up to date after changes of files, or to another commit; `None` if that takes a look at all
    /// files. `file` has the file at a path.
    pub(super) fn update<'f>(
        &mut self,
        repository: &Repository,
        part: Part,
        mut changed: BTreeSet<PathBuf>,
        file: impl Fn(&Path) -> Option<&'f Arc<SourceFile>>,
    ) -> Option<Commit> {
        let commit = repository.head().ok()?;
        let before = self.id.replace(commit.id.clone())?;
        let mut files = if before == commit.id {
            Default::default()
        } else {
            repository.difference(&before, &commit, part).ok()??
        };
        changed.retain(|path| !files.contains_key(path));
        files.extend(repository.files_at(&changed, &commit, part).ok()??);
        for (path, committed) in files {
            let is_same = match (file(&path), &committed) {
                (Some(file), Some((content, _))) => content.is_of(file),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            self.same.remove(&path);
            if let (true, Some(file), Some((_, stamp))) = (is_same, file(&path), committed) {
                self.same.add(&path, Some(stamp), Arc::clone(file));
            }
            if is_same {
                self.differing.remove(&path);
            } else {
                self.differing.insert(path);
            }
        }
        let is_modified = !self.differing.is_empty();
        Some(Commit { is_modified, ..commit })
    }
}
