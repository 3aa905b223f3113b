//! The last snapshot of a root, which becomes the next one by the changes in between.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::dir;
use super::file::{SourceFile, show};
use super::filter::{Filter, above};
use super::git::{Part, Repository};
use super::known::Stamp;
use super::read::KnownRoot;
use super::seal;
use super::snapshot::Snapshot;
use super::sources::Root;
use super::watch::{Changes, Watcher};

/// The number of attempts to read files that keep changing.
const ATTEMPTS: usize = 5;

/// The work of one reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadWork {
    /// The number of paths that were looked at.
    pub looked_at: usize,
    /// The number of files that were new or had another text than in the last snapshot.
    pub changed: usize,
}

/// The last snapshot of a root, which becomes the next.
pub(super) struct Changing<'c> {
    pub(super) root: &'c Root,
    /// The real path of the root.
    pub(super) resolved: &'c Path,
    pub(super) filter: &'c Filter,
    /// The limit of a file, in bytes.
    pub(super) limit: u64,
    pub(super) snapshot: Snapshot,
    pub(super) known: &'c mut KnownRoot,
    pub(super) work: &'c mut ReadWork,
}

impl Changing<'_> {
    /// Reads what the commit of `HEAD` has otherwise than the last one; `None` if that is not enough.
    pub(super) fn follow_commit(&mut self, repository: &Repository, below: &Path) -> Option<()> {
        let [origin] = self.snapshot.origins.as_mut_slice() else {
            return None;
        };
        let commit = repository.head().ok()?;
        let before = origin.commit.replace(commit.clone())?;
        self.known.seal = seal::of_commit(self.resolved, &commit);
        if before.id == commit.id {
            return Some(());
        }
        let files = repository.difference(&before.id, &commit, self.part(below)).ok()??;
        for (path, file) in files {
            self.work.looked_at += 1;
            match file {
                Some((content, stamp)) => self.put(&path, content.into_text(), Some(stamp)),
                None => self.remove(&path),
            }
        }
        Some(())
    }

    /// Reads the files that events name; `None` if they do not tell everything. Returns the paths below the root.
    ///
    /// The changed files are read, then all events until after that are awaited. If they name no other file, all files
    /// were as they are in the snapshot at that moment.
    pub(super) fn follow_events(&mut self, watcher: &mut Watcher) -> Option<BTreeSet<PathBuf>> {
        // Only a listing of all files gives one.
        self.known.seal = None;
        let (mut files, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..ATTEMPTS {
            let Changes::Paths(paths) = watcher.take_changes() else {
                return None;
            };
            let named = paths.iter().filter(|(_, is_file)| **is_file);
            files.extend(named.map(|(path, _)| path.clone()));
            for path in paths.keys() {
                self.look(path, files.contains(path))?;
                seen.insert(path.strip_prefix(self.resolved).ok()?.to_owned());
            }
            if !watcher.settle() {
                return None;
            }
            if watcher.has_no_changes() {
                return Some(seen);
            }
        }
        None
    }

    /// Compares the files with the commit of their work tree, at the paths that changed; `None` if that is not enough.
    pub(super) fn compare(&mut self, repository: &Repository, changed: BTreeSet<PathBuf>) -> Option<()> {
        let below = self.resolved.strip_prefix(&repository.top).ok()?;
        let part = self.part(below);
        let snapshot = &self.snapshot;
        let file = |path: &Path| Some(&snapshot.files[snapshot.files.position(&show(path)).ok()?]);
        let changed = changed.into_iter().filter(|path| self.filter.wants(path)).collect();
        let commit = self.known.committed.update(repository, part, changed, file)?;
        self.snapshot.origins.first_mut()?.commit = Some(commit);
        Some(())
    }

    fn part<'p>(&self, below: &'p Path) -> Part<'p>
    where
        Self: 'p,
    {
        Part {
            below,
            filter: self.filter,
            limit: self.limit,
        }
    }

    /// Looks at a path that may have changed; `None` if that is not enough to know the next snapshot. `is_file` tells that
    /// there is or was a file, and no directory.
    fn look(&mut self, path: &Path, is_file: bool) -> Option<()> {
        self.work.looked_at += 1;
        let below = path.strip_prefix(self.resolved).ok()?;
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() && self.filter.wants(below) => self.read(path, below, &metadata),
            Ok(metadata) if metadata.is_file() => Some(()),
            Ok(_) => None,
            Err(error) if error.kind() != io::ErrorKind::NotFound => None,
            Err(_) => match self.snapshot.files.position(&show(below)) {
                // The directory may be left without files, which is a finding if it has the name of a file.
                Ok(_) if above(below).any(|above| self.filter.reads(above)) => None,
                Ok(_) => {
                    self.remove(below);
                    Some(())
                }
                // A directory may be gone with all its files.
                Err(_) => is_file.then_some(()),
            },
        }
    }

    fn read(&mut self, path: &Path, below: &Path, listed: &Metadata) -> Option<()> {
        let (text, stamp) = dir::read_alone(path, listed, self.limit, SystemTime::now())?;
        self.put(below, text, stamp);
        Some(())
    }

    /// Puts a file with a text in its place.
    fn put(&mut self, below: &Path, text: String, stamp: Option<Stamp>) {
        let name = show(below);
        let files = &mut self.snapshot.files;
        let file = match files.position(&name) {
            Ok(position) if files[position].text() == text => Arc::clone(&files[position]),
            _ => {
                self.work.changed += 1;
                let form = match &self.known.sample {
                    Some(sample) => sample.form(text),
                    None => text.into(),
                };
                SourceFile::in_form(name, form, self.root.vars.clone())
            }
        };
        files.put(Arc::clone(&file));
        self.known.files.add(below, stamp, file);
    }

    fn remove(&mut self, below: &Path) {
        self.snapshot.files.remove(&show(below));
        self.known.files.remove(below);
    }
}
