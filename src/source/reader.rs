//! The reader of one snapshot after another, which does not read again what stays as it is.

use std::path::Path;

use super::base::{self, BaseFiles};
use super::changing::{Changing, ReadWork};
use super::error::ReadError;
use super::git::{self, Revision};
use super::read::{ATTEMPTS, KnownRoots, moved_between, read_all, read_revision};
use super::read_mode::{self, Consistency, ReadMode};
use super::seal;
use super::snapshot::Snapshot;
use super::sources::{Root, Sources};
use super::watch::{Health, Watcher};
use super::worktree::QuiescenceCheck;

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
    /// All files. Those with the metadata of the last snapshot are not read; of a commit, those that differ from the last
    /// one are.
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
    /// The reader of the files of Envoys that somebody configured.
    bases: Option<Box<Reader>>,
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
        (self.known, self.last, self.seal, self.bases) = (KnownRoots::new(), None, None, None);
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
        let read = |reader: &mut Self| reader.read_policies(sources, max_file_bytes, consistency, scan);
        self.with_bases(sources, max_file_bytes, consistency, read)
    }

    /// The policies that `read` reads, with the base files of the same moment.
    fn with_bases(
        &mut self,
        sources: &Sources,
        limit: u64,
        consistency: Consistency,
        read: impl Fn(&mut Self) -> Result<Snapshot>,
    ) -> Result<Snapshot> {
        if sources.bases.is_empty() {
            return read(self);
        }
        let mut bases = self.bases.take().unwrap_or_default();
        let mut look = || {
            let sources = base::sources(&sources.bases, Path::exists);
            bases.read(&sources, limit, consistency, Scan::Full)
        };
        let mut before = look()?;
        for _ in 0..ATTEMPTS {
            let snapshot = read(self)?;
            let after = look()?;
            let is_same = before.files == after.files && before.unreadable == after.unreadable;
            let origins = snapshot.origins.iter().chain(&after.origins);
            let is_moved = consistency == Consistency::Stable && moved_between(origins).is_some();
            if is_same && !is_moved {
                self.seal = seal::with_bases(self.seal.take(), bases.seal.clone());
                self.bases = Some(bases);
                let bases = BaseFiles::new(&after.files, after.unreadable);
                return Ok(Snapshot { bases, ..snapshot });
            }
            before = after;
        }
        let changing = sources.bases.first().map(|path| path.to_string().into());
        Err(ReadError::Changing(changing.unwrap_or_default()))
    }

    fn read_policies(
        &mut self,
        sources: &Sources,
        max_file_bytes: u64,
        consistency: Consistency,
        scan: Scan,
    ) -> Result<Snapshot> {
        self.work = ReadWork::default();
        self.seal = None;
        let is_next = |last: &Last| last.sources == *sources && last.limit == max_file_bytes;
        let last = self.last.take().filter(|_| consistency == Consistency::Stable);
        let last = last.filter(is_next);
        // A copy that stays makes the next change dear.
        let files = last
            .as_ref()
            .filter(|_| scan == Scan::Full)
            .map(|last| last.snapshot.files.clone());
        if let Some(last) = last
            && let Some(snapshot) = self.read_changes(last.snapshot, sources, max_file_bytes, scan)
        {
            self.keep(&snapshot, sources, max_file_bytes);
            return Ok(snapshot);
        }
        // Before anything is read, so that no later change is missed.
        if let Some(watcher) = &mut self.watcher {
            watcher.refresh();
        }
        match read_all(sources, max_file_bytes, consistency, &self.known, files.as_ref()) {
            Ok((snapshot, known)) => {
                self.work.looked_at += snapshot.len();
                self.work.changed += known.values().map(|root| root.changed).sum::<usize>();
                self.seal = seal(&snapshot, &known);
                self.known = known;
                if consistency == Consistency::Stable {
                    self.keep(&snapshot, sources, max_file_bytes);
                }
                Ok(snapshot)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the files as of a revision; those outside of repositories as they are.
    ///
    /// # Errors
    /// Those of [`read()`], and when a repository does not have the revision.
    pub fn read_revision(&mut self, sources: &Sources, max_file_bytes: u64, revision: &Revision) -> Result<Snapshot> {
        let is_in_git = |root: &Root| read_mode::resolve(&root.path).is_ok_and(|path| git::find(&path).is_some());
        if let Some(root) = sources.roots.first().filter(|_| !sources.roots.iter().any(is_in_git)) {
            return Err(ReadError::NoRevisions(root.path.clone()));
        }
        let how = (Consistency::Dirty, Some(revision));
        // Base files are as they are now, as the settings are.
        self.with_bases(sources, max_file_bytes, Consistency::Dirty, |reader| {
            let (snapshot, known) = read_revision(sources, max_file_bytes, how, &reader.known)?;
            (reader.known, reader.last, reader.seal) = (known, None, None);
            Ok(snapshot)
        })
    }

    fn keep(&mut self, snapshot: &Snapshot, sources: &Sources, limit: u64) {
        self.last = Some(Last {
            snapshot: snapshot.clone(),
            sources: sources.clone(),
            limit,
        });
    }

    /// The last snapshot with all changes since, as two commits or events tell of them; `None` if they do not tell
    /// everything.
    fn read_changes(&mut self, last: Snapshot, sources: &Sources, limit: u64, scan: Scan) -> Option<Snapshot> {
        let ([root], [origin]) = (sources.roots.as_slice(), last.origins.as_slice()) else {
            return None;
        };
        let known = self.known.get_mut(&root.path)?;
        if !known.is_simple || !last.unreadable.is_empty() || sources.filter.has_include() {
            return None;
        }
        let resolved = read_mode::resolve(&root.path).ok()?;
        let mode = ReadMode::for_resolved(&root.path, &resolved, sources.mode).ok();
        let mode = mode.filter(|mode| *mode == origin.mode)?;
        let watcher = self.watcher.as_mut();
        let mut changing = Changing {
            root,
            resolved: &resolved,
            filter: &sources.filter,
            limit,
            snapshot: last,
            known,
            work: &mut self.work,
        };
        match &mode {
            ReadMode::Git { repository, below } => {
                // Commits tell what changed; events tell only when.
                watcher.into_iter().for_each(Watcher::refresh);
                changing.follow_commit(repository, below)?;
            }
            ReadMode::Worktree { repository } if scan == Scan::Changes => {
                let mut check = QuiescenceCheck::default();
                check.record(repository).ok()?;
                let changed = changing.follow_events(watcher?)?;
                changing.compare(repository, changed)?;
                check.verify().ok()?;
            }
            ReadMode::Plain if scan == Scan::Changes => drop(changing.follow_events(watcher?)?),
            ReadMode::Worktree { .. } | ReadMode::Plain => return None,
        }
        let snapshot = changing.snapshot;
        self.seal = seal(&snapshot, &self.known);
        Some(snapshot)
    }
}

/// The seal of a snapshot all files of which were looked at and are readable.
fn seal(snapshot: &Snapshot, known: &KnownRoots) -> Option<String> {
    let roots = known.iter().map(|(path, root)| (path.clone(), root.seal));
    seal::of_roots(roots).filter(|_| snapshot.unreadable.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
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
