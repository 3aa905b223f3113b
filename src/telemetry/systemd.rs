//! Notifications to the service manager: readiness, reloads, a line of status, and the watchdog.
//!
//! Without a service manager (no `NOTIFY_SOCKET`) they do nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// Reports that the service is up or a reload has ended; `status` is the line that `systemctl status` shows.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// Reports that a reload has begun. [`ready`] must follow, with or without success.
pub fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    // Recent versions of systemd expect both in one message.
    states.extend(NotifyState::monotonic_usec_now());
    states.push(NotifyState::Status("reading the settings again"));
    tell(&states);
}

/// Sets the line that `systemctl status` shows.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(&one_line(status))]);
}

/// Reports that the service is stopping.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Feeds the watchdog.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// The interval at which the watchdog is fed: a third of its timeout; `None` without a watchdog.
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
