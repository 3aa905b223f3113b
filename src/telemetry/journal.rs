//! The log on standard error. Where the journal reads it, each line begins with its priority, `<3>` for an error.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The reader of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// A terminal or a file.
    Plain,
    /// The journal of systemd, which is read with `journalctl`.
    Journal,
}

impl Output {
    /// The journal if standard error is the stream that systemd opened for it, as `JOURNAL_STREAM` says by device and
    /// inode; a child whose standard error leads elsewhere inherits the variable too.
    pub(super) fn of_this_process() -> Self {
        let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
        let own = std::fs::metadata("/proc/self/fd/2").map(|stderr| format!("{}:{}", stderr.dev(), stderr.ino()));
        if own.is_ok_and(|own| own == stream) {
            Self::Journal
        } else {
            Self::Plain
        }
    }
}

impl<'w> MakeWriter<'w> for Output {
    type Writer = Lines;

    fn make_writer(&'w self) -> Lines {
        Lines { priority: None }
    }

    fn make_writer_for(&'w self, metadata: &Metadata<'_>) -> Lines {
        Lines {
            priority: (*self == Self::Journal).then(|| priority(*metadata.level())),
        }
    }
}

/// The priority of a level, in the numbers of syslog.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Writes one event, which may have several lines.
pub(super) struct Lines {
    priority: Option<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // In one write, so that the lines of two events do not mix. A log that nobody reads any more is no
        // reason to stop.
        let _ = match self.priority {
            None => io::stderr().write_all(bytes),
            Some(priority) => io::stderr().write_all(&prefixed(bytes, priority)),
        };
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stderr().flush();
        Ok(())
    }
}

/// The same lines, each behind its priority.
fn prefixed(bytes: &[u8], priority: u8) -> Vec<u8> {
    let mut prefixed = Vec::with_capacity(bytes.len() + 16);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        prefixed.extend_from_slice(format!("<{priority}>").as_bytes());
        prefixed.extend_from_slice(line);
    }
    prefixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_an_event_has_its_priority() {
        assert_eq!(
            prefixed(b"error: a\n  --> b.yaml:1:1\n", priority(Level::ERROR)),
            b"<3>error: a\n<3>  --> b.yaml:1:1\n"
        );
        assert_eq!(prefixed(b"half", priority(Level::DEBUG)), b"<7>half");
    }
}
