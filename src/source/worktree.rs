//! A check that no Git operation changes a work tree while its files are read.
//!
//! Git replaces files one by one, and holds the lock of its index from before the first until after the last. So
//! files that were read while there was no lock before and after, and the same index, were not changed by Git
//! meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::ReadError;
use super::git::{self, Repository};

/// Lock files in the directory of a repository that exist while a command changes files.
const LOCKS: [&str; 2] = ["index.lock", "HEAD.lock"];

/// Files and directories that exist while an operation is under way, with the name of the operation.
const OPERATIONS: [(&str, &str); 7] = [
    ("rebase-merge", "a rebase"),
    ("rebase-apply", "a rebase or an applied mailbox"),
    ("MERGE_HEAD", "a merge"),
    ("CHERRY_PICK_HEAD", "a cherry-pick"),
    ("REVERT_HEAD", "a revert"),
    ("sequencer", "a series of cherry-picks or reverts"),
    ("BISECT_START", "a bisection"),
];

/// Names in the directory of a repository that appear and vanish when operations begin and end.
pub(super) fn signs() -> impl Iterator<Item = &'static str> {
    (OPERATIONS.iter().map(|(name, _)| *name)).chain(LOCKS).chain(["index"])
}

/// Work trees that were at rest, each with the state that was recorded first.
#[derive(Debug, Default)]
pub(super) struct QuiescenceCheck(BTreeMap<PathBuf, (Repository, RepositoryState)>);

/// The part of a repository that changes whenever Git changes files of its work tree.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RepositoryState {
    head: Vec<u8>,
    index: Option<(u64, u64, i64, i64)>,
}

impl QuiescenceCheck {
    /// Records the state of a work tree before its files are read; false when it is recorded already.
    ///
    /// # Errors
    /// When a Git operation is under way in the work tree, or its repository cannot be read.
    pub(super) fn record(&mut self, repository: &Repository) -> Result<bool, ReadError> {
        if self.0.contains_key(&repository.git_dir) {
            return Ok(false);
        }
        let state = repository_state(repository)?;
        self.0.insert(repository.git_dir.clone(), (repository.clone(), state));
        Ok(true)
    }

    /// Records the work trees with these tops; false when all of them are recorded already.
    ///
    /// # Errors
    /// When a Git operation is under way in one of them, or its repository cannot be read.
    pub(super) fn record_all(&mut self, tops: &BTreeSet<PathBuf>) -> Result<bool, ReadError> {
        let mut is_new = false;
        for top in tops {
            let found = git::find(top).map(|(repository, _)| repository);
            // The target of a `.git` file may be missing: a submodule that was copied without its repository is just
            // files.
            let found = found.filter(|found| found.top == *top && found.git_dir.join("HEAD").exists());
            if let Some(repository) = found {
                is_new |= self.record(&repository)?;
            }
        }
        Ok(is_new)
    }

    /// Verifies that Git changed nothing since the states were recorded.
    ///
    /// # Errors
    /// When Git changed something, or an operation is under way.
    pub(super) fn verify(&self) -> Result<(), ReadError> {
        for (repository, before) in self.0.values() {
            if repository_state(repository)? != *before {
                return Err(ReadError::Changing(repository.top.clone()));
            }
        }
        Ok(())
    }
}

/// The state of a repository whose work tree is at rest.
fn repository_state(repository: &Repository) -> Result<RepositoryState, ReadError> {
    let git_dir = &repository.git_dir;
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Broken {
            path: repository.top.clone(),
            git_dir: git_dir.clone(),
        },
        _ => ReadError::unreadable(&repository.top, error),
    };
    let path = || repository.top.clone();
    for lock in LOCKS.map(|name| git_dir.join(name)) {
        if is_there(&lock).map_err(unreadable)? {
            return Err(ReadError::Locked { path: path(), lock });
        }
    }
    for (name, what) in OPERATIONS {
        let sign = git_dir.join(name);
        if is_there(&sign).map_err(unreadable)? {
            let path = path();
            return Err(ReadError::Busy { path, what, sign });
        }
    }
    let index = match fs::metadata(git_dir.join("index")) {
        Ok(index) => Some((index.ino(), index.size(), index.mtime(), index.mtime_nsec())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(error)),
    };
    let head = fs::read(git_dir.join("HEAD")).map_err(unreadable)?;
    Ok(RepositoryState { head, index })
}

fn is_there(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
