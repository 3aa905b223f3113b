//! The watch on published files, which tells that somebody else may have edited some.
//!
//! An edit that no event tells of is found at the next rescan, as everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::{Config, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::output::OutputDir;
use crate::envoy::artifact::{Artifact, Elsewhere, ProxyKey, SUBDIRECTORIES};
use crate::system::beacon::Beacon;

/// The most proxies that are watched, each with at most three directories of its own: the watches of all programs of a
/// user are limited, and those on the policies matter more.
const MOST: usize = 2048;

/// A watch on the files of the published proxies.
pub struct OutputWatch {
    out: OutputDir,
    wake: Arc<dyn Fn() + Send + Sync>,
    shared: Arc<Shared>,
    watcher: Option<RecommendedWatcher>,
    /// The proxies, each with the paths of its files that are not below the output directory.
    watched: BTreeMap<ProxyKey, BTreeSet<PathBuf>>,
    /// Whether there is no watch until [`Self::follow`] tries again, because there are too many proxies or the system
    /// refuses it.
    is_off: bool,
}

/// State that is shared with the thread that gets the events.
#[derive(Default)]
struct Shared {
    /// The proxies by their directories, with the name of the directory below that of the proxy.
    directories: Mutex<BTreeMap<PathBuf, (ProxyKey, Option<&'static str>)>>,
    /// The proxies by the paths of files that are not below the output directory.
    elsewhere: Mutex<BTreeMap<PathBuf, ProxyKey>>,
    touched: Mutex<Touched>,
    /// The proxies that this process publishes just now, whose events are its own.
    own: Mutex<BTreeSet<ProxyKey>>,
    beacon: Beacon,
}

/// The proxies of which events told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// All may be touched, since events were lost.
    All,
    /// These proxies, and no others.
    Proxies(BTreeSet<ProxyKey>),
}

impl Default for Touched {
    fn default() -> Self {
        Self::Proxies(BTreeSet::new())
    }
}

impl OutputWatch {
    /// A watch that calls `wake` when somebody may have touched a published file. It watches nothing yet.
    pub fn new(out: &OutputDir, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            out: out.clone(),
            wake: Arc::new(wake),
            shared: Arc::default(),
            watcher: None,
            watched: BTreeMap::new(),
            is_off: false,
        }
    }

    /// The proxies that were touched since the last call.
    pub fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut *lock(&self.shared.touched))
    }

    /// Watches these proxies, and no others, from now on. `elsewhere` has the files that are not below the output directory.
    pub fn follow<'p>(
        &mut self,
        proxies: impl ExactSizeIterator<Item = &'p ProxyKey>,
        elsewhere: &BTreeMap<ProxyKey, Elsewhere>,
    ) {
        if proxies.len() > MOST {
            self.stop();
            return;
        }
        self.is_off = false;
        let published: BTreeSet<&ProxyKey> = proxies.collect();
        let gone: Vec<ProxyKey> = (self.watched.keys())
            .filter(|proxy| !published.contains(proxy))
            .cloned()
            .collect();
        gone.iter().for_each(|proxy| self.remove(proxy));
        for proxy in published {
            let elsewhere = elsewhere.get(proxy);
            if self.watched.get(proxy) != Some(&paths(elsewhere)) {
                self.add(proxy, elsewhere);
            }
        }
    }

    /// Watches a proxy that was published, also if it is watched already: its directories may be others.
    pub fn add(&mut self, proxy: &ProxyKey, elsewhere: Option<&Elsewhere>) {
        if self.is_off {
            return;
        }
        if self.watched.len() >= MOST && !self.watched.contains_key(proxy) {
            self.stop();
            return;
        }
        if self.watcher.is_none() {
            self.watcher = self.start();
        }
        let paths = paths(elsewhere);
        if self.watched.get(proxy).is_some_and(|watched| *watched != paths) {
            self.remove(proxy);
        }
        let mut watched: Vec<PathBuf> = paths
            .iter()
            .filter_map(|path| Some(path.parent()?.to_owned()))
            .collect();
        for (directory, name) in directories(&self.out, proxy) {
            lock(&self.shared.directories).insert(directory.clone(), (proxy.clone(), name));
            watched.push(directory);
        }
        lock(&self.shared.elsewhere).extend(paths.iter().map(|path| (path.clone(), proxy.clone())));
        if watched.iter().all(|directory| self.watch(directory)) {
            self.watched.insert(proxy.clone(), paths);
        } else {
            self.stop();
        }
    }

    /// Watches a directory; false if that is not possible.
    fn watch(&mut self, directory: &Path) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        match watcher.watch(directory, RecursiveMode::NonRecursive) {
            // Without its files, the directory is missed at the next look.
            Err(error) if !matches!(error.kind, notify::ErrorKind::PathNotFound) => {
                let directory = directory.display();
                tracing::debug!("cannot watch {directory}: {error}; edits are found at the next rescan");
                false
            }
            _ => true,
        }
    }

    /// Watches a proxy no more.
    pub fn remove(&mut self, proxy: &ProxyKey) {
        let Some(paths) = self.watched.remove(proxy) else {
            return;
        };
        let mut unwatched = Vec::new();
        for (directory, _) in directories(&self.out, proxy) {
            lock(&self.shared.directories).remove(&directory);
            unwatched.push(directory);
        }
        let mut elsewhere = lock(&self.shared.elsewhere);
        for path in &paths {
            if elsewhere.get(path) == Some(proxy) {
                elsewhere.remove(path);
            }
        }
        // Others may have files in the same directory.
        let is_left = |parent: &Path| {
            elsewhere
                .range(parent.to_owned()..)
                .take_while(|(path, _)| path.starts_with(parent))
                .any(|(path, _)| path.parent() == Some(parent))
        };
        let parents = paths.iter().filter_map(|path| path.parent());
        unwatched.extend(parents.filter(|parent| !is_left(parent)).map(Path::to_owned));
        drop(elsewhere);
        for directory in unwatched {
            if let Some(watcher) = &mut self.watcher {
                // The watch of a directory ends with it.
                let _ = watcher.unwatch(&directory);
            }
        }
    }

    /// Passes over events of these proxies until [`Self::end_publication`]: they are published now.
    pub fn begin_publication(&self, proxies: impl Iterator<Item = ProxyKey>) {
        *lock(&self.shared.own) = proxies.collect();
    }

    /// Ends a publication, once its own events have come.
    pub fn end_publication(&self) {
        if lock(&self.shared.own).is_empty() {
            return;
        }
        // If events are late, what they name is looked at once more.
        let _ = self.shared.beacon.settle();
        lock(&self.shared.own).clear();
    }

    /// Begins to hear of changes; `None` if the system refuses it.
    fn start(&self) -> Option<RecommendedWatcher> {
        let (shared, wake) = (Arc::clone(&self.shared), Arc::clone(&self.wake));
        let hear = move |event: notify::Result<notify::Event>| {
            if shared.hear(event) {
                wake();
            }
        };
        // Reading a file is no change.
        let config = Config::default().with_event_kinds(EventKindMask::CORE);
        let mut watcher = RecommendedWatcher::new(hear, config).ok()?;
        let beacon = self.out.lock_file();
        let is_watched = watcher.watch(&beacon, RecursiveMode::NonRecursive).is_ok();
        self.shared.beacon.set(is_watched.then_some(beacon));
        Some(watcher)
    }

    fn stop(&mut self) {
        self.is_off = true;
        self.watched.clear();
        lock(&self.shared.directories).clear();
        lock(&self.shared.elsewhere).clear();
        if self.watcher.take().is_some() {
            self.shared.beacon.set(None);
            // What it would have told of by now.
            *lock(&self.shared.touched) = Touched::All;
        }
    }
}

