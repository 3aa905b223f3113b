//! The reader of one snapshot after another, which does not read again what stays as it is.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::dir;
use super::error::ReadError;
use super::file::{SourceFile, show};
use super::filter::{Filter, above};
use super::read::{Consistency, KnownRoot, KnownRoots, read_all};
use super::read_mode::{self, ReadMode};
use super::seal;
use super::snapshot::Snapshot;
use super::sources::{Root, Sources};
use super::watch::{Changes, Health, Watcher};

type Result<T> = std::result::Result<T, ReadError>;

/// The files of all sources: those of each directory or commit that the filter reads, and roots that are files.
///
/// Hidden files and directories are skipped, links are followed within the repository or, without one, within the root,
/// and entries that are no regular files are ignored. A file below two roots is read once. A root that is reached through links is resolved once.
///
/// # Errors
/// When a root is missing or unreadable, keeps changing, or is being changed by Git.
pub fn read(sources: &Sources, max_file_bytes: u64, consistency: Consistency) -> Result<Snapshot> {
    Reader::default().read(sources, max_file_bytes, consistency, Scan::Full)
}

/// The files that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scan {
    /// All files. Those with the metadata of the last snapshot are not read.
    #[default]
    Full,
    /// The files that events name, where it is sure that there are events for all changes; else all files.
    Changes,
}

/// A reader of one snapshot after another, which does not read again what stays as it is.
///
/// A snapshot is the same as that of [`read()`], whatever was read before, and shares the files that stay.
#[derive(Default)]
pub struct Reader {
    known: KnownRoots,
    last: Option<Last>,
    watcher: Option<Watcher>,
    work: ReadWork,
    /// The seal of the sources, if the last snapshot was read with a look at all files.
    seal: Option<String>,
}

/// The work of one reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadWork {
    /// The number of paths that were looked at.
    pub looked_at: usize,
    /// The number of files that were new or had another text than in the last snapshot.
    pub changed: usize,
}

/// The last snapshot, and how it was read.
struct Last {
    snapshot: Snapshot,
    sources: Sources,
    limit: u64,
}

impl Reader {
    /// Reads with a watch from now on.
    pub fn watch(&mut self, watcher: Watcher) {
        self.watcher = Some(watcher);
    }

    /// Forgets what was read. The watch goes on.
    pub fn forget(&mut self) {
        (self.known, self.last, self.seal) = (KnownRoots::new(), None, None);
    }

    /// The health of the watch, if there is one.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        self.watcher.as_ref().map(Watcher::health)
    }

    /// The work of the last reading that succeeded.
    #[must_use]
    pub fn work(&self) -> ReadWork {
        self.work
    }

    /// The seal of the last snapshot, by which [`look`](super::look) tells whether the sources are still the same; `None`
    /// if files can change without another one.
    #[must_use]
    pub fn seal(&self) -> Option<&str> {
        self.seal.as_deref()
    }

    /// Reads the next snapshot.
    ///
    /// # Errors
    /// Those of [`read()`].
    pub fn read(
        &mut self,
        sources: &Sources,
        max_file_bytes: u64,
        consistency: Consistency,
        scan: Scan,
    ) -> Result<Snapshot> {
        self.work = ReadWork::default();
        self.seal = None;
        if scan == Scan::Changes
            && let Some(snapshot) = self.read_changes(sources, max_file_bytes)
        {
            return Ok(snapshot);
        }
        // Before anything is read, so that no later change is missed.
        if let Some(watcher) = &mut self.watcher {
            watcher.refresh();
        }
        match read_all(sources, max_file_bytes, consistency, &self.known) {
            Ok((snapshot, known)) => {
                self.work.looked_at += snapshot.len();
                self.work.changed += known.values().map(|root| root.changed).sum::<usize>();
                self.seal = seal(&snapshot, &known);
                self.known = known;
                self.last = (consistency == Consistency::Stable).then(|| Last {
                    snapshot: snapshot.clone(),
                    sources: sources.clone(),
                    limit: max_file_bytes,
                });
                Ok(snapshot)
            }
            Err(error) => {
                self.last = None;
                Err(error)
            }
        }
    }

    /// The last snapshot with the changes that events tell of; `None` if they do not tell everything.
    ///
    /// The changed files are read, then all events until after that are awaited. If they name no other file, all files
    /// were as they are in the snapshot at that moment.
    fn read_changes(&mut self, sources: &Sources, limit: u64) -> Option<Snapshot> {
        let (last, watcher) = (self.last.take()?, self.watcher.as_mut()?);
        let [root] = sources.roots.as_slice() else { return None };
        let known = self.known.get_mut(&root.path)?;
        let is_same = last.sources == *sources && last.limit == limit;
        if !is_same || !known.is_plain || !last.snapshot.unreadable.is_empty() || sources.filter.has_include() {
            return None;
        }
        let resolved = read_mode::resolve(&root.path).ok()?;
        if !matches!(
            ReadMode::for_resolved(&root.path, &resolved, sources.mode),
            Ok(ReadMode::Plain)
        ) {
            return None;
        }
        let mut changing = Changing {
            root,
            resolved: &resolved,
            filter: &sources.filter,
            limit,
            snapshot: last.snapshot,
            known,
            work: &mut self.work,
        };
        let mut files = BTreeSet::new();
        for _ in 0..ATTEMPTS {
            let Changes::Paths(paths) = watcher.take_changes() else {
                return None;
            };
            files.extend(
                paths
                    .iter()
                    .filter(|(_, is_file)| **is_file)
                    .map(|(path, _)| path.clone()),
            );
            for path in paths.keys() {
                changing.look(path, files.contains(path))?;
            }
            if !watcher.settle() {
                return None;
            }
            if watcher.has_no_changes() {
                let snapshot = changing.snapshot;
                self.last = Some(Last {
                    snapshot: snapshot.clone(),
                    ..last
                });
                return Some(snapshot);
            }
        }
        None
    }
}

