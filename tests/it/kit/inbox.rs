//! What a collector has received, for whoever waits for it.

use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::wait::DEADLINE;

/// Requests `R` of tracers, and the spans `S` in them, in order of arrival.
pub(crate) struct Inbox<R, S>(Arc<(Mutex<Received<R, S>>, Condvar)>);

struct Received<R, S> {
    reports: Vec<R>,
    spans: Vec<S>,
    /// What could not be read, and why.
    refused: Vec<String>,
}

impl<R, S> Clone for Inbox<R, S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: Clone, S: Debug> Inbox<R, S> {
    pub(crate) fn new() -> Self {
        let received = Received {
            reports: Vec::new(),
            spans: Vec::new(),
            refused: Vec::new(),
        };
        Self(Arc::new((Mutex::new(received), Condvar::new())))
    }

    fn lock(&self) -> MutexGuard<'_, Received<R, S>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request with what was in it, or why that could not be read.
    pub(crate) fn put(&self, report: R, spans: Result<Vec<S>, String>) {
        let mut received = self.lock();
        match spans {
            Ok(spans) => {
                received.reports.push(report);
                received.spans.extend(spans);
            }
            Err(why) => received.refused.push(why),
        }
        self.0.1.notify_all();
    }

    /// All requests so far.
    pub(crate) fn reports(&self) -> Vec<R> {
        self.lock().reports.clone()
    }

    /// Waits until `find` finds what it looks for among all spans so far.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, mut find: impl FnMut(&[S]) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut received = self.lock();
        loop {
            let Received { spans, refused, .. } = &*received;
            assert!(refused.is_empty(), "the collector could not read: {refused:#?}");
            if let Some(found) = find(spans) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "not among the spans that came within {DEADLINE:?}: {spans:#?}"
            );
            let waited = self.0.1.wait_timeout(received, left);
            received = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
