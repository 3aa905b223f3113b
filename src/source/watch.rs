//! The watch on sources, which tells when one may have changed.
//!
//! An event names a path that may have changed, and nothing more: some events never come, and a watch can degrade
//! without an error. So a caller that waits here also reads all sources from time to time, and calls
//! [`Watcher::refresh`] before: the watch then covers the directories of that moment, so that no later change is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{CreateKind, ModifyKind, RemoveKind};
use notify::{Config, EventKind, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::sources::Sources;
use super::wanted::{Concerns, Identity, ListedDirectories, Wanted};
use crate::system::beacon::Beacon;

/// A watch on sources that wakes a waiting task when they may have changed.
pub struct Watcher {
    sources: Sources,
    wake: Arc<Notify>,
    shared: Arc<Shared>,
    /// A file of this process. A change of it is an event after all events before it.
    beacon: Option<PathBuf>,
    /// The watch, and the directories that it has, each as it was when it was added.
    armed: Option<(RecommendedWatcher, BTreeMap<PathBuf, Identity>)>,
    listed: ListedDirectories,
    rearmed: u64,
    degraded_reason: Option<String>,
}

/// State that is shared with the thread that gets the events.
#[derive(Debug, Default)]
struct Shared {
    /// Set when events were lost, or the watch reported an error.
    is_lost: AtomicBool,
    overflows: AtomicU64,
    concerns: Mutex<Concerns>,
    changes: Mutex<Changes>,
    /// The directories that were removed. The watch of a directory ends with it, and another one in its place may have
    /// its inode.
    removed: Mutex<BTreeSet<PathBuf>>,
    beacon: Beacon,
}

/// The changes that events tell of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Changes {
    /// Anything may have changed.
    #[default]
    Unknown,
    /// These paths may have changed, and nothing else. Each is with whether it is sure to be or to have been a file.
    Paths(BTreeMap<PathBuf, bool>),
}

/// The number of paths from which on everything is looked at.
const MANY: usize = 256;

impl Changes {
    fn add(&mut self, path: &Path, is_file: bool) {
        if let Self::Paths(paths) = self {
            *paths.entry(path.to_owned()).or_default() |= is_file;
            if paths.len() > MANY {
                *self = Self::Unknown;
            }
        }
    }
}

/// The health of a watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// The number of watched directories.
    pub directories: usize,
    /// The number of times that events were lost.
    pub overflows: u64,
    /// The number of times that the watch was set up again.
    pub rearmed: u64,
    /// The reason why the watch is missing or may miss events: changes are then found at the next rescan.
    pub degraded_reason: Option<String>,
}

impl Watcher {
    /// A watch on all roots that notifies `wake`. [`Self::refresh`] sets it up.
    ///
    /// `beacon` is a file of this process that nobody else changes. Without one, events never tell what did not change.
    #[must_use]
    pub fn new(sources: &Sources, wake: Arc<Notify>, beacon: Option<PathBuf>) -> Self {
        Self {
            sources: sources.clone(),
            wake,
            shared: Arc::default(),
            beacon,
            armed: None,
            listed: ListedDirectories::new(),
            rearmed: 0,
            degraded_reason: None,
        }
    }

    /// The health of a watch.
    #[must_use]
    pub fn health(&self) -> Health {
        Health {
            directories: self.armed.as_ref().map_or(0, |(_, watched)| watched.len()),
            overflows: self.shared.overflows.load(Ordering::SeqCst),
            rearmed: self.rearmed,
            degraded_reason: self.degraded_reason.clone(),
        }
    }

    /// Brings the watch up to date: sets it up if there is none or it lost events, and adds directories
    /// that are new or were replaced.
    pub fn refresh(&mut self) {
        *lock(&self.shared.changes) = Changes::Paths(BTreeMap::new());
        let wanted = Wanted::for_sources(&self.sources, &mut self.listed);
        if self.shared.is_lost.swap(false, Ordering::SeqCst) {
            self.armed = None;
        }
        let degraded_reason = match self.watch(&wanted) {
            Ok(()) => wanted.silent,
            Err(error) => {
                self.armed = None;
                Some(format!("cannot watch the policies: {}", plain(&error)))
            }
        };
        self.record_degradation(degraded_reason);
        if self.degraded_reason.is_some() {
            *lock(&self.shared.changes) = Changes::Unknown;
        }
    }

