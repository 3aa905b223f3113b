//! Why sources cannot be read.

use std::io;
use std::path::{Path, PathBuf};

use super::filter::LINKED;
use super::git::GitError;

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A source does not exist.
    #[error("there is no {}: name the directory of the policies with `--policies DIR`", .0.display())]
    Missing(PathBuf),
    /// A file or directory cannot be opened.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A source changed during every attempt to read it.
    #[error("{} keeps changing while it is read", .0.display())]
    Changing(PathBuf),
    /// A Git operation is under way in its work tree, and somebody has to end it.
    #[error("{what} is under way in {}; if nobody is at it any more, end or abort it, or remove {}", .path.display(), .sign.display())]
    Busy {
        /// The top of the work tree.
        path: PathBuf,
        /// The operation, with its article.
        what: &'static str,
        /// The file or directory by which that is known.
        sign: PathBuf,
    },
    /// Git is just changing the files of its work tree, or was killed on the way.
    #[error("a Git command is under way in {}; if no git runs there any more, it was killed halfway: `rm {} && git -C {} reset --hard` brings the files back to the commit", .path.display(), .lock.display(), .path.display())]
    Locked {
        /// The top of the work tree.
        path: PathBuf,
        /// The lock that Git holds.
        lock: PathBuf,
    },
    /// Links lead to directories with links.
    #[error("{} shows more than {LINKED} files and directories through links: links to directories multiply each other; remove them, or leave them out by `exclude`", .0.display())]
    Multiplied(PathBuf),
    /// Files are wanted, and there are none.
    #[error("{} is in a bare Git repository, which has no files; set `source: auto` to read its commit", .0.display())]
    Bare(PathBuf),
    /// A commit is wanted, and there is no repository.
    #[error("{} is in no Git repository, and `source: git` reads commits; set `source: auto` for a plain directory", .0.display())]
    NoRepository(PathBuf),
    /// `.git` leads to nothing that Git knows.
    #[error("{} leads to {}, which is no Git repository; if it was moved, `git worktree repair` or a new clone helps", .path.join(".git").display(), .git_dir.display())]
    Broken {
        /// The top of the work tree.
        path: PathBuf,
        /// Where `.git` leads to.
        git_dir: PathBuf,
    },
    /// A commit cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl ReadError {
    /// Whether it passes by itself: somebody is just changing the source.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Locked { .. } | Self::Changing(_))
    }

    pub(super) fn unreadable(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing(path),
            _ => Self::Unreadable { path, source },
        }
    }
}
