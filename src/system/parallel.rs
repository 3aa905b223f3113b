//! The same work for many items, several at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::{self, Builder};

use rustix::process::{Resource, getrlimit};

use super::progress::Counter;

/// The most Envoys that are asked at the same time. An answer is mostly waited for, so the number of cores does not
/// matter: this many silent Envoys hold up those behind them.
const MAX_CONNECTIONS: usize = 64;

/// The files and sockets that one connection needs open, with room to spare.
const DESCRIPTORS: u64 = 16;

/// The number of Envoys that may be asked at the same time, within the limit on open files of this process.
#[must_use]
pub fn max_envoy_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let affordable = usize::try_from(limit / DESCRIPTORS).unwrap_or(MAX_CONNECTIONS);
    affordable.clamp(1, MAX_CONNECTIONS)
}

/// The number of processors that this process may use, as of the first time that it is asked for: the answer takes the reading of several
/// files.
#[must_use]
pub fn cpu_count() -> usize {
    static COUNT: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));
    *COUNT
}

/// The number of items that pay for the start of another thread, if each is a matter of microseconds.
const MANY: usize = 256;

/// The number of threads that are worth their start for items of which each is a matter of microseconds.
#[must_use]
pub fn threads_for(items: usize) -> usize {
    cpu_count().min(1 + items / MANY)
}

/// The results of `work` for each item, in the order of the items, in which the work is begun too. At most `limit`
/// items are worked on at the same time. `what` is the work, for people who wait for it: `parsing files`.
pub fn map<T: Sync, R: Send>(what: &'static str, items: &[T], limit: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    map_with(what, items, limit, || (), |(), item| work(item))
}

/// As [`map`], with a state of each thread that `start` makes. Results must not depend on it.
pub fn map_with<'i, T: Sync, R: Send, S>(
    what: &'static str,
    items: &'i [T],
    limit: usize,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &'i T) -> R + Sync,
) -> Vec<R> {
    let threads = limit.min(items.len()).max(1);
    let next = AtomicUsize::new(0);
    let counter = Counter::begin(what, items.len());
    let done: Mutex<Vec<Vec<(usize, R)>>> = Mutex::default();
    let run = || {
        let (mut state, mut own) = (start(), Vec::with_capacity(items.len() / threads));
        while let Some((index, item)) = (|i| Some((i, items.get(i)?)))(next.fetch_add(1, Ordering::Relaxed)) {
            own.push((index, work(&mut state, item)));
            counter.count();
        }
        done.lock().unwrap_or_else(PoisonError::into_inner).push(own);
    };
    thread::scope(|scope| {
        // One thread alone is this one.
        let mut begun = 0;
        while threads > 1 && begun < threads && Builder::new().spawn_scoped(scope, run).is_ok() {
            begun += 1;
        }
        // Where the system gives no more threads, those that run do the work.
        if begun == 0 {
            run();
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Each thread has its results in order, and each item is in one of them.
    let mut done: Vec<_> = done.into_iter().map(|own| own.into_iter().peekable()).collect();
    let mut results = Vec::with_capacity(items.len());
    while let Some(next) = (done.iter_mut()).find_map(|own| own.next_if(|(index, _)| *index == results.len())) {
        results.push(next.1);
    }
    results
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(
            map("", &items, 7, |item| item * 2),
            items.iter().map(|i| i * 2).collect::<Vec<_>>()
        );
        assert_eq!(map("", &[], 7, |item: &usize| *item), Vec::<usize>::new());
    }

    #[test]
    fn as_many_as_allowed_are_at_work_at_once() {
        // It ends only when all of them are under way together.
        let together = Barrier::new(64);
        map("", &[(); 64], 64, |()| together.wait());
    }
}
