//! The loop: when to compile and publish again.
//!
//! It knows events and time; what a turn does is given to it. Quiet time and a ceiling together make one turn of
//! a burst of events, and let no trickle of events postpone a turn for ever.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::source::watch::{Refreshed, Watcher};

/// When turns happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A turn comes when there was no event for this long ...
    pub quiet: Duration,
    /// ... or at the latest this long after the first.
    pub ceiling: Duration,
    /// A turn comes after this long without any.
    pub rescan: Duration,
}

/// What a turn is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The daemon starts.
    Start,
    /// The source may have changed.
    Changed,
    /// It is time to look, events or not.
    Rescan,
    /// Somebody asked for it, by `SIGHUP`.
    Asked,
}

/// What woke the loop.
enum Event {
    Turn(Reason),
    Stop,
}

/// Makes turns until `SIGTERM` or `SIGINT` comes. A second one of these ends the process at once.
///
/// # Errors
/// When signals cannot be waited for.
pub fn run(roots: &[PathBuf], timing: Timing, turn: impl FnMut(Reason) + Send + 'static) -> io::Result<()> {
    // Waiting takes no more than one thread, a turn another.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .enable_io()
        .build()?;
    runtime.block_on(main_loop(roots, timing, turn))
}

async fn main_loop(roots: &[PathBuf], timing: Timing, turn: impl FnMut(Reason) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let wake = Arc::new(Notify::new());
    let mut watchers: Vec<Watched> = (roots.iter())
        .map(|root| Watched {
            watcher: Watcher::new(root, Arc::clone(&wake)),
            deaf: false,
        })
        .collect();
    watchers.iter_mut().for_each(Watched::refresh);
    let mut turn = Some(turn);
    let mut reason = Reason::Start;
    loop {
        let mut work = turn.take().expect("the last turn gave it back");
        let mut running = tokio::task::spawn_blocking(move || {
            work(reason);
            work
        });
        let mut stopping = false;
        let mut asked = false;
        let finished = loop {
            tokio::select! {
                finished = &mut running => break finished,
                signal = next(&mut signals) => match signal {
                    SIGHUP => asked = true,
                    _ if stopping => std::process::exit(128 + signal),
                    _ => stopping = true,
                },
            }
        };
        turn = Some(finished.map_err(io::Error::other)?);
        if stopping {
            return Ok(());
        }
        let event = if asked {
            Event::Turn(Reason::Asked)
        } else {
            wait(&wake, &mut signals, timing).await
        };
        match event {
            Event::Stop => return Ok(()),
            Event::Turn(next) => reason = next,
        }
        watchers.iter_mut().for_each(Watched::refresh);
    }
}

/// A source that is watched, or that was not to be watched at the last attempt.
struct Watched {
    watcher: Watcher,
    deaf: bool,
}

impl Watched {
    /// Looks after the watch before a turn, so that nothing that changes during the turn is missed.
    fn refresh(&mut self) {
        match self.watcher.refresh() {
            Refreshed::Same => {}
            Refreshed::Armed => {
                if std::mem::take(&mut self.deaf) {
                    tracing::info!(path = %self.watcher.root().display(), "changes of the policies are noticed again");
                }
            }
            Refreshed::Failed(error) => {
                if !std::mem::replace(&mut self.deaf, true) {
                    let path = self.watcher.root().display();
                    tracing::warn!(%path, %error, "cannot watch the policies; changes are found at the next rescan");
                }
            }
        }
    }
}

async fn wait(wake: &Notify, signals: &mut Signals, timing: Timing) -> Event {
    let rescan = Instant::now() + timing.rescan;
    tokio::select! {
        () = wake.notified() => {}
        () = sleep_until(rescan) => return Event::Turn(Reason::Rescan),
        signal = next(signals) => return after(signal),
    }
    tokio::select! {
        () = settle(wake, timing) => Event::Turn(Reason::Changed),
        signal = next(signals) => after(signal),
    }
}

fn after(signal: i32) -> Event {
    match signal {
        SIGHUP => Event::Turn(Reason::Asked),
        _ => Event::Stop,
    }
}

/// Returns when there was no event for the quiet time, or when the ceiling is reached.
async fn settle(wake: &Notify, timing: Timing) {
    let end = Instant::now() + timing.ceiling;
    loop {
        let quiet = Instant::now() + timing.quiet;
        tokio::select! {
            () = wake.notified() => {}
            () = sleep_until(quiet.min(end)) => return,
        }
    }
}

/// The next signal.
async fn next(signals: &mut Signals) -> i32 {
    match std::future::poll_fn(|context| futures_core::Stream::poll_next(std::pin::Pin::new(&mut *signals), context))
        .await
    {
        Some(signal) => signal,
        // The stream ends only when it is closed, which nobody does.
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        quiet: Duration::from_millis(100),
        ceiling: Duration::from_secs(2),
        rescan: Duration::from_secs(60),
    };

    /// How long a burst of events every `gap`, `n` of them, postpones a turn.
    async fn postponed(gap: Duration, n: u32) -> Duration {
        let wake = Arc::new(Notify::new());
        let start = Instant::now();
        let source = Arc::clone(&wake);
        tokio::spawn(async move {
            for _ in 0..n {
                tokio::time::sleep(gap).await;
                source.notify_one();
            }
        });
        settle(&wake, TIMING).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_makes_one_turn_after_quiet_time() {
        assert_eq!(
            postponed(Duration::from_millis(50), 5).await,
            Duration::from_millis(350)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_cannot_postpone_a_turn_for_ever() {
        assert_eq!(postponed(Duration::from_millis(90), 1000).await, Duration::from_secs(2));
    }
}
