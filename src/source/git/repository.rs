//! Repositories, and the search for them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A Git repository, with or without a work tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) struct Repository {
    /// The directory of the repository in Git's sense: `.git`, or that of a linked work tree or submodule.
    pub(in crate::source) git_dir: PathBuf,
    /// The top of the work tree; the directory of the repository itself if it is bare.
    pub(in crate::source) top: PathBuf,
    /// Whether the repository has no work tree.
    pub(in crate::source) is_bare: bool,
}

/// The repository around a path, and the path below its top. The path need not exist.
pub(in crate::source) fn find(path: &Path) -> Option<(Repository, PathBuf)> {
    path.ancestors().find_map(|top| {
        let below = path.strip_prefix(top).ok()?.to_owned();
        let (git_dir, is_bare) = match git_dir(top) {
            Some(git_dir) => (git_dir, false),
            None if is_bare(top) => (top.to_owned(), true),
            None => return None,
        };
        let repository = Repository {
            git_dir,
            top: top.to_owned(),
            is_bare,
        };
        Some((repository, below))
    })
}

/// The directory that the entry `.git` of a directory is or leads to.
fn git_dir(top: &Path) -> Option<PathBuf> {
    let path = top.join(".git");
    if path.is_dir() {
        // As in Git, an empty directory `.git` is no repository. An unreadable one may be.
        let head = fs::symlink_metadata(path.join("HEAD"));
        let is_empty = head.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        return (!is_empty).then(|| real(path));
    }
    let text = fs::read(&path).ok()?;
    let target = text.strip_prefix(b"gitdir: ")?.trim_ascii_end();
    Some(real(top.join(OsStr::from_bytes(target))))
}

/// The real path, which events name; the path itself where nothing exists.
fn real(path: PathBuf) -> PathBuf {
    fs::canonicalize(&path).unwrap_or(path)
}

fn is_bare(directory: &Path) -> bool {
    directory.join("HEAD").is_file() && directory.join("objects").is_dir() && directory.join("refs").exists()
}

impl Repository {
    /// Whether the work tree may have submodules.
    pub(in crate::source) fn has_submodules(&self) -> bool {
        self.top.join(".gitmodules").exists()
    }

    /// The directory with the branches and objects that all linked work trees share.
    pub(in crate::source) fn common_dir(&self) -> PathBuf {
        match fs::read(self.git_dir.join("commondir")) {
            Ok(text) => real(self.git_dir.join(OsStr::from_bytes(text.trim_ascii_end()))),
            Err(_) => self.git_dir.clone(),
        }
    }
}
