//! The progress of long work, for somebody who waits for it.
//!
//! Work on many items reports how far it has come to the observer of its thread, if there is one. Results do not
//! depend on it.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A step of work on many items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The work, for people: `parsing files`.
    pub what: &'static str,
    /// The number of items that are done.
    pub done: usize,
    /// The number of all items; `None` if it is not known.
    pub total: Option<usize>,
}

/// An observer of steps, which is told of them from any thread.
pub type Observer = Arc<dyn Fn(Step) + Send + Sync>;

thread_local! {
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}

/// The result of `work`, whose steps are told to an observer.
pub fn observed<T>(observer: Observer, work: impl FnOnce() -> T) -> T {
    let _before = Before(OBSERVER.replace(Some(observer)));
    work()
}

/// Begins work on items that nobody has counted.
pub fn begin(what: &'static str) {
    if let Some(observer) = OBSERVER.with_borrow(Clone::clone) {
        let (done, total) = (0, None);
        observer(Step { what, done, total });
    }
}

/// The observer before another one, who comes back when this is dropped.
struct Before(Option<Observer>);

impl Drop for Before {
    fn drop(&mut self) {
        OBSERVER.set(self.0.take());
    }
}

/// The count of the items of one work.
pub struct Counter {
    observer: Option<Observer>,
    what: &'static str,
    done: AtomicUsize,
    total: Option<usize>,
}

impl Counter {
    /// Begins work on a number of items, for the observer of this thread.
    #[must_use]
    pub fn begin(what: &'static str, total: usize) -> Self {
        let counter = Self {
            observer: OBSERVER.with_borrow(Clone::clone),
            what,
            done: AtomicUsize::new(0),
            total: Some(total),
        };
        counter.tell(0);
        counter
    }

    /// Counts one item that is done, on any thread.
    pub fn count(&self) {
        if self.observer.is_some() {
            self.tell(1 + self.done.fetch_add(1, Ordering::Relaxed));
        }
    }

    fn tell(&self, done: usize) {
        let Self { what, total, .. } = *self;
        if let Some(observer) = &self.observer {
            observer(Step { what, done, total });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::system::parallel;

    /// The steps that an observer is told of while `work` goes on.
    fn steps(work: impl FnOnce()) -> Vec<Step> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let teller = Arc::clone(&told);
        let observer = move |step| teller.lock().unwrap_or_else(PoisonError::into_inner).push(step);
        observed(Arc::new(observer), work);
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Threads may tell of their items in another order.
        told.sort_by_key(|step| step.done);
        told
    }

    #[test]
    fn every_item_is_told_on_whatever_thread_it_is_done() {
        let what = "counting";
        let expected = (0..=100).map(|done| Step {
            what,
            done,
            total: Some(100),
        });
        for threads in [1, 4] {
            let told = steps(|| drop(parallel::map(what, &[0; 100], threads, |_| ())));
            assert_eq!(told, expected.clone().collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_observer_hears_of_its_own_work_only() {
        let inner = Mutex::new(Vec::new());
        let outer = steps(|| {
            let told = catch_unwind(AssertUnwindSafe(|| {
                *inner.lock().expect("a list") = steps(|| begin("inside"));
                observed(Arc::new(|_| ()), || panic!("inside"))
            }));
            assert!(told.is_err());
            begin("outside");
        });
        let whats = |told: &[Step]| told.iter().map(|step| step.what).collect::<Vec<_>>();
        assert_eq!(
            (whats(&inner.lock().expect("a list")), whats(&outer)),
            (vec!["inside"], vec!["outside"])
        );
        begin("nobody hears of this");
    }
}
