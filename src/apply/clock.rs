//! The time of day.

use std::time::SystemTime;

/// The time of day in the form of our files: RFC 3339, in UTC, whole seconds.
#[must_use]
pub fn now() -> String {
    let now = chrono::DateTime::<chrono::Utc>::from(SystemTime::now());
    now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
