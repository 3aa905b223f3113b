//! A sign of life on a terminal, for work that takes longer than a second.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Work shorter than this shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows on standard error that something is going on; wipes it when dropped.
pub(super) struct Progress {
    done: Option<Sender<()>>,
    painter: Option<JoinHandle<()>>,
}

impl Progress {
    /// `what` is being done from now on. Shows nothing where nobody looks.
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
            let mut pause = PATIENCE;
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
            // It only paints; there is nothing to lose with it.
            let _ = painter.join();
        }
    }
}
