//! Why a commit cannot be read.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::source::filter::LINKED;

/// The time that one run of Git may take; a Git that takes longer hangs.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// Why a commit cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no `git`, or it cannot be run.
    #[error("cannot run `git`, which reads {}; install it, or set `source: worktree`", .repository.display())]
    Start {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The repository does not let us in.
    #[error("cannot read {}", .path.display())]
    Closed {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Git ends with an error.
    #[error("Git cannot read {}: {message}", .repository.display())]
    Failed {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
        /// The message of Git, in its own words.
        message: String,
    },
    /// Git does not come to an end.
    #[error("Git does not finish reading {} within {TIMEOUT:?}", .repository.display())]
    Hangs {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
    },
    /// There is no commit yet.
    #[error("{} has no commit yet", .repository.display())]
    Unborn {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
    },
    /// The commit does not hold what is wanted.
    #[error("commit {commit} of {} has no {}", .repository.display(), .path.display())]
    Missing {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
        /// The abbreviated id.
        commit: String,
        /// The path in it.
        path: PathBuf,
    },
    /// Another repository begins there.
    #[error("{} is a submodule of {}: name its own directory as a source, or exclude it", .path.display(), .repository.display())]
    Submodule {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
        /// The path in it.
        path: PathBuf,
    },
    /// Links lead to directories with links.
    #[error("commit {commit} of {} shows more than {LINKED} files through links: links to directories multiply each other; remove them", .repository.display())]
    Multiplied {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
        /// The abbreviated id.
        commit: String,
    },
    /// Objects are not there, as in a partial clone.
    #[error("{} does not have all objects of commit {commit}, as a partial clone does not; fetch them, or clone it whole", .repository.display())]
    Partial {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
        /// The abbreviated id.
        commit: String,
    },
}

pub(super) type Result<T> = std::result::Result<T, GitError>;
