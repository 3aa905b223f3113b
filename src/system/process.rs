//! Child processes, each run to its end within a limit of time.
//!
//! [`run`] keeps the end of what a program says, [`exchange`] gives it input and takes its output as it comes. Either
//! way a program has a process group of its own, all of which is killed when it takes too long, and knows nothing of
//! what a service manager told this process.

use std::io::{self, PipeReader, Read, Write, pipe};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid};

/// The bytes at the end of a program's output that [`run`] keeps.
const KEPT: usize = 64 << 10;

/// The bytes at the start of a program's error output that [`exchange`] keeps, enough for a message.
const KEPT_ERRORS: u64 = 4096;

/// The interval at which `is_abandoned` is checked.
const ABANDONED_INTERVAL: Duration = Duration::from_millis(100);

/// The time within which a killed process has to be gone.
const DYING: Duration = Duration::from_secs(2);

/// The variables by which a service manager talks to this process alone.
const OURS: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// The way in which a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The program ended by itself, or by a signal of another process.
    Exited(ExitStatus),
    /// The program took too long and was killed.
    TimedOut,
    /// The program was killed because nothing waits for it any more.
    Abandoned,
}

/// A program that [`run`] has ended.
#[derive(Debug)]
pub struct Ended {
    /// The way in which it ended.
    pub end: End,
    /// The end of output and error output together; bytes that are not UTF-8 are replaced.
    pub said: String,
}

/// A program that [`exchange`] has ended.
#[derive(Debug)]
pub struct Exchanged<T> {
    /// The result of taking its output.
    pub result: io::Result<T>,
    /// The status with which it ended.
    pub status: ExitStatus,
    /// The start of its error output; bytes that are not UTF-8 are replaced.
    pub errors: String,
}

/// Runs a program without input until it ends, takes longer than `limit`, or `is_abandoned` is set.
///
/// Processes that a program leaves behind when it ends by itself are left alone, and hold up nobody.
///
/// # Errors
/// When the program cannot be started or waited for.
pub fn run(command: &mut Command, limit: Duration, is_abandoned: &AtomicBool) -> io::Result<Ended> {
    let deadline = Instant::now() + limit;
    let (reader, writer) = pipe()?;
    ioctl_fionbio(&reader, true)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let child = set_apart(command).spawn();
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

/// Runs a program with `input`, while `take` reads its output, until it ends.
///
/// # Errors
/// When the program cannot be started or waited for. [`io::ErrorKind::TimedOut`] when it took longer than `limit`, closed
/// outputs or not.
pub fn exchange<T>(
    command: &mut Command,
    input: &[u8],
    limit: Duration,
    take: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> io::Result<Exchanged<T>> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = set_apart(command).spawn()?;
    let pid = Pid::from_child(&child);
    let piped = |what: &str| io::Error::other(format!("no {what} was piped"));
    let mut stdin = child.stdin.take().ok_or_else(|| piped("input"))?;
    let mut stdout = child.stdout.take().ok_or_else(|| piped("output"))?;
    let mut stderr = child.stderr.take().ok_or_else(|| piped("error output"))?;
    let (done, waiting) = mpsc::channel::<()>();
    let (result, errors, is_late) = thread::scope(|scope| {
        // A program that has said enough does not read to the end.
        scope.spawn(move || drop(stdin.write_all(input)));
        let errors = scope.spawn(move || {
            let mut kept = Vec::new();
            // A part of them is enough for a message, and none is no reason to fail.
            let _ = (&mut stderr).take(KEPT_ERRORS).read_to_end(&mut kept);
            let _ = io::copy(&mut stderr, &mut io::sink());
            String::from_utf8_lossy(&kept).into_owned()
        });
        let killer = scope.spawn(move || {
            let is_late = waiting.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
            if is_late {
                // Nobody has waited for the process yet, so the number still is its own. Others of its group hold its
                // pipes open.
                let _ = kill_process_group(pid, Signal::KILL);
            }
            is_late
        });
        let result = take(&mut stdout);
        let _ = io::copy(&mut stdout, &mut io::sink());
        let errors = errors.join().unwrap_or_default();
        // A program that closes its outputs and stays is late too.
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        drop(done);
        (result, errors, killer.join().unwrap_or(false))
    });
    let status = child.wait()?;
    if is_late {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(Exchanged { result, status, errors })
}

/// Gives a program a process group of its own, and none of the variables that are for this process alone.
fn set_apart(command: &mut Command) -> &mut Command {
    for name in OURS {
        command.env_remove(name);
    }
    command.process_group(0)
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
        // It hangs in the kernel, and this thread must not wait for it.
        thread::Builder::new().spawn(move || child.wait())?;
    }
    Ok(())
}

/// The output of a program as it comes.
struct Output {
    /// The pipe; `None` when no process has the other end any more.
    reader: Option<PipeReader>,
    said: Vec<u8>,
}

impl Output {
    /// Reads until the program ends, which is `None`, or until there is a reason to end it.
    fn listen(&mut self, pid: Pid, deadline: Instant, is_abandoned: &AtomicBool) -> io::Result<Option<End>> {
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut watched = vec![PollFd::new(&process, PollFlags::IN)];
            watched.extend(self.reader.iter().map(|reader| PollFd::new(reader, PollFlags::IN)));
            let longest = Timespec::try_from(left.min(ABANDONED_INTERVAL)).map_err(io::Error::other)?;
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

    /// Reads what is there, but no more than fits at once: a program that writes without end must not delay its own
    /// end.
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

    /// A shell that is given little time.
    fn exchange_with_shell(script: &str) -> io::Result<Exchanged<String>> {
        let mut command = Command::new("/bin/sh");
        let limit = Duration::from_millis(200);
        exchange(
            command.args(["-c", script]),
            b"input that nobody reads",
            limit,
            |stdout| io::read_to_string(stdout),
        )
    }

    #[test]
    fn what_hangs_is_ended_with_all_that_it_started() {
        for script in ["sleep 1000", "sleep 1000 & sleep 1000", "exec >&- 2>&-; sleep 1000"] {
            let ended = exchange_with_shell(&format!("trap '' TERM INT; {script}; true"));
            assert_eq!(ended.expect_err(script).kind(), io::ErrorKind::TimedOut, "{script}");
        }
    }

    #[test]
    fn input_is_given_and_output_is_taken() {
        let script = "cat; echo why >&2; exit 3";
        let ended = exchange(Command::new("/bin/sh").args(["-c", script]), b"words", LONG, |stdout| {
            io::read_to_string(stdout)
        });
        let ended = ended.expect("there is a shell");
        assert_eq!(ended.result.expect("readable"), "words");
        assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(3), "why\n"));
    }

    #[test]
    fn what_a_service_manager_says_is_not_passed_on() {
        let mut command = Command::new("/bin/sh");
        command.args([
            "-c",
            "echo ${NOTIFY_SOCKET-none} ${WATCHDOG_PID-none} ${WATCHDOG_USEC-none}",
        ]);
        command.envs(OURS.map(|name| (name, "ours")));
        let ran = run(&mut command, LONG, &AtomicBool::new(false)).expect("there is a shell");
        command.envs(OURS.map(|name| (name, "ours")));
        let exchanged =
            exchange(&mut command, b"", LONG, |stdout| io::read_to_string(stdout)).expect("there is a shell");
        assert_eq!([ran.said, exchanged.result.expect("readable")], ["none none none\n"; 2]);
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
