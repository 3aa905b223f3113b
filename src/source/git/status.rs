//! Files in a work tree that are not as in its commit.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::Result;
use super::repository::{Repository, find};
use super::tree::entries;

/// The files, by their real paths, that the commit that `HEAD` names does not have as they are; differences in line ends are Git's own.
/// A file in no repository does not count.
///
/// # Errors
/// When Git cannot be asked.
pub fn uncommitted(paths: &[&Path]) -> Result<Vec<PathBuf>> {
    let mut repositories: BTreeMap<PathBuf, (Repository, Vec<PathBuf>)> = BTreeMap::new();
    for path in paths {
        if let Some((repository, below)) = find(path).filter(|(repository, _)| !repository.is_bare) {
            let top = repository.top.clone();
            let of_repository = repositories.entry(top).or_insert_with(|| (repository, Vec::new()));
            of_repository.1.push(below);
        }
    }
    let mut found = Vec::new();
    for (repository, files) in repositories.values() {
        for files in files.chunks(AT_ONCE) {
            let differing = repository.differing(files)?;
            found.extend(differing.into_iter().map(|file| repository.top.join(file)));
        }
    }
    Ok(found)
}

/// The number of files that one call of Git is asked about, since a command line has a limit.
const AT_ONCE: usize = 200;

impl Repository {
    /// The files below the top that the commit does not have as they are.
    fn differing(&self, files: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let command = ["ls-tree", "-z", "--full-tree", "HEAD", "--"].map(OsStr::new);
        let asked = command.into_iter().chain(files.iter().map(|file| file.as_os_str()));
        // Without a commit there is no `HEAD`.
        let Ok(listed) = self.ask(asked) else {
            return Ok(files.to_vec());
        };
        let committed: BTreeMap<PathBuf, _> = entries(&listed).into_iter().collect();
        let ids: Vec<&str> = committed.values().map(|entry| entry.id.as_str()).collect();
        let mut contents = Vec::with_capacity(ids.len());
        self.objects(&ids, u64::MAX - 1, |object| contents.push(object))?;
        let contents: BTreeMap<&PathBuf, _> = committed.keys().zip(contents).collect();
        let is_same = |file: &&PathBuf| match (contents.get(file), fs::read(self.top.join(file))) {
            (Some(Some((content, _))), Ok(now)) => without_returns(content).eq(without_returns(&now)),
            _ => false,
        };
        Ok(files.iter().filter(|file| !is_same(file)).cloned().collect())
    }
}

/// The bytes without those of carriage returns before line ends.
fn without_returns(bytes: &[u8]) -> impl Iterator<Item = &u8> {
    let kept = bytes.iter().enumerate();
    kept.filter(|(i, byte)| **byte != b'\r' || bytes.get(i + 1) != Some(&b'\n'))
        .map(|(_, byte)| byte)
}
