//! The requests and spans that a collector has received, for tests that wait for them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Report, Span};
use crate::kit::wait::DEADLINE;

/// Requests of tracers, and the spans in them, in order of arrival.
#[derive(Clone)]
pub(super) struct Inbox(Arc<(Mutex<Received>, Condvar)>);

#[derive(Default)]
struct Received {
    reports: Vec<Report>,
    spans: Vec<Span>,
    /// The paths of requests that could not be decoded, with the reasons.
    undecodable: Vec<String>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self(Arc::new((Mutex::new(Received::default()), Condvar::new())))
    }

    fn lock(&self) -> MutexGuard<'_, Received> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request with its spans, or with the reason why they cannot be decoded.
    pub(super) fn put(&self, report: Report, spans: Result<Vec<Span>, String>) {
        let mut received = self.lock();
        received.reports.push(report);
        match spans {
            Ok(spans) => received.spans.extend(spans),
            Err(why) => received.undecodable.push(why),
        }
        self.0.1.notify_all();
    }

    /// All requests so far.
    pub(super) fn reports(&self) -> Vec<Report> {
        self.lock().reports.clone()
    }

    /// Waits until `find` returns a value for all spans received so far.
    #[track_caller]
    pub(super) fn wait_for<T>(&self, mut find: impl FnMut(&[Span]) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut received = self.lock();
        loop {
            let Received { spans, undecodable, .. } = &*received;
            assert!(undecodable.is_empty(), "the collector cannot decode: {undecodable:#?}");
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