    /// The changes since the last call, or since [`Self::refresh`]; those that the thread of the events knows so far.
    pub(super) fn take_changes(&mut self) -> Changes {
        std::mem::replace(&mut *lock(&self.shared.changes), Changes::Paths(BTreeMap::new()))
    }

    /// Whether there were no changes since the last call of [`Self::take_changes`].
    pub(super) fn has_no_changes(&self) -> bool {
        *lock(&self.shared.changes) == Changes::Paths(BTreeMap::new())
    }

    /// Waits until all events of earlier changes are known; false if that cannot be told.
    pub(super) fn settle(&mut self) -> bool {
        let is_heard = self.armed.is_some() && self.shared.beacon.settle();
        if !is_heard {
            // The file may have been replaced.
            self.armed = None;
        }
        is_heard
    }

    /// Logs when the watch degrades and when it recovers.
    fn record_degradation(&mut self, degraded_reason: Option<String>) {
        match (&self.degraded_reason, &degraded_reason) {
            (None, Some(why)) => tracing::warn!("{why}; changes are found at the next rescan"),
            (Some(_), None) => tracing::info!("changes of the policies are watched again"),
            _ => {}
        }
        self.degraded_reason = degraded_reason;
    }

    fn watch(&mut self, wanted: &Wanted) -> notify::Result<()> {
        *lock(&self.shared.concerns) = wanted.concerns.clone();
        let (watcher, watched) = match self.armed.take() {
            Some(armed) => self.armed.insert(armed),
            None => {
                let mut watcher = listener(Arc::clone(&self.shared), Arc::clone(&self.wake))?;
                self.rearmed += 1;
                let beacon = self.beacon.as_ref().and_then(|beacon| beacon.canonicalize().ok());
                let is_watched = |beacon: &PathBuf| watcher.watch(beacon, RecursiveMode::NonRecursive).is_ok();
                self.shared.beacon.set(beacon.filter(is_watched));
                self.armed.insert((watcher, BTreeMap::new()))
            }
        };
        let removed = std::mem::take(&mut *lock(&self.shared.removed));
        let gone: Vec<PathBuf> = (watched.iter())
            .filter(|(path, identity)| {
                let was_removed = path.ancestors().any(|above| removed.contains(above));
                was_removed || wanted.directories.get(*path) != Some(*identity)
            })
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            // The watch of a directory ends with the directory.
            let _ = watcher.unwatch(&path);
            watched.remove(&path);
        }
        for (path, identity) in &wanted.directories {
            if watched.contains_key(path) {
                continue;
            }
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watched.insert(path.clone(), *identity);
                }
                // A directory that vanishes meanwhile is an event of its parent.
                Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Shared {
    /// Takes note of an event; false if it does not matter.
    fn hear(&self, event: notify::Result<notify::Event>) -> bool {
        let event = match event {
            Ok(event) if event.need_rescan() => {
                self.overflows.fetch_add(1, Ordering::SeqCst);
                self.lose();
                return true;
            }
            Ok(event) => event,
            Err(_) => {
                self.lose();
                return true;
            }
        };
        if self.beacon.hear(&event.paths) {
            return false;
        }
        let is_file = matches!(
            event.kind,
            EventKind::Create(CreateKind::File)
                | EventKind::Remove(RemoveKind::File)
                | EventKind::Modify(ModifyKind::Data(_))
        );
        let is_folder = matches!(
            event.kind,
            EventKind::Create(CreateKind::Folder) | EventKind::Remove(RemoveKind::Folder)
        );
        if matches!(event.kind, EventKind::Remove(kind) if kind != RemoveKind::File) {
            lock(&self.removed).extend(event.paths.iter().cloned());
        }
        let (concerns, mut changes) = (lock(&self.concerns), lock(&self.changes));
        if event.paths.is_empty() {
            *changes = Changes::Unknown;
        }
        let mut matters = event.paths.is_empty();
        for path in event.paths.iter().filter(|path| concerns.contain(path)) {
            matters = true;
            if concerns.signs.contains(path) {
                continue;
            }
            if is_folder || concerns.paths.contains(path) {
                *changes = Changes::Unknown;
            } else {
                changes.add(path, is_file);
            }
        }
        matters
    }

    /// Records that events were lost.
    fn lose(&self) {
        self.is_lost.store(true, Ordering::SeqCst);
        *lock(&self.changes) = Changes::Unknown;
    }
}

/// A lock that outlives a panic of its other holders.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A watch without directories.
fn listener(shared: Arc<Shared>, wake: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    // Reading a file is no change.
    let config = Config::default().with_event_kinds(EventKindMask::CORE);
    let hear = move |event: notify::Result<notify::Event>| {
        if shared.hear(event) {
            wake.notify_one();
        }
    };
    RecommendedWatcher::new(hear, config)
}

/// An error of the watch without its paths, which may be many.
fn plain(error: &notify::Error) -> String {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            "the limit of watches is reached (sysctl fs.inotify.max_user_watches)".to_owned()
        }
        notify::ErrorKind::Io(error) if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            "the limit of watchers or open files is reached (sysctl fs.inotify.max_user_instances)".to_owned()
        }
        notify::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    /// Waits for an event, for at most a time that no machine needs.
    async fn woken(wake: &Notify) {
        tokio::time::timeout(Duration::from_secs(60), wake.notified())
            .await
            .expect("an event");
    }

    fn watch(root: &Path) -> (Watcher, Arc<Notify>) {
        let wake = Arc::new(Notify::new());
        let mut watcher = Watcher::new(&Sources::one(root), Arc::clone(&wake), None);
        watcher.refresh();
        (watcher, wake)
    }

    #[tokio::test]
    async fn a_write_a_new_directory_and_a_replaced_root_wake() {
        let parent = tempfile::tempdir().expect("a directory");
        let root = parent.path().join("policies");
        fs::create_dir(&root).expect("a directory");
        let (mut watcher, wake) = watch(&root);
        fs::write(root.join("a.yaml"), "x").expect("a file");
        woken(&wake).await;
        fs::create_dir(root.join("new")).expect("a directory");
        woken(&wake).await;
        watcher.refresh();
        fs::write(root.join("new/a.yaml"), "x").expect("a file");
        woken(&wake).await;
        fs::rename(&root, parent.path().join("old")).expect("renamed");
        fs::create_dir(&root).expect("a directory");
        woken(&wake).await;
        watcher.refresh();
        fs::write(root.join("b.yaml"), "x").expect("a file");
        woken(&wake).await;
        assert_eq!(watcher.health().degraded_reason, None);
    }

    #[tokio::test]
    async fn a_missing_root_wakes_when_it_comes() {
        let parent = tempfile::tempdir().expect("a directory");
        let root = parent.path().join("above/policies");
        let (mut watcher, wake) = watch(&root);
        fs::create_dir(parent.path().join("above")).expect("a directory");
        woken(&wake).await;
        watcher.refresh();
        fs::create_dir(&root).expect("a directory");
        woken(&wake).await;
        watcher.refresh();
        fs::write(root.join("a.yaml"), "x").expect("a file");
        woken(&wake).await;
    }

    #[tokio::test]
    async fn a_link_that_flips_wakes_wherever_it_is_on_the_way() {
        let parent = tempfile::tempdir().expect("a directory");
        for name in ["one/policies", "two/policies"] {
            fs::create_dir_all(parent.path().join(name)).expect("a directory");
        }
        let current = parent.path().join("current");
        std::os::unix::fs::symlink("one", &current).expect("a link");
        let (mut watcher, wake) = watch(&current.join("policies"));
        let new = parent.path().join("new");
        std::os::unix::fs::symlink("two", &new).expect("a link");
        fs::rename(&new, &current).expect("renamed");
        woken(&wake).await;
        watcher.refresh();
        fs::write(parent.path().join("two/policies/a.yaml"), "x").expect("a file");
        woken(&wake).await;
    }
}
