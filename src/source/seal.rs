//! The seal of sources: a hash that tells without a look at any text whether the files may have changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blake3::{Hash, Hasher};

use super::base;
use super::commit::Commit;
use super::dir::{self, Place};
use super::error::ReadError;
use super::file::add_part;
use super::read_mode::{self, ReadMode};
use super::sources::{Root, Sources};
use super::worktree::QuiescenceCheck;

/// The seal of one root; `None` if its files can change without another one.
pub(super) type RootSeal = Option<Hash>;

/// The seal of a root that is read from the objects of a commit.
pub(super) fn of_commit(resolved: &Path, commit: &Commit) -> RootSeal {
    let mut hasher = Hasher::new();
    add_part(&mut hasher, resolved.as_os_str().as_encoded_bytes());
    add_commit(&mut hasher, commit);
    Some(hasher.finalize())
}

/// The seal of a root that is read from the listed files, with the commit of their work tree if they are in one.
pub(super) fn of_files(resolved: &Path, listed: RootSeal, mode: &ReadMode, commit: Option<&Commit>) -> RootSeal {
    let has_submodules = match mode {
        ReadMode::Worktree { repository } => repository.has_submodules(),
        ReadMode::Git { .. } | ReadMode::Plain => false,
    };
    // Whether the files of a submodule are of the right commit is a matter of two repositories.
    if has_submodules {
        return None;
    }
    let mut hasher = Hasher::new();
    add_part(&mut hasher, resolved.as_os_str().as_encoded_bytes());
    hasher.update(listed?.as_bytes());
    commit.into_iter().for_each(|commit| add_commit(&mut hasher, commit));
    Some(hasher.finalize())
}

/// The seal of all roots, by their paths.
pub(super) fn of_roots(roots: impl Iterator<Item = (PathBuf, RootSeal)>) -> Option<String> {
    let mut hasher = Hasher::new();
    for (path, seal) in roots {
        add_part(&mut hasher, path.as_os_str().as_encoded_bytes());
        hasher.update(seal?.as_bytes());
    }
    Some(hasher.finalize().to_hex().to_string())
}

/// The seal of the sources as they are now; `None` if files can change without another one.
///
/// The same seal as that of a snapshot means that a reader would read the same snapshot.
///
/// # Errors
/// Where a reader fails too, such as during a Git operation.
pub fn look(sources: &Sources) -> Result<Option<String>, ReadError> {
    let policies = look_at_all(sources)?;
    if sources.bases.is_empty() {
        return Ok(policies);
    }
    let bases = look_at_all(&base::sources(&sources.bases, Path::exists))?;
    Ok(with_bases(policies, bases))
}

/// The seal of policies together with that of base files.
pub(super) fn with_bases(policies: Option<String>, bases: Option<String>) -> Option<String> {
    Some(format!("{} {}", policies?, bases?))
}

fn look_at_all(sources: &Sources) -> Result<Option<String>, ReadError> {
    let mut check = QuiescenceCheck::default();
    let mut seals = BTreeMap::new();
    for root in &sources.roots {
        seals.insert(root.path.clone(), look_at(root, sources, &mut check)?);
    }
    check.verify()?;
    Ok(of_roots(seals.into_iter()))
}

fn look_at(root: &Root, sources: &Sources, check: &mut QuiescenceCheck) -> Result<RootSeal, ReadError> {
    let resolved = &read_mode::resolve(&root.path)?;
    let mode = ReadMode::for_resolved(&root.path, resolved, sources.mode)?;
    let within = match &mode {
        ReadMode::Git { repository, .. } => return Ok(of_commit(resolved, &repository.head()?)),
        ReadMode::Worktree { repository } => {
            check.record(repository)?;
            &repository.top
        }
        ReadMode::Plain => resolved,
    };
    let place = Place {
        root: &root.path,
        resolved,
        within,
    };
    let listed = dir::seal(&place, &sources.filter)?;
    let commit = match &mode {
        ReadMode::Worktree { repository } => repository.head().ok(),
        ReadMode::Git { .. } | ReadMode::Plain => None,
    };
    Ok(of_files(resolved, listed, &mode, commit.as_ref()))
}

fn add_commit(hasher: &mut Hasher, commit: &Commit) {
    for text in [
        &commit.id,
        commit.branch.as_ref().unwrap_or(&String::new()),
        &commit.subject,
    ] {
        add_part(hasher, text.as_bytes());
    }
}
