//! The errors of reading a commit.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::source::filter::LINKED;

/// The time that one run of Git may take; a Git that takes longer hangs.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// The reason why a commit cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program `git` is missing or cannot be run.
    #[error("cannot run `git`, which reads {}; install it, or set `source: worktree`", .repository.display())]
    Start {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The repository cannot be opened.
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
    /// Git takes longer than its limit.
    #[error("Git does not finish reading {} within {TIMEOUT:?}", .repository.display())]
    Hangs {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
    },
    /// The repository has no commit yet.
    #[error("{} has no commit yet", .repository.display())]
    Unborn {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
    },
    /// A revision names no commit.
    #[error("{} has no commit {revision:?}{}", .repository.display(), shallow(*.is_shallow))]
    Unknown {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
        /// The revision, as it was written.
        revision: String,
        /// Whether the repository has only the newest commits.
        is_shallow: bool,
    },
    /// Two commits have no common ancestor.
    #[error("{one} and {other} have no common ancestor in {}{}", .repository.display(), shallow(*.is_shallow))]
    NoMergeBase {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
        /// The first revision, as it was written.
        one: String,
        /// The second one.
        other: String,
        /// Whether the repository has only the newest commits.
        is_shallow: bool,
    },
    /// The commit has no such path.
    #[error("commit {commit} of {} has no {}", .repository.display(), .path.display())]
    Missing {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
        /// The abbreviated id.
        commit: String,
        /// The path in the commit.
        path: PathBuf,
    },
    /// The path is a submodule.
    #[error("{} is a submodule of {}; add its directory to `policies`, or exclude it", .path.display(), .repository.display())]
    Submodule {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
        /// The path in the commit.
        path: PathBuf,
    },
    /// Links lead to directories with links.
    #[error("commit {commit} of {} has more than {LINKED} files behind links: links to directories multiply each other; remove them", .repository.display())]
    Multiplied {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
        /// The abbreviated id.
        commit: String,
    },
    /// Objects are missing, as in a partial clone.
    #[error("{} does not have all objects of commit {commit}, as a partial clone does not; fetch them, or clone it whole", .repository.display())]
    Partial {
        /// The top of the work tree, or the bare repository.
        repository: PathBuf,
        /// The abbreviated id.
        commit: String,
    },
}

/// Advice for a clone that lacks older commits.
fn shallow(is_shallow: bool) -> &'static str {
    if is_shallow {
        ": this clone is shallow; `git fetch --unshallow` fetches the rest, `fetch-depth: 0` in a workflow"
    } else {
        ""
    }
}

pub(super) type Result<T> = std::result::Result<T, GitError>;
