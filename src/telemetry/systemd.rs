//! The word to the service manager: readiness, reloads, one line of status, and signs of life.
//!
//! Without a service manager (no `NOTIFY_SOCKET`) all of it does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// The service is up, or a reload has ended; `status` is the line that `systemctl status` shows.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// A reload has begun. [`ready`] must follow, whatever comes of it.
pub fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    // Later versions of systemd want both in one message.
    states.extend(NotifyState::monotonic_usec_now());
    states.push(NotifyState::Status("reading the settings again"));
    tell(&states);
}

/// The line that `systemctl status` shows.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(&one_line(status))]);
}

/// The service ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// A sign of life for the watchdog.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often a sign of life is due: a third of what the service manager waits; `None` when it does not wait for one.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 3)
}

fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager does not listen: {error}");
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}
