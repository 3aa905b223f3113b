//! A program that is run to its end, within a limit of time and with a bounded memory of what it says.

use std::io::{self, PipeReader, Read, pipe};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// How much of what it says is kept, in bytes: the end of it.
const KEPT: usize = 64 << 10;

/// How often it is looked whether to go on.
const LOOK: Duration = Duration::from_millis(100);

/// How long a killed process may take to be gone.
const DYING: Duration = Duration::from_secs(2);

/// What this process has from its service manager, and what is not for others to say.
const OURS: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// How a program came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, or by a signal of somebody else.
    Exited(ExitStatus),
    /// It took too long and was killed.
    TimedOut,
    /// It was killed because nobody waits for it any more.
    Abandoned,
}

/// What came of a program.
#[derive(Debug)]
pub(super) struct Ended {
    /// How it ended.
    pub(super) end: End,
    /// The end of what it said on either output; what is no UTF-8 is replaced.
    pub(super) said: String,
}

/// Runs a program in a process group of its own, with nothing to read, until it ends, takes longer than `limit`, or
/// `is_abandoned` is set.
///
/// When it is killed, its whole group is. What it leaves behind when it ends by itself is left alone, and does not hold this
/// up.
///
/// # Errors
/// When it cannot be started or waited for.
pub(super) fn run(command: &mut Command, limit: Duration, is_abandoned: &AtomicBool) -> io::Result<Ended> {
    let deadline = Instant::now() + limit;
    let (reader, writer) = pipe()?;
    ioctl_fionbio(&reader, true)?;
    for name in OURS {
        command.env_remove(name);
    }
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    let child = command.spawn();
    // Otherwise this process would keep its own end of the pipe open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child?;
    let mut output = Output {
        reader: Some(reader),
        said: Vec::new(),
    };
    let end = match output.listen(Pid::from_child(&child), deadline, is_abandoned) {
        Ok(None) => child.wait().map(End::Exited),
        Ok(Some(end)) => kill(child).map(|()| end),
        Err(error) => kill(child).and(Err(error)),
    };
    Ok(Ended {
        end: end?,
        said: String::from_utf8_lossy(&output.said).into_owned(),
    })
}

/// Ends a process and all of its group.
fn kill(mut child: Child) -> io::Result<()> {
    // It was not waited for yet, so the number still is its own, and that of its group.
    let pid = Pid::from_child(&child);
    kill_process_group(pid, Signal::KILL)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let longest = Timespec::try_from(DYING).map_err(io::Error::other)?;
    let mut watched = [PollFd::new(&process, PollFlags::IN)];
    while let Err(Errno::INTR) = poll(&mut watched, Some(&longest)) {}
    if child.try_wait()?.is_none() {
        // It hangs in the kernel; whoever waits for it must not be us.
        thread::Builder::new().spawn(move || child.wait())?;
    }
    Ok(())
}

/// What a program says.
struct Output {
    /// `None` when nobody has the other end any more.
    reader: Option<PipeReader>,
    said: Vec<u8>,
}

impl Output {
    /// Takes it in until the program ends, which is `None`, or until there is a reason to end it.
    fn listen(&mut self, pid: Pid, deadline: Instant, is_abandoned: &AtomicBool) -> io::Result<Option<End>> {
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut watched = vec![PollFd::new(&process, PollFlags::IN)];
            watched.extend(self.reader.iter().map(|reader| PollFd::new(reader, PollFlags::IN)));
            let longest = Timespec::try_from(left.min(LOOK)).map_err(io::Error::other)?;
            match poll(&mut watched, Some(&longest)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let has_ended = !watched[0].revents().is_empty();
            drop(watched);
            self.take_in()?;
            if has_ended {
                return Ok(None);
            }
            if left.is_zero() {
                return Ok(Some(End::TimedOut));
            }
            if is_abandoned.load(Ordering::Relaxed) {
                return Ok(Some(End::Abandoned));
            }
        }
    }

    /// Reads what is there, but no more than fits at once: who writes without end must not keep us here.
    fn take_in(&mut self) -> io::Result<()> {
        let Some(reader) = &mut self.reader else {
            return Ok(());
        };
        let mut buffer = vec![0; KEPT];
        match reader.read(&mut buffer) {
            Ok(0) => self.reader = None,
            Ok(count) => {
                self.said.extend_from_slice(&buffer[..count]);
                let surplus = self.said.len().saturating_sub(KEPT);
                self.said.drain(..surplus);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str, limit: Duration) -> Ended {
        let never = AtomicBool::new(false);
        run(Command::new("/bin/sh").args(["-c", script]), limit, &never).expect("there is a shell")
    }

    #[test]
    fn its_end_and_its_words_are_told() {
        let ended = shell("echo one; echo two >&2; exit 3", LONG);
        assert!(matches!(ended.end, End::Exited(status) if status.code() == Some(3)));
        assert_eq!(ended.said, "one\ntwo\n");
    }

    #[test]
    fn of_a_flood_the_end_is_kept() {
        let ended = shell("yes | head -c 10000000; echo last", LONG);
        assert!(ended.said.len() <= KEPT && ended.said.ends_with("y\nlast\n"));
    }

    #[test]
    fn what_it_leaves_behind_does_not_hold_anybody_up() {
        // Its grandchild has the pipe for longer than anybody would wait.
        let ended = shell("sleep 600 & echo $!", LONG);
        let left = ended
            .said
            .trim()
            .parse()
            .ok()
            .and_then(Pid::from_raw)
            .expect("its process id");
        assert!(matches!(ended.end, End::Exited(_)));
        rustix::process::kill_process(left, Signal::KILL).expect("it still runs");
    }

    #[test]
    fn what_takes_too_long_is_killed_with_its_group() {
        // On a slow machine it may have said nothing when its time is up.
        let mut limits = [1, 10, 60].map(Duration::from_secs).into_iter();
        let left = limits.find_map(|limit| {
            let ended = shell("sleep 600 & echo $!; wait", limit);
            assert_eq!(ended.end, End::TimedOut);
            ended.said.trim().parse::<i32>().ok()
        });
        let left = left.expect("it says its process id");
        let deadline = Instant::now() + LONG;
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{left}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") {
                return;
            }
            assert!(Instant::now() < deadline, "{stat}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn what_nobody_waits_for_is_killed() {
        let given_up = AtomicBool::new(true);
        let ended = run(Command::new("/bin/sh").args(["-c", "sleep 600"]), LONG, &given_up);
        assert_eq!(ended.expect("there is a shell").end, End::Abandoned);
    }

    #[test]
    fn what_is_not_there_cannot_be_started() {
        let error =
            run(&mut Command::new("/nonexistent/envoy"), LONG, &AtomicBool::new(false)).expect_err("there is none");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
