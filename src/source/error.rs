//! The errors of sources.

use std::io;
use std::path::{Path, PathBuf};

use super::filter::LINKED;
use super::git::GitError;

/// The reason why a source cannot be read.
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
    /// A Git operation is under way in a work tree, and a person has to end it.
    #[error("{what} is under way in {}; if nobody works on it any more, finish or abort it, or remove {}", .path.display(), .sign.display())]
    Busy {
        /// The top of the work tree.
        path: PathBuf,
        /// The operation, with an article.
        what: &'static str,
        /// The file or directory that shows it.
        sign: PathBuf,
    },
    /// A Git command is changing the files of a work tree, or was killed while it did.
    #[error("a Git command is under way in {}; if no git runs there any more, it was killed halfway: `rm {} && git -C {} reset --hard` restores the files of the commit", .path.display(), .lock.display(), .path.display())]
    Locked {
        /// The top of the work tree.
        path: PathBuf,
        /// The lock file of Git.
        lock: PathBuf,
    },
    /// Links lead to directories with links.
    #[error("{} has more than {LINKED} files and directories behind links: links to directories multiply each other; remove them, or name them in `exclude`", .0.display())]
    Multiplied(PathBuf),
    /// `source: worktree` in a bare repository, which has no files.
    #[error("{} is in a bare Git repository, which has no files; set `source: auto` to read its commit", .0.display())]
    Bare(PathBuf),
    /// `source: git` outside of a repository.
    #[error("{} is in no Git repository, and `source: git` reads commits; set `source: auto` for a plain directory", .0.display())]
    NoRepository(PathBuf),
    /// A revision outside of any repository.
    #[error("{} is in no Git repository, so it has no revisions; `./` before a name makes it a directory", .0.display())]
    NoRevisions(PathBuf),
    /// `.git` does not lead to a repository.
    #[error("{} leads to {}, which is not a Git repository; if it was moved, run `git worktree repair` or clone again", .path.join(".git").display(), .git_dir.display())]
    Broken {
        /// The top of the work tree.
        path: PathBuf,
        /// The path that `.git` leads to.
        git_dir: PathBuf,
    },
    /// A commit cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl ReadError {
    /// Whether the error may pass by itself, since a Git operation is under way.
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
