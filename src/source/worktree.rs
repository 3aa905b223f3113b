//! Whether a Git work tree is at rest.
//!
//! Git replaces files one by one, and holds the lock of its index from before the first until after the last. So what
//! was read while there was no lock before and after, and the index is the same, was not changed by Git meanwhile.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::git::Repository;

/// What stands in the directory of a repository while something is under way, and what that is.
const OPERATIONS: [(&str, &str); 9] = [
    ("index.lock", "a Git command"),
    ("HEAD.lock", "a Git command"),
    ("rebase-merge", "a rebase"),
    ("rebase-apply", "a rebase or an applied mailbox"),
    ("MERGE_HEAD", "a merge"),
    ("CHERRY_PICK_HEAD", "a cherry-pick"),
    ("REVERT_HEAD", "a revert"),
    ("sequencer", "a series of cherry-picks or reverts"),
    ("BISECT_START", "a bisection"),
];

/// What to watch in the directory of a repository, to see when something begins and ends.
pub(super) fn signs() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().map(|(name, _)| *name).chain(["index"])
}

/// Something that is under way in a work tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnderWay {
    /// What it is.
    pub(super) what: &'static str,
    /// The file or directory by which that is known.
    pub(super) sign: PathBuf,
}

/// What changes when Git changes files of a work tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rest {
    head: Vec<u8>,
    index: Option<(u64, u64, i64, i64)>,
}

/// How a work tree is at rest, or what is under way in it.
///
/// # Errors
/// When its repository cannot be looked at.
pub(super) fn rest(repository: &Repository) -> io::Result<Result<Rest, UnderWay>> {
    let git_dir = &repository.git_dir;
    for (name, what) in OPERATIONS {
        let sign = git_dir.join(name);
        if is_there(&sign)? {
            return Ok(Err(UnderWay { what, sign }));
        }
    }
    let index = match fs::metadata(git_dir.join("index")) {
        Ok(index) => Some((index.ino(), index.size(), index.mtime(), index.mtime_nsec())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let head = fs::read(git_dir.join("HEAD"))?;
    Ok(Ok(Rest { head, index }))
}

fn is_there(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