/// The seal of a snapshot all files of which were looked at and are readable.
fn seal(snapshot: &Snapshot, known: &KnownRoots) -> Option<String> {
    let roots = known.iter().map(|(path, root)| (path.clone(), root.seal));
    seal::of_roots(roots).filter(|_| snapshot.unreadable.is_empty())
}

/// The number of attempts to read files that keep changing.
const ATTEMPTS: usize = 5;

/// The last snapshot of a root, which becomes the next.
struct Changing<'c> {
    root: &'c Root,
    /// The real path of the root.
    resolved: &'c Path,
    filter: &'c Filter,
    /// The limit of a file, in bytes.
    limit: u64,
    snapshot: Snapshot,
    known: &'c mut KnownRoot,
    work: &'c mut ReadWork,
}

impl Changing<'_> {
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
            Err(_) => match self.position(&show(below)) {
                // The directory may be left without files, which is a finding if it has the name of a file.
                Ok(_) if above(below).any(|above| self.filter.reads(above)) => None,
                Ok(position) => {
                    self.snapshot.files.remove(position);
                    self.known.files.remove(below);
                    Some(())
                }
                // A directory may be gone with all its files.
                Err(_) => is_file.then_some(()),
            },
        }
    }

    fn read(&mut self, path: &Path, below: &Path, listed: &Metadata) -> Option<()> {
        let (text, stamp) = dir::read_alone(path, listed, self.limit, SystemTime::now())?;
        let name = show(below);
        let position = self.position(&name);
        let file = match position {
            Ok(position) if self.snapshot.files[position].text == text => Arc::clone(&self.snapshot.files[position]),
            _ => {
                self.work.changed += 1;
                SourceFile::with_vars(name, text, self.root.vars.clone())
            }
        };
        match position {
            Ok(position) => self.snapshot.files[position] = Arc::clone(&file),
            Err(position) => self.snapshot.files.insert(position, Arc::clone(&file)),
        }
        self.known.files.add(below.to_owned(), stamp, file);
        Some(())
    }

    /// The position of a file, or that where it would be.
    fn position(&self, name: &str) -> std::result::Result<usize, usize> {
        let files = &self.snapshot.files;
        files.binary_search_by(|file| file.path.as_str().cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::source::UnreadableReason;

    fn files(root: &Path) -> Result<Snapshot> {
        read(&Sources::one(root), 100, Consistency::Dirty)
    }

    fn paths(snapshot: &Snapshot) -> Vec<&str> {
        snapshot.files.iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn only_visible_regular_files_with_the_right_names_are_read() {
        let root = tempfile::tempdir().expect("a directory");
        for path in ["b.yaml", "a/c.YML", "a/d.json", "e.txt", ".f.yaml", ".git/g.yaml"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, "x").expect("a file");
        }
        fs::create_dir(root.path().join("h.yaml")).expect("a directory");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.path().join("i.yaml"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .expect("a pipe");
        let snapshot = files(root.path()).expect("readable");
        assert_eq!(paths(&snapshot), ["a/c.YML", "a/d.json", "b.yaml"]);
        let unreadable: Vec<_> = snapshot
            .unreadable
            .iter()
            .map(|file| (file.path.as_str(), &file.reason))
            .collect();
        assert_eq!(unreadable, [("h.yaml", &UnreadableReason::Directory)]);
    }

    #[test]
    fn links_are_followed_within_the_root_only() {
        let (root, outside) = (
            tempfile::tempdir().expect("a directory"),
            tempfile::tempdir().expect("a directory"),
        );
        fs::write(outside.path().join("x.yaml"), "x").expect("a file");
        fs::write(root.path().join("a.yaml"), "x").expect("a file");
        symlink(outside.path().join("x.yaml"), root.path().join("b.yaml")).expect("a link");
        symlink(outside.path(), root.path().join("out")).expect("a link");
        symlink("a.yaml", root.path().join("c.yaml")).expect("a link");
        symlink(".", root.path().join("loop")).expect("a link");
        symlink("nowhere", root.path().join("d.yaml")).expect("a link");
        assert_eq!(paths(&files(root.path()).expect("readable")), ["a.yaml", "c.yaml"]);
        // The root itself may be a link.
        let link = outside.path().join("link");
        symlink(root.path(), &link).expect("a link");
        assert_eq!(paths(&files(&link).expect("readable")), ["a.yaml", "c.yaml"]);
    }

    #[test]
    fn what_cannot_be_read_is_said_and_not_hidden() {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("large.yaml"), "x".repeat(101)).expect("a file");
        fs::write(root.path().join("latin.yaml"), b"a: 1\nb: \xe9\n").expect("a file");
        let reasons: Vec<_> = files(root.path())
            .expect("readable")
            .unreadable
            .into_iter()
            .map(|u| u.reason)
            .collect();
        let expected = [
            UnreadableReason::TooLarge { size: 101, limit: 100 },
            UnreadableReason::NotUtf8 { offset: 8, line: 2 },
        ];
        assert_eq!(reasons, expected);
    }

    #[test]
    fn a_single_file_is_a_source_too() {
        let root = tempfile::tempdir().expect("a directory");
        let file = root.path().join("all.txt");
        fs::write(&file, "x").expect("a file");
        assert_eq!(paths(&files(&file).expect("readable")), ["all.txt"]);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = files(Path::new("/no/such/directory")).expect_err("missing").to_string();
        assert!(
            error.contains("/no/such/directory") && error.contains("--policies"),
            "{error}"
        );
    }
}
