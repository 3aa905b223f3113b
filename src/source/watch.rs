//! The watch on sources, which tells when one may have changed.
//!
//! An event is a hint and nothing more: its content is ignored, some events never come, and a watch can degrade
//! without an error. So a caller that waits here also reads the sources from time to time, and calls
//! [`Watcher::refresh`] before each read: the watch then covers the directories of that moment, so that no later
//! change is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use notify::{Config, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use walkdir::WalkDir;

use super::read_mode::ReadMode;
use super::sources::Sources;
use super::worktree;

/// The names in the directory of a repository that decide which commit is read.
const REFERENCES: [&str; 3] = ["HEAD", "packed-refs", "config"];

/// File systems without events for changes by other machines, by the numbers of statfs(2).
const SILENT: [(i64, &str); 8] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x4750_4653, "GPFS"),
];

/// A watch on sources that wakes a waiting task when they may have changed.
pub struct Watcher {
    sources: Sources,
    wake: Arc<Notify>,
    shared: Arc<Shared>,
    /// The watch, and the directories that it has, each as it was when it was added.
    armed: Option<(RecommendedWatcher, BTreeMap<PathBuf, Identity>)>,
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
}

/// The paths whose events matter.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Concerns {
    /// Directories of which everything matters.
    trees: BTreeSet<PathBuf>,
    /// Single paths that matter: links, and roots that may be replaced.
    paths: BTreeSet<PathBuf>,
}

impl Concerns {
    fn contain(&self, path: &Path) -> bool {
        self.paths.contains(path) || path.ancestors().any(|above| self.trees.contains(above))
    }
}

