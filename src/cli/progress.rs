//! A progress line on a terminal, for work that takes longer than a second.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The time that work may take before the progress line is shown.
const QUICK: Duration = Duration::from_secs(1);

/// A progress line on standard error, erased when dropped.
pub(super) struct Progress {
    done: Option<Sender<()>>,
    painter: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts a progress line that says `what`, if standard error is a terminal.
    pub(super) fn new(what: &'static str) -> Self {
        if !io::stderr().is_terminal() {
            return Self {
                done: None,
                painter: None,
            };
        }
        let (done, wait) = mpsc::channel();
        let start = Instant::now();
        let painter = thread::spawn(move || {
            let mut pause = QUICK;
            let mut shown = false;
            while wait.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let mut stderr = io::stderr().lock();
                let _ = write!(stderr, "\r{what} ... {} s ", start.elapsed().as_secs());
                let _ = stderr.flush();
                (pause, shown) = (Duration::from_millis(200), true);
            }
            if shown {
                let _ = write!(io::stderr(), "\r\u{1b}[K");
            }
        });
        Self {
            done: Some(done),
            painter: Some(painter),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(painter) = self.painter.take() {
            // Work does not depend on this thread.
            let _ = painter.join();
        }
    }
}
