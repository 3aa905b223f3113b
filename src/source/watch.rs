//! Tells when a source may have changed.
//!
//! Events are a hint and nothing more: what they say is not looked at, some never come, and a watch can go deaf
//! without a word. So whoever waits here also looks by itself from time to time, and calls
//! [`Watcher::refresh`] then.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// Watches a source and wakes somebody.
pub struct Watcher {
    root: PathBuf,
    wake: Arc<Notify>,
    /// Set when events were lost, or the watch reported trouble.
    deaf: Arc<AtomicBool>,
    /// The watch, and what was behind the path when it was set up.
    armed: Option<(Option<Identity>, RecommendedWatcher)>,
}

/// Which directory is behind the path of the source.
type Identity = (PathBuf, u64, u64);

/// What a look at the watch found.
#[derive(Debug)]
pub enum Refreshed {
    /// It is as it was.
    Same,
    /// It was set up; what changed before that raised no event.
    Armed,
    /// It cannot be set up: changes are found only by looking from time to time.
    Failed(notify::Error),
}

impl Watcher {
    /// A watch on `root` that wakes `wake`; [`Self::refresh`] sets it up.
    #[must_use]
    pub fn new(root: &Path, wake: Arc<Notify>) -> Self {
        Self {
            root: root.to_owned(),
            wake,
            deaf: Arc::default(),
            armed: None,
        }
    }

    /// What is watched.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Sets the watch up where there is none, where it went deaf, and where the path leads to another directory
    /// than before.
    pub fn refresh(&mut self) -> Refreshed {
        let identity = identity(&self.root);
        let is_same = self.armed.as_ref().is_some_and(|(armed, _)| *armed == identity);
        if !self.deaf.swap(false, Ordering::SeqCst) && is_same {
            return Refreshed::Same;
        }
        self.armed = None;
        match self.arm() {
            Ok(watcher) => {
                self.armed = Some((identity, watcher));
                Refreshed::Armed
            }
            Err(error) => Refreshed::Failed(error),
        }
    }

    fn arm(&self) -> notify::Result<RecommendedWatcher> {
        let (wake, deaf) = (Arc::clone(&self.wake), Arc::clone(&self.deaf));
        let resolved = fs::canonicalize(&self.root).ok();
        let (link, target) = (std::path::absolute(&self.root)?, resolved.clone());
        // The parents are watched as well, and what else lies in them concerns nobody.
        let concerns =
            move |path: &PathBuf| *path == link || target.as_ref().is_some_and(|target| path.starts_with(target));
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            match &event {
                // Reading the source must not wake the reader.
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => return,
                Ok(event) if event.need_rescan() => deaf.store(true, Ordering::SeqCst),
                Ok(event) if !event.paths.is_empty() && !event.paths.iter().any(&concerns) => return,
                Ok(_) => {}
                Err(_) => deaf.store(true, Ordering::SeqCst),
            }
            wake.notify_one();
        })?;
        if let Some(resolved) = &resolved {
            watcher.watch(resolved, RecursiveMode::Recursive)?;
        }
        // The directory itself, and a link to it, can be replaced or still be to come: only parents see that.
        for path in [Some(&self.root), resolved.as_ref()].into_iter().flatten() {
            let path = std::path::absolute(path)?;
            let is_watched = |parent: &Path| resolved.as_ref().is_some_and(|resolved| parent.starts_with(resolved));
            if let Some(parent) = path.parent().filter(|parent| !is_watched(parent)) {
                watcher.watch(parent, RecursiveMode::NonRecursive)?;
            }
        }
        Ok(watcher)
    }
}

fn identity(root: &Path) -> Option<Identity> {
    let resolved = fs::canonicalize(root).ok()?;
    let metadata = fs::metadata(&resolved).ok()?;
    Some((resolved, metadata.dev(), metadata.ino()))
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

    #[tokio::test]
    async fn a_write_a_new_directory_and_a_replaced_root_wake() {
        let parent = tempfile::tempdir().expect("a directory");
        let root = parent.path().join("policies");
        fs::create_dir(&root).expect("a directory");
        let wake = Arc::new(Notify::new());
        let mut watcher = Watcher::new(&root, Arc::clone(&wake));
        assert!(matches!(watcher.refresh(), Refreshed::Armed));
        assert!(matches!(watcher.refresh(), Refreshed::Same));
        fs::write(root.join("a.yaml"), "x").expect("a file");
        woken(&wake).await;
        fs::create_dir(root.join("new")).expect("a directory");
        woken(&wake).await;
        fs::rename(&root, parent.path().join("old")).expect("renamed");
        fs::create_dir(&root).expect("a directory");
        woken(&wake).await;
        assert!(matches!(watcher.refresh(), Refreshed::Armed));
        fs::write(root.join("b.yaml"), "x").expect("a file");
        woken(&wake).await;
    }

    #[tokio::test]
    async fn a_missing_root_wakes_when_it_comes() {
        let parent = tempfile::tempdir().expect("a directory");
        let root = parent.path().join("policies");
        let wake = Arc::new(Notify::new());
        let mut watcher = Watcher::new(&root, Arc::clone(&wake));
        assert!(matches!(watcher.refresh(), Refreshed::Armed));
        fs::create_dir(&root).expect("a directory");
        woken(&wake).await;
        assert!(matches!(watcher.refresh(), Refreshed::Armed));
        fs::write(root.join("a.yaml"), "x").expect("a file");
        woken(&wake).await;
    }

    #[test]
    fn a_root_that_cannot_come_fails() {
        let mut watcher = Watcher::new(Path::new("/no/such/directory"), Arc::new(Notify::new()));
        assert!(matches!(watcher.refresh(), Refreshed::Failed(_)));
    }
}
