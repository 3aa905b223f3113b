//! The queue of reloads, and the threads that make them.
//!
//! The same call never runs twice at a time, and at most one more of it waits: for everything that came meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::call::Call;
use super::state::Loaded;
use crate::envoy::artifact::ProxyKey;

/// The number of reloads that are made at the same time.
const AT_ONCE: usize = 8;

/// The pauses after the first failure and after many.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// The files with which proxies are to run.
pub(super) type Wanted = BTreeMap<ProxyKey, Loaded>;

/// The queue and its threads.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    is_abandoned: AtomicBool,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// The reloads that wait, run, and have ended.
#[derive(Default)]
pub(super) struct State {
    waiting: BTreeMap<Call, Waiting>,
    running: BTreeMap<Call, Running>,
    ended: Vec<Ended>,
    threads: usize,
    /// Whether failed reloads are not tried again.
    is_ending: bool,
}

struct Waiting {
    wanted: Wanted,
    due: Instant,
    failures: Failures,
}

struct Running {
    wanted: Wanted,
    failures: Failures,
    /// Whether the reload is tried again when it fails.
    is_wanted: bool,
}

/// The failures since the last success.
#[derive(Debug, Clone, Default)]
pub(super) struct Failures {
    pub(super) count: u32,
    pub(super) why: String,
}

/// A reload that has ended.
pub(super) struct Ended {
    pub(super) call: Call,
    pub(super) wanted: Wanted,
    pub(super) result: Result<Duration, String>,
    /// The number of attempts, this one included.
    pub(super) attempts: u32,
}

impl Queue {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `wake` whenever a reload has ended, from now on.
    pub(super) fn on_end(&self, wake: Box<dyn Fn() + Send + Sync>) {
        // A second function would wake the same process.
        let _ = self.wake.set(wake);
    }

    /// Starts threads for the reloads that wait.
    pub(super) fn serve(self: &Arc<Self>, state: &mut State) {
        let needed = AT_ONCE.min(state.waiting.len() + state.running.len());
        while state.threads < needed {
            let queue = Arc::clone(self);
            let spawned = thread::Builder::new()
                .name("reload".to_owned())
                .spawn(move || queue.work());
            match spawned {
                Ok(_) => state.threads += 1,
                // The threads that run make them, or the next reconciliation tries again.
                Err(error) => {
                    tracing::warn!("cannot start a thread for reloads: {error}");
                    break;
                }
            }
        }
        self.changed.notify_all();
    }

    /// Makes reloads until none waits.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            state = match state.next() {
                Next::Nothing => break,
                Next::Wait(time) => {
                    let waited = self.changed.wait_timeout(state, time);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Next::Run(call) => {
                    drop(state);
                    let start = Instant::now();
                    let result = call.carry_out(&self.is_abandoned).map(|()| start.elapsed());
                    self.lock().end(call, result);
                    self.changed.notify_all();
                    if let Some(wake) = self.wake.get() {
                        wake();
                    }
                    self.lock()
                }
            };
        }
        state.threads -= 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until every reload that is due was tried. Reloads that take longer than `limit` are killed.
    pub(super) fn finish(self: &Arc<Self>, limit: Option<Duration>) {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut state = self.lock();
        state.is_ending = true;
        self.serve(&mut state);
        // Without threads no reload ends.
        while state.threads > 0 {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) && !self.is_abandoned.swap(true, Ordering::Relaxed) {
                state.waiting.clear();
                self.changed.notify_all();
            }
            let waited = self.changed.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

/// The next action of a thread.
enum Next {
    Run(Call),
    Wait(Duration),
    Nothing,
}

impl State {
    /// Replaces the reloads that are due.
    pub(super) fn set(&mut self, due: BTreeMap<Call, Wanted>) {
        let now = Instant::now();
        for (call, running) in &mut self.running {
            running.is_wanted = due.contains_key(call);
        }
        let mut before = std::mem::take(&mut self.waiting);
        for (call, mut wanted) in due {
            let running = self.running.get(&call);
            if let Some(running) = running {
                wanted.retain(|proxy, files| running.wanted.get(proxy) != Some(files));
            }
            if wanted.is_empty() {
                continue;
            }
            let failures = running.map_or_else(Failures::default, |running| running.failures.clone());
            let new = || Waiting {
                wanted: wanted.clone(),
                due: now,
                failures,
            };
            let waiting = match before.remove(&call) {
                Some(waiting) if waiting.wanted == wanted => waiting,
                // New files may be what helps.
                Some(waiting) => Waiting {
                    failures: waiting.failures,
                    ..new()
                },
                None => new(),
            };
            self.waiting.insert(call, waiting);
        }
    }

    /// Whether no reload waits or runs.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty() && self.ended.is_empty()
    }

    /// Whether a reload of a proxy waits or runs.
    pub(super) fn is_open(&self, proxy: &ProxyKey) -> bool {
        let mut all = (self.waiting.values().map(|waiting| &waiting.wanted))
            .chain(self.running.values().map(|running| &running.wanted));
        all.any(|wanted| wanted.contains_key(proxy))
    }

    /// The reloads that have ended since the last call.
    pub(super) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// The reloads that failed and are tried again.
    pub(super) fn failing(&self) -> impl Iterator<Item = (&Call, &Wanted, &Failures)> {
        let waiting = self.waiting.iter().map(|(call, w)| (call, &w.wanted, &w.failures));
        let running = self.running.iter().map(|(call, r)| (call, &r.wanted, &r.failures));
        waiting.chain(running).filter(|(_, _, failures)| failures.count > 0)
    }

    /// The next action; a call that is to be made is taken out.
    fn next(&mut self) -> Next {
        let now = Instant::now();
        let free = (self.waiting.iter()).filter(|(call, _)| !self.running.contains_key(call));
        let Some((call, due)) = free
            .map(|(call, waiting)| (call, waiting.due))
            .min_by_key(|(_, due)| *due)
        else {
            return Next::Nothing;
        };
        if due > now {
            return if self.is_ending {
                Next::Nothing
            } else {
                Next::Wait(due - now)
            };
        }
        let call = call.clone();
        let Some(Waiting { wanted, failures, .. }) = self.waiting.remove(&call) else {
            return Next::Nothing;
        };
        let running = Running {
            wanted,
            failures,
            is_wanted: true,
        };
        self.running.insert(call.clone(), running);
        Next::Run(call)
    }

    fn end(&mut self, call: Call, result: Result<Duration, String>) {
        let Some(running) = self.running.remove(&call) else {
            return;
        };
        let attempts = running.failures.count + 1;
        match &result {
            Ok(_) => {
                if let Some(waiting) = self.waiting.get_mut(&call) {
                    waiting.failures = Failures::default();
                }
            }
            Err(why) if running.is_wanted => {
                let failures = Failures {
                    count: attempts,
                    why: why.clone(),
                };
                self.again(&call, running.wanted.clone(), failures);
            }
            Err(_) => {}
        }
        self.ended.push(Ended {
            call,
            wanted: running.wanted,
            result,
            attempts,
        });
    }

    fn again(&mut self, call: &Call, wanted: Wanted, failures: Failures) {
        match self.waiting.get_mut(call) {
            // The wake-up comes at once, and is for all.
            Some(waiting) => {
                for (proxy, files) in wanted {
                    waiting.wanted.entry(proxy).or_insert(files);
                }
                waiting.failures = failures;
            }
            None => {
                let due = Instant::now() + backoff(failures.count);
                let waiting = Waiting { wanted, due, failures };
                self.waiting.insert(call.clone(), waiting);
            }
        }
    }
}

