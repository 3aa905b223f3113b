//! The same work for many, several at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Builder};

use rustix::process::{Resource, getrlimit};

/// Envoys that are talked to at the same time. Nearly all of the time of a talk is waiting, so this has nothing to do with
/// the number of cores: it is how many silent ones it takes to hold up those behind them.
const TALKS: usize = 64;

/// Files and sockets that one of them has open, generously.
const DESCRIPTORS: u64 = 16;

/// How many Envoys may be talked to at the same time by a process of which so few files may be open.
pub(super) fn talks() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let affordable = usize::try_from(limit / DESCRIPTORS).unwrap_or(TALKS);
    affordable.clamp(1, TALKS)
}

/// As many as there are processors.
pub(super) fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Does the work for each item, begun in their order, at most `most` at the same time; the results are in that order too.
pub(super) fn each<T: Sync, R: Send>(items: &[T], most: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<usize, R>> = Mutex::default();
    let run = || {
        while let Some((index, item)) = (|i| Some((i, items.get(i)?)))(next.fetch_add(1, Ordering::Relaxed)) {
            let result = work(item);
            results
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(index, result);
        }
    };
    thread::scope(|scope| {
        for begun in 0..most.min(items.len()) {
            // Where the system gives no more threads, those there are do the work.
            if Builder::new().spawn_scoped(scope, run).is_err() {
                if begun == 0 {
                    run();
                }
                break;
            }
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(
            each(&items, 7, |item| item * 2),
            items.iter().map(|i| i * 2).collect::<Vec<_>>()
        );
        assert_eq!(each(&[], 7, |item: &usize| *item), Vec::<usize>::new());
    }

    #[test]
    fn as_many_as_allowed_are_at_work_at_once() {
        // It ends only when all of them are under way together.
        let together = Barrier::new(64);
        each(&[(); 64], 64, |()| together.wait());
    }
}
