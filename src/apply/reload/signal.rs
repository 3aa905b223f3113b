//! A signal to the process in a file, and to no other.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use rustix::time::{ClockId, clock_gettime};

use crate::settings::reload::Signal;

/// The most bytes of the file that are read: more than a process id and the blanks around it have.
const LONGEST: u64 = 64;

/// The number of times that a file is read again while it changes.
const TRIES: usize = 5;

/// The time by which a process may be younger than its file: clocks are adjusted, and time stamps are coarse.
const SLACK: Duration = Duration::from_secs(10);

/// Sends a signal to the process whose id is in `pidfile`.
///
/// The process is held by a descriptor before the file is read a second time, so that no other process can get the
/// signal that takes over its number.
///
/// # Errors
/// In words, when there is no such process, it may not be signalled, or is an Envoy itself.
pub(super) fn send(pidfile: &Path, signal: Signal) -> Result<(), String> {
    let shown = pidfile.display();
    for _ in 0..TRIES {
        let (pid, written) = read(pidfile)?;
        let number = pid.as_raw_nonzero();
        let stale = || format!("process {number} of {shown} does not run; the file is left over");
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(Errno::SRCH) => return Err(stale()),
            Err(Errno::INVAL | Errno::NOENT) => return Err(format!("{number} in {shown} is a thread, not a process")),
            Err(error) => return Err(format!("cannot look at process {number} of {shown}: {error}")),
        };
        if read(pidfile)? != (pid, written) {
            continue;
        }
        check(pid, written).map_err(|why| format!("process {number} of {shown} {why}"))?;
        return match pidfd_send_signal(&process, signal.into()) {
            Ok(()) => Ok(()),
            Err(Errno::SRCH) => Err(stale()),
            Err(Errno::PERM) => Err(format!("this user may not signal process {number} of {shown}")),
            Err(error) => Err(format!("cannot signal process {number} of {shown}: {error}")),
        };
    }
    Err(format!("{shown} changes all the time"))
}

/// The id of the process, and the time at which the file was written.
fn read(pidfile: &Path) -> Result<(Pid, SystemTime), String> {
    let shown = pidfile.display();
    // A pipe without a writer must not make this wait.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no {shown}; the process does not run, or writes another file"),
        _ => format!("cannot read {shown}: {error}"),
    };
    let file = OpenOptions::new().read(true).custom_flags(flags).open(pidfile);
    let file = file.map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(failed)?;
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("{shown} is empty"));
    }
    let pid = text.parse().ok().filter(|pid| *pid > 0).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| format!("{shown} holds {text:?} and no process id"))?;
    Ok((pid, metadata.modified().map_err(failed)?))
}

/// Whether a process can be the one that is meant. Facts that `/proc` does not tell speak against nothing.
fn check(pid: Pid, written: SystemTime) -> Result<(), String> {
    let number = pid.as_raw_nonzero();
    if pid == rustix::process::getpid() {
        return Err("is meshtraced itself".to_owned());
    }
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{number}/stat")) else {
        return Ok(());
    };
    let Some((comm, started)) = parse(&stat) else {
        return Ok(());
    };
    if comm == "envoy" {
        return Err(
            "is an Envoy itself, which does not reload on signals; name the wrapper that restarts it".to_owned(),
        );
    }
    let age = now_since_boot().saturating_sub(started);
    let file_age = written.elapsed().unwrap_or_default();
    if age + SLACK < file_age {
        return Err(format!(
            "is `{comm}` and began after the file was written, so it only has the number of the one that is meant; if \
             it is the one, let it write the file again"
        ));
    }
    Ok(())
}

/// The name of a process, and its start as time since boot.
fn parse(stat: &str) -> Option<(&str, Duration)> {
    // A name may contain anything, parentheses too.
    let (head, fields) = stat.rsplit_once(')')?;
    let (_, comm) = head.split_once('(')?;
    let ticks: u64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    let per_second = clock_ticks_per_second().max(1);
    Some((comm, Duration::from_millis(ticks.saturating_mul(1000) / per_second)))
}

fn now_since_boot() -> Duration {
    clock_gettime(ClockId::Boottime).try_into().unwrap_or_default()
}

impl From<Signal> for rustix::process::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Hup => Self::HUP,
            Signal::Int => Self::INT,
            Signal::Quit => Self::QUIT,
            Signal::Term => Self::TERM,
            Signal::Usr1 => Self::USR1,
            Signal::Usr2 => Self::USR2,
            Signal::Winch => Self::WINCH,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_may_hold_brackets() {
        let fields = (0..20).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
        let stat = format!("12 (a) b (c) {fields} 0");
        let (comm, started) = parse(&stat).expect("a process");
        assert_eq!(comm, "a) b (c");
        assert_eq!(started, Duration::from_millis(19_000 / clock_ticks_per_second()));
        assert_eq!(parse("12 (a"), None);
    }
}
