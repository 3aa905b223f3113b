//! The same work on many items.

use std::sync::Mutex;
use std::thread;

/// Threads at once: the work is other processes, each of which takes a whole core.
const PARALLEL: usize = 2;

/// `work` on every item, two at a time; the results in the order of the items.
pub(crate) fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let queue = Mutex::new(items.iter().enumerate());
    let next = || queue.lock().expect("nothing panics while it holds the queue").next();
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let worker = || {
            std::iter::from_fn(next)
                .map(|(i, item)| (i, work(item)))
                .collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..PARALLEL).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .flat_map(|w| w.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
            .collect()
    });
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}