/// The pause after a number of failures.
fn backoff(failures: u32) -> Duration {
    let doubled = 1 << failures.saturating_sub(1).min(6);
    (FIRST_RETRY * doubled).min(LAST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy::artifact::ArtifactKind;
    use crate::keep::Digest;

    fn call(name: &str) -> Call {
        Call::Exec {
            argv: vec![name.to_owned()],
            timeout: Duration::from_secs(1),
        }
    }

    fn due(names: &[(&str, &str)]) -> BTreeMap<Call, Wanted> {
        let wanted = |text: &str| {
            let files = Loaded::from([(ArtifactKind::Bootstrap, Some(Digest::of(text)))]);
            Wanted::from([(ProxyKey::new("default", "web-01"), files)])
        };
        names.iter().map(|(name, text)| (call(name), wanted(text))).collect()
    }

    #[track_caller]
    fn begin(state: &mut State) -> Option<Call> {
        match state.next() {
            Next::Run(call) => Some(call),
            Next::Wait(_) | Next::Nothing => None,
        }
    }

    #[test]
    fn one_runs_and_one_waits() {
        let mut state = State::default();
        state.set(due(&[("a", "1")]));
        assert_eq!(begin(&mut state), Some(call("a")));
        for text in ["1", "2", "3"] {
            state.set(due(&[("a", text)]));
            assert_eq!(begin(&mut state), None);
        }
        assert_eq!((state.running.len(), state.waiting.len()), (1, 1));
        state.end(call("a"), Ok(Duration::ZERO));
        assert_eq!(begin(&mut state), Some(call("a")));
        state.end(call("a"), Ok(Duration::ZERO));
        assert_eq!(begin(&mut state), None);
        let ended = state.take_ended();
        assert_eq!((ended.len(), &ended[1].wanted), (2, &due(&[("a", "3")])[&call("a")]));
        assert!(state.is_empty());
    }

    #[test]
    fn what_failed_waits_unless_something_new_comes_or_nobody_wants_it() {
        let mut state = State::default();
        let fail = |state: &mut State| state.end(call("a"), Err("no".to_owned()));
        state.set(due(&[("a", "1")]));
        begin(&mut state).expect("it is due");
        fail(&mut state);
        state.set(due(&[("a", "1")]));
        assert!(matches!(state.next(), Next::Wait(_)));
        assert_eq!(state.failing().count(), 1);
        state.set(due(&[("a", "2")]));
        begin(&mut state).expect("it is due");
        assert_eq!(state.failing().count(), 1, "until it goes well");
        state.set(due(&[]));
        fail(&mut state);
        assert!(matches!(state.next(), Next::Nothing));
        assert_eq!(state.take_ended().last().map(|ended| ended.attempts), Some(2));
        assert_eq!(state.failing().count(), 0);
    }

    #[test]
    fn it_waits_longer_and_longer() {
        let seconds: Vec<u64> = (1..10).map(|failures| backoff(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