/// The paths of the files that are not below the output directory.
fn paths(elsewhere: Option<&Elsewhere>) -> BTreeSet<PathBuf> {
    elsewhere.into_iter().flat_map(Elsewhere::values).cloned().collect()
}

/// The directories of a proxy with files.
fn directories(out: &OutputDir, proxy: &ProxyKey) -> [(PathBuf, Option<&'static str>); 3] {
    let directory = out.root.join(proxy.directory());
    let [xds, tracing] = SUBDIRECTORIES.map(|name| (directory.join(name), Some(name)));
    [(directory, None), xds, tracing]
}

impl Shared {
    /// Takes note of an event; false if it does not matter.
    fn hear(&self, event: notify::Result<notify::Event>) -> bool {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            Ok(_) | Err(_) => {
                *lock(&self.touched) = Touched::All;
                return true;
            }
        };
        if self.beacon.hear(&event.paths) {
            return false;
        }
        let (directories, elsewhere) = (lock(&self.directories), lock(&self.elsewhere));
        let of_file = |path: &PathBuf| {
            if let Some(proxy) = elsewhere.get(path) {
                return Some(proxy.clone());
            }
            // An Envoy has its socket there too.
            let (proxy, subdirectory) = directories.get(path.parent()?)?;
            let name = path.file_name()?.to_str()?;
            let is_ours = match subdirectory {
                Some(parent) => Artifact::at(&format!("{parent}/{name}")).is_some(),
                None => Artifact::at(name).is_some() || SUBDIRECTORIES.contains(&name),
            };
            is_ours.then(|| proxy.clone())
        };
        let own = lock(&self.own);
        let proxies = event
            .paths
            .iter()
            .filter_map(of_file)
            .filter(|proxy| !own.contains(proxy));
        let proxies: Vec<ProxyKey> = proxies.collect();
        let matters = !proxies.is_empty();
        if let Touched::Proxies(touched) = &mut *lock(&self.touched) {
            touched.extend(proxies);
        }
        matters
    }
}

/// A lock that outlives a panic of its other holders.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
