//! A progress bar on a terminal, for work that takes longer than a second.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::system::progress::{Step, observed};

/// The time that work may take before its progress is shown.
const QUICK: Duration = Duration::from_secs(1);

/// The time between two looks of the bar without a step.
const TICK: Duration = Duration::from_millis(200);

/// The result of `work`. While it lasts, a bar on standard error shows its progress, if that is a terminal.
pub(super) fn shown<T>(work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    let painted = bar.clone();
    let (done, wait) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if wait.recv_timeout(QUICK) == Err(RecvTimeoutError::Timeout) {
                painted.set_draw_target(ProgressDrawTarget::stderr());
                painted.enable_steady_tick(TICK);
                // Until the work is done.
                let _ = wait.recv();
            }
            painted.finish_and_clear();
        });
        // Dropped when the work ends, even if it panics.
        let _done = done;
        observed(Arc::new(move |step| show(&bar, step)), work)
    })
}

fn show(bar: &ProgressBar, step: Step) {
    if step.done > 0 {
        bar.inc(1);
        return;
    }
    bar.set_style(style(step.total.is_some()));
    bar.set_message(step.what);
    bar.set_position(0);
    match step.total {
        Some(total) => bar.set_length(total as u64),
        None => bar.unset_length(),
    }
}

/// `parsing files [#####>    ] 5,120 of 10,000`, or without numbers.
fn style(is_counted: bool) -> ProgressStyle {
    let template = if is_counted {
        "{spinner} {msg:23} [{bar:30}] {human_pos} of {human_len}"
    } else {
        "{spinner} {msg}"
    };
    let style = ProgressStyle::with_template(template).expect("a template that is a constant");
    style.progress_chars("#> ")
}
