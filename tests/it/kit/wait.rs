//! Waiting for a condition.

use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; reaching it is a failure, so it costs nothing when all is well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Asks until the answer is `Ok`; panics with the last `Err` when the deadline passes.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match ask() {
            Ok(value) => return value,
            Err(last) if Instant::now() > deadline => {
                panic!("waited {DEADLINE:?} in vain: {what}; last seen: {last}")
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}