/// The identity of a directory: device and inode.
type Identity = (u64, u64);

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
    #[must_use]
    pub fn new(sources: &Sources, wake: Arc<Notify>) -> Self {
        Self {
            sources: sources.clone(),
            wake,
            shared: Arc::default(),
            armed: None,
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
        let wanted = Wanted::for_sources(&self.sources);
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
        *self.shared.concerns.lock().unwrap_or_else(PoisonError::into_inner) = wanted.concerns.clone();
        let (watcher, watched) = match self.armed.take() {
            Some(armed) => self.armed.insert(armed),
            None => {
                let watcher = listener(Arc::clone(&self.shared), Arc::clone(&self.wake))?;
                self.rearmed += 1;
                self.armed.insert((watcher, BTreeMap::new()))
            }
        };
        let gone: Vec<PathBuf> = (watched.iter())
            .filter(|(path, identity)| wanted.directories.get(*path) != Some(*identity))
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

/// A watch without directories.
fn listener(shared: Arc<Shared>, wake: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    // Reading a file is no change.
    let config = Config::default().with_event_kinds(EventKindMask::CORE);
    let hear = move |event: notify::Result<notify::Event>| {
        match &event {
            Ok(event) if event.need_rescan() => {
                shared.is_lost.store(true, Ordering::SeqCst);
                shared.overflows.fetch_add(1, Ordering::SeqCst);
            }
            Ok(event) if event.paths.is_empty() => {}
            Ok(event) => {
                let concerns = shared.concerns.lock().unwrap_or_else(PoisonError::into_inner);
                if !event.paths.iter().any(|path| concerns.contain(path)) {
                    return;
                }
            }
            Err(_) => shared.is_lost.store(true, Ordering::SeqCst),
        }
        wake.notify_one();
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

/// The directories and paths to watch.
#[derive(Debug, Default)]
struct Wanted {
    directories: BTreeMap<PathBuf, Identity>,
    concerns: Concerns,
    /// The reason why events may be missed.
    silent: Option<String>,
}

impl Wanted {
    fn for_sources(sources: &Sources) -> Self {
        let mut wanted = Self::default();
        for root in &sources.roots {
            wanted.way_to(&root.path, 0);
            match ReadMode::for_root(&root.path, sources.mode) {
                Ok(ReadMode::Git { repository, .. }) => {
                    // The checkout around the root may be replaced as a whole.
                    wanted.way_to(&repository.top, 0);
                    // Its index describes files, which are not read in this mode.
                    wanted.repository(&repository.git_dir, REFERENCES);
                    let common = repository.common_dir();
                    wanted.repository(&common, REFERENCES);
                    wanted.tree(&common.join("refs"), |_| true);
                    wanted.silent(&common);
                }
                Ok(ReadMode::Worktree { repository }) => {
                    wanted.way_to(&repository.top, 0);
                    wanted.repository(&repository.git_dir, REFERENCES);
                    wanted.repository(&repository.git_dir, worktree::signs());
                    wanted.files(&root.path, sources);
                    wanted.links(&root.path, &repository.top);
                }
                Ok(ReadMode::Plain) | Err(_) => wanted.files(&root.path, sources),
            }
        }
        wanted
    }

    /// Adds the directory of a repository, in which these names matter.
    fn repository(&mut self, git_dir: &Path, names: impl IntoIterator<Item = &'static str>) {
        self.directory(git_dir);
        let reftable = git_dir.join("reftable");
        if reftable.is_dir() {
            self.directory(&reftable);
            self.concerns.trees.insert(reftable);
        }
        for name in names {
            self.concerns.paths.insert(git_dir.join(name));
        }
    }

    /// Adds the directories of a root.
    fn files(&mut self, root: &Path, sources: &Sources) {
        let Ok(resolved) = fs::canonicalize(root) else { return };
        self.silent(&resolved);
        if resolved.is_file() {
            self.concerns.paths.insert(resolved.clone());
            if let Some(parent) = resolved.parent() {
                self.directory(parent);
            }
            return;
        }
        let below = |path: &Path| path.strip_prefix(&resolved).unwrap_or(path).to_owned();
        self.tree(&resolved, |path| sources.filter.enters(&below(path)));
    }

    /// Adds the targets of links that lead out of a root and stay in its repository.
    fn links(&mut self, root: &Path, top: &Path) {
        let Ok(resolved) = fs::canonicalize(root) else { return };
        let mut trees = vec![resolved];
        let mut i = 0;
        while let Some(tree) = trees.get(i).cloned() {
            i += 1;
            let entries = WalkDir::new(&tree).into_iter();
            let entries = entries.filter_entry(|entry| entry.file_name() != ".git").flatten();
            for link in entries.filter(|entry| entry.path_is_symlink()) {
                self.way_to(link.path(), 0);
                let target = fs::canonicalize(link.path()).ok();
                let target = target.filter(|target| target.is_dir() && target.starts_with(top));
                if let Some(target) = target.filter(|target| !trees.iter().any(|tree| target.starts_with(tree))) {
                    self.tree(&target, |_| true);
                    trees.push(target);
                }
            }
        }
    }

    fn tree(&mut self, root: &Path, is_entered: impl Fn(&Path) -> bool) {
        self.concerns.trees.insert(root.to_owned());
        // Hidden directories are entered too: links lead into them, as those of a ConfigMap do. Git's own is not.
        let entries = WalkDir::new(root).into_iter().filter_entry(|entry| {
            entry.depth() == 0
                || (entry.file_type().is_dir() && entry.file_name() != ".git" && is_entered(entry.path()))
        });
        for entry in entries.flatten() {
            self.directory(entry.path());
        }
    }

    /// Adds all links on the way to a path, and the path itself: each can be replaced, or may be created later. Only
    /// the directories above get events for that.
    fn way_to(&mut self, path: &Path, depth: usize) {
        let Ok(absolute) = std::path::absolute(path) else {
            return;
        };
        let mut above = PathBuf::new();
        for part in absolute.components() {
            let parent = above.clone();
            above.push(part);
            let Ok(metadata) = fs::symlink_metadata(&above) else {
                // The path may be created later.
                self.entry(&parent, &above);
                return;
            };
            if metadata.is_symlink() && depth < 40 {
                self.entry(&parent, &above);
                if let Ok(target) = fs::read_link(&above) {
                    self.way_to(&parent.join(target), depth + 1);
                }
            }
        }
        if let Some(parent) = absolute.parent() {
            self.entry(parent, &absolute);
        }
    }

    /// Adds an entry of a directory, under the path that events name.
    fn entry(&mut self, parent: &Path, path: &Path) {
        if let (Ok(parent), Some(name)) = (fs::canonicalize(parent), path.file_name()) {
            self.concerns.paths.insert(parent.join(name));
            self.directory(&parent);
        }
    }

    fn directory(&mut self, path: &Path) {
        if let Ok(metadata) = fs::metadata(path)
            && metadata.is_dir()
        {
            let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            self.directories.insert(path, (metadata.dev(), metadata.ino()));
        }
    }

    fn silent(&mut self, path: &Path) {
        let Ok(stat) = rustix::fs::statfs(path) else { return };
        // The width of the number differs between machines.
        #[allow(clippy::unnecessary_cast)]
        let kind = stat.f_type as i64 & 0xffff_ffff;
        if let Some((_, name)) = SILENT.iter().find(|(number, _)| *number == kind) {
            self.silent = Some(format!(
                "{} is on {name}, which does not report changes",
                path.display()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
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
        let mut watcher = Watcher::new(&Sources::one(root), Arc::clone(&wake));
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

    #[test]
    fn what_others_do_beside_the_root_is_no_concern() {
        let parent = tempfile::tempdir().expect("a directory");
        let root = parent.path().join("policies");
        fs::create_dir(&root).expect("a directory");
        let wanted = Wanted::for_sources(&Sources::one(&root));
        let root = fs::canonicalize(&root).expect("there");
        assert!(wanted.concerns.contain(&root.join("a/b.yaml")));
        assert!(!wanted.concerns.contain(&root.with_file_name("other")));
        assert_eq!(wanted.directories.len(), 2);
    }
}
