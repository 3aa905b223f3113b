//! A program that is run to its end, within a limit of time and with a bounded memory of what it says.

use std::io::{self, PipeReader, Read, pipe};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// How much of what it says is kept, in bytes: the end of it.
const KEPT: usize = 64 << 10;

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// `None` when it took too long and was killed.
    pub(super) status: Option<ExitStatus>,
    /// The end of what it said on either output; what is no UTF-8 is replaced.
    pub(super) said: String,
}

/// Runs a program in a process group of its own, with nothing to read.
///
/// When it takes too long its whole group is killed. What it leaves behind when it ends by itself is left alone, and does
/// not hold this up.
///
/// # Errors
/// When it cannot be started.
pub(super) fn run(command: &mut Command, limit: Duration) -> io::Result<Ended> {
    let deadline = Instant::now() + limit;
    let (reader, writer) = pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    let child = command.spawn();
    // Otherwise this process would keep its own end of the pipe open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running {
        child: child?,
        said: Vec::new(),
    };
    let result = running.listen(reader, deadline);
    if !matches!(result, Ok(true)) {
        running.kill();
    }
    let status = running.child.wait()?;
    Ok(Ended {
        status: result?.then_some(status),
        said: String::from_utf8_lossy(&running.said).into_owned(),
    })
}

struct Running {
    child: Child,
    said: Vec<u8>,
}

impl Running {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its process id is its own until it is waited for, and so is that of its group.
    fn kill(&self) {
        // An error only says that nobody of it is left.
        let _ = kill_process_group(self.pid(), Signal::KILL);
    }

    /// Takes in what it says until it ends; `false` when it does not in time.
    fn listen(&mut self, mut reader: PipeReader, deadline: Instant) -> io::Result<bool> {
        ioctl_fionbio(&reader, true)?;
        let process = pidfd_open(self.pid(), PidfdFlags::empty())?;
        let mut is_open = true;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut waited_for = vec![PollFd::new(&process, PollFlags::IN)];
            if is_open {
                waited_for.push(PollFd::new(&reader, PollFlags::IN));
            }
            let timeout = Timespec::try_from(left).ok();
            match poll(&mut waited_for, timeout.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let has_ended = waited_for[0].revents().contains(PollFlags::IN);
            is_open = is_open && self.take_in(&mut reader)?;
            if has_ended {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
        }
    }

    /// Reads what is there, but no more than fits at once: who writes without end must not keep us here.
    fn take_in(&mut self, reader: &mut PipeReader) -> io::Result<bool> {
        let mut buffer = vec![0; KEPT];
        match reader.read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.said.extend_from_slice(&buffer[..count]);
                let surplus = self.said.len().saturating_sub(KEPT);
                self.said.drain(..surplus);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str, limit: Duration) -> Ended {
        run(Command::new("/bin/sh").args(["-c", script]), limit).expect("there is a shell")
    }

    #[test]
    fn its_end_and_its_words_are_told() {
        let ended = shell("echo one; echo two >&2; exit 3", LONG);
        assert_eq!(
            (ended.status.and_then(|status| status.code()), &*ended.said),
            (Some(3), "one\ntwo\n")
        );
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
        assert!(ended.status.is_some());
        rustix::process::kill_process(left, Signal::KILL).expect("it still runs");
    }

    #[test]
    fn what_takes_too_long_is_killed_with_its_group() {
        // On a slow machine it may have said nothing when its time is up.
        let mut limits = [1, 10, 60].map(Duration::from_secs).into_iter();
        let left = limits.find_map(|limit| {
            let ended = shell("sleep 600 & echo $!; wait", limit);
            assert!(ended.status.is_none());
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
    fn what_is_not_there_cannot_be_started() {
        let error = run(&mut Command::new("/nonexistent/envoy"), LONG).expect_err("there is none");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
