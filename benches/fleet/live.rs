//! A daemon without its loop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use meshtraced::apply::{OutputWatch, Session, Target};
use meshtraced::reconcile::{self, Cache, ReconcileOptions, Reconciliation, Stage};
use meshtraced::settings::{Overrides, Settings};
use meshtraced::source::Scan;
use meshtraced::source::watch::Watcher;
use tokio::sync::Notify;

use crate::{floor, tree};

/// The number of edits of which the median counts.
pub(crate) const EDITS: usize = 9;
/// Time for events to arrive, which is not measured.
const QUIET: Duration = Duration::from_millis(100);

fn after_quiet(work: impl FnOnce()) -> Duration {
    thread::sleep(QUIET);
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A daemon without its loop: what it does between the quiet time and the last rename.
pub(crate) struct Live {
    settings: Settings,
    target: Target,
    session: Session,
    cache: Cache,
    source: PathBuf,
}

impl Live {
    pub(crate) fn start(settings: &str, source: &Path) -> Self {
        let settings = Settings::load(Some(Path::new(settings)), &Overrides::default()).expect("settings");
        let target = Target::from_settings(&settings).expect("a target");
        let session = Session::open(&target).expect("nobody else publishes there");
        let mut cache = Cache::default();
        let beacon = Some(target.out.lock_file());
        cache.watch(Watcher::new(&settings.sources(), Arc::new(Notify::new()), beacon));
        cache.watch_output(OutputWatch::new(&target.out, || ()));
        let mut live = Self {
            settings,
            target,
            session,
            cache,
            source: source.to_owned(),
        };
        // The first may start from the last run, and compiles nothing then.
        live.reconcile(Scan::Full);
        live.reconcile(Scan::Full);
        live
    }

    fn reconcile(&mut self, scan: Scan) -> Reconciliation {
        let options = ReconcileOptions {
            scan,
            ..ReconcileOptions::default()
        };
        let reconciled = reconcile::reconcile(&self.settings, &self.target, &self.session, &mut self.cache, &options);
        reconciled.expect("a directory that can be written")
    }

    /// Looks at everything, and finds nothing to do.
    pub(crate) fn rescan(&mut self) {
        assert!(self.reconcile(Scan::Full).carried_out().changes.is_empty());
    }

    /// The median of the times of several edits of a file, each from its events until all files are in place; and the median of those
    /// in which one file alone is put in place, each right after an edit.
    pub(crate) fn edits(&mut self, path: &str, dir: &Path) -> (Duration, Duration) {
        let edit = |i| {
            tree::edit(&self.source.join(path), i);
            let mut recording = Duration::ZERO;
            let all = after_quiet(|| {
                let reconciliation = self.reconcile(Scan::Changes);
                assert!(!reconciliation.carried_out().changes.is_empty());
                recording = reconciliation.stages[&Stage::Record];
            });
            (all - recording, after_quiet(|| floor::publish(dir)))
        };
        let (edits, floors) = (0..EDITS).map(edit).unzip();
        (median(edits), median(floors))
    }
}
