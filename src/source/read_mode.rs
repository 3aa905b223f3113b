//! The mode in which a root is read.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::error::ReadError;
use super::file::show;
use super::git::{self, Repository};
use super::sources::{Mode, Sources};

/// How consistent the files of work trees must be with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// The files as they are, even during a Git operation: for people who edit them, and in Git hooks.
    Dirty,
    /// The files of a moment without a Git operation in any work tree: for publishing.
    Stable,
}

type Result<T> = std::result::Result<T, ReadError>;

/// The mode in which a root is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReadMode {
    /// From the objects of the commit that `HEAD` names, at a path below the top.
    Git { repository: Repository, below: PathBuf },
    /// From the files of a work tree.
    Worktree { repository: Repository },
    /// From files outside of a repository.
    Plain,
}

impl ReadMode {
    /// The mode in which a root is read.
    ///
    /// # Errors
    /// When the mode and the root contradict each other: a commit without a repository, or files in a bare one.
    pub(super) fn for_root(root: &Path, mode: Mode) -> Result<Self> {
        Self::for_resolved(root, &resolve(root)?, mode)
    }

    /// The mode for a root whose real path is known.
    pub(super) fn for_resolved(root: &Path, resolved: &Path, mode: Mode) -> Result<Self> {
        let found = git::find(resolved);
        Ok(match (mode, found) {
            (Mode::Git, Some((repository, below))) => Self::Git { repository, below },
            // A root that is a file is often a dataplane that the machine keeps beside the repository.
            (Mode::Git, None) if resolved.is_file() => Self::Plain,
            (Mode::Git, None) if resolved.exists() => return Err(ReadError::NoRepository(root.to_owned())),
            (Mode::Auto, Some((repository, below))) if repository.is_bare => Self::Git { repository, below },
            (Mode::Worktree, Some((repository, _))) if repository.is_bare => {
                return Err(ReadError::Bare(root.to_owned()));
            }
            (_, Some((repository, _))) if !repository.is_bare => Self::Worktree { repository },
            (_, None) if !resolved.exists() => return Err(ReadError::Missing(root.to_owned())),
            _ => Self::Plain,
        })
    }

    /// The mode for the revisions of a root: from Git's objects, or from files where there is no repository.
    ///
    /// # Errors
    /// When there is neither.
    pub(super) fn for_revision(root: &Path, resolved: &Path) -> Result<Self> {
        match git::find(resolved) {
            Some((repository, below)) => Ok(Self::Git { repository, below }),
            None if resolved.exists() => Ok(Self::Plain),
            None => Err(ReadError::Missing(root.to_owned())),
        }
    }

    pub(super) fn describe(&self) -> String {
        let with_head = |word: &str, repository: &Repository| match repository.head() {
            Ok(commit) => format!("{word}, {}", commit.name()),
            Err(_) => word.to_owned(),
        };
        match self {
            Self::Git { repository, .. } => with_head("git", repository),
            Self::Worktree { repository } => with_head("worktree", repository),
            Self::Plain => "plain files".to_owned(),
        }
    }
}

/// The real path, as far as the path exists. The rest may be a path in a bare repository.
pub(super) fn resolve(root: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(root).map_err(|error| ReadError::unreadable(root, error))?;
    for there in absolute.ancestors() {
        match std::fs::canonicalize(there) {
            Ok(resolved) => {
                let rest = absolute.strip_prefix(there).unwrap_or(Path::new(""));
                return Ok(if rest.as_os_str().is_empty() {
                    resolved
                } else {
                    resolved.join(rest)
                });
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(ReadError::unreadable(root, error)),
        }
    }
    Ok(absolute)
}

/// The id of a commit that is the name of a directory to which a link of the root leads, as git-sync makes it.
pub(super) fn link(root: &Path, resolved: &Path) -> Option<String> {
    let written = std::path::absolute(root).ok()?;
    let name = resolved.iter().rev().find(|name| {
        let is_hash = |name: &[u8]| name.len() >= 40 && name.iter().all(u8::is_ascii_hexdigit);
        is_hash(name.as_encoded_bytes()) && !written.iter().any(|other| other == *name)
    })?;
    Some(name.to_str()?[..7].to_owned())
}

/// The prefix of the paths of files, for one of several roots.
pub(super) fn prefix(root: &Path, mode: &ReadMode) -> String {
    let is_file = match mode {
        ReadMode::Git { repository, .. } if repository.is_bare => false,
        ReadMode::Git { .. } | ReadMode::Worktree { .. } | ReadMode::Plain => root.is_file(),
    };
    let directory = if is_file {
        root.parent().unwrap_or(Path::new(""))
    } else {
        root
    };
    match show(directory).trim_end_matches('/') {
        "" if directory.has_root() => "/".to_owned(),
        "" => String::new(),
        directory => format!("{directory}/"),
    }
}

/// The mode and the commit of the roots, without reading their files: `git, main@3f2c1ab`.
#[must_use]
pub fn describe(sources: &Sources) -> String {
    let modes: BTreeSet<String> = (sources.roots.iter())
        .map(|root| match ReadMode::for_root(&root.path, sources.mode) {
            Ok(mode) => mode.describe(),
            Err(_) => "missing".to_owned(),
        })
        .collect();
    modes.into_iter().collect::<Vec<_>>().join("; ")
}
