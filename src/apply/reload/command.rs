//! A command that is run to reload: with a limit to its time and its words, and with nothing left behind.

use std::io::{self, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// How often it is looked whether to go on.
const LOOK: Duration = Duration::from_millis(100);

/// How long a killed process may take to be gone.
const DYING: Duration = Duration::from_secs(2);

/// How much of the output is kept for messages: the last bytes, and of them the last lines.
const KEPT_BYTES: usize = 4 << 10;
const KEPT_LINES: usize = 5;

/// Runs a program until it ends, in a process group of its own. What it starts and leaves behind is its own affair, also
/// when it keeps the output open.
///
/// # Errors
/// In words: it is not there, fails, is killed, takes longer than `timeout`, or `is_abandoned` gets set.
pub(super) fn run(argv: &[String], timeout: Duration, is_abandoned: &AtomicBool) -> Result<(), String> {
    let program = argv.first().map_or("", String::as_str);
    let (child, output) = start(argv).map_err(|error| cannot_start(program, &error))?;
    let mut tail = Tail::default();
    let end = wait(child, output, timeout, is_abandoned, &mut tail);
    match end {
        Ok(End::Exited(status)) if status.success() => Ok(()),
        Ok(End::Exited(status)) => Err(tail.after(&how(status))),
        Ok(End::TimedOut) => Err(tail.after(&format!("it took longer than {timeout:?}, and was killed"))),
        Ok(End::Abandoned) => Err("it was killed, because meshtraced ends".to_owned()),
        Err(error) => Err(format!("cannot wait for it: {error}")),
    }
}

/// How a command came to its end.
enum End {
    Exited(ExitStatus),
    TimedOut,
    Abandoned,
}

fn start(argv: &[String]) -> io::Result<(Child, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        // What this process says to its service manager is not for others to say.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_PID")
        .env_remove("WATCHDOG_USEC")
        .spawn()?;
    Ok((child, reader))
}

fn wait(
    mut child: Child,
    mut output: PipeReader,
    timeout: Duration,
    is_abandoned: &AtomicBool,
    tail: &mut Tail,
) -> io::Result<End> {
    // It is not waited for yet, so the number still is its own.
    let end = match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
        Ok(process) => watch(&process, &mut output, timeout, is_abandoned, tail),
        Err(error) => Err(error.into()),
    };
    let _ = tail.take(&mut output);
    match end {
        Ok(None) => child.wait().map(End::Exited),
        Ok(Some(end)) => kill(child).map(|()| end),
        Err(error) => kill(child).and(Err(error)),
    }
}

/// Reads the output until the process ends; `None` then.
fn watch(
    process: &OwnedFd,
    output: &mut PipeReader,
    timeout: Duration,
    is_abandoned: &AtomicBool,
    tail: &mut Tail,
) -> io::Result<Option<End>> {
    let start = Instant::now();
    let mut is_open = true;
    loop {
        let left = timeout.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(Some(End::TimedOut));
        }
        if is_abandoned.load(Ordering::Relaxed) {
            return Ok(Some(End::Abandoned));
        }
        let mut watched = vec![PollFd::new(process, PollFlags::IN)];
        if is_open {
            watched.push(PollFd::new(output, PollFlags::IN));
        }
        let longest = Timespec::try_from(left.min(LOOK)).map_err(io::Error::other)?;
        match poll(&mut watched, Some(&longest)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !watched[0].revents().is_empty() {
            return Ok(None);
        }
        if is_open {
            is_open = tail.take(output)?;
        }
    }
}

/// Ends the process and all of its group.
fn kill(mut child: Child) -> io::Result<()> {
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

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => format!("it ended: {status}"),
    }
}

fn cannot_start(program: &str, error: &io::Error) -> String {
    let is_script = error.kind() == io::ErrorKind::NotFound && Path::new(program).exists();
    if is_script {
        return format!("cannot start {program}: the interpreter that its first line names is missing");
    }
    format!("cannot start {program}: {error}")
}

/// The end of an output.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Tail {
    /// Takes what is there, but not for ever; whether there may be more later.
    fn take(&mut self, output: &mut PipeReader) -> io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        for _ in 0..16 {
            match output.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => self.push(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let excess = self.bytes.len().saturating_sub(KEPT_BYTES);
        self.is_cut |= excess > 0;
        self.bytes.drain(..excess);
    }

    /// What happened, and the last words before it.
    fn after(&self, what: &str) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if self.is_cut && lines.len() > 1 {
            // It begins somewhere in the middle.
            lines.remove(0);
        }
        let last = &lines[lines.len().saturating_sub(KEPT_LINES)..];
        if last.is_empty() {
            return what.to_owned();
        }
        format!("{what}; it said: {}", last.join(" | "))
    }
}
