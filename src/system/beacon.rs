//! A beacon: a file of this process, whose change is an event after all earlier events of the same watch.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// The time after which the event of a beacon is taken for lost.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A beacon, shared with the thread that gets the events.
#[derive(Debug, Default)]
pub struct Beacon {
    /// The real path of the file, if it is watched, and the number of its events.
    state: Mutex<(Option<PathBuf>, u64)>,
    is_heard: Condvar,
}

impl Beacon {
    /// Uses a file from now on, which the watch has to cover; none if nothing is watched.
    pub fn set(&self, file: Option<PathBuf>) {
        self.lock().0 = file;
    }

    /// Whether an event of these paths is that of the beacon, which is recorded.
    pub fn hear(&self, paths: &[PathBuf]) -> bool {
        let mut state = self.lock();
        let is_it = state.0.as_ref().is_some_and(|file| paths.contains(file));
        if is_it {
            state.1 += 1;
            self.is_heard.notify_all();
        }
        is_it
    }

    /// Waits until all events of earlier changes are known; false if that cannot be told.
    pub fn settle(&self) -> bool {
        let (file, heard) = self.lock().clone();
        let touch = |file: PathBuf| File::open(file).and_then(|file| file.set_modified(SystemTime::now()));
        if file.is_none_or(|file| touch(file).is_err()) {
            return false;
        }
        let is_waiting = |(_, now): &mut (Option<PathBuf>, u64)| *now == heard;
        let waited = self.is_heard.wait_timeout_while(self.lock(), TIMEOUT, is_waiting);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, (Option<PathBuf>, u64)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
