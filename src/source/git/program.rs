//! Git's own program, and what it answers.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::{GitError, Repository, Result};

/// A Git that takes longer than this hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

impl Repository {
    /// Objects in the order of their ids: their first bytes and their size; `None` for one that is not there.
    pub(super) fn objects(&self, ids: &[&str], limit: u64, mut take: impl FnMut(Option<(Vec<u8>, u64)>)) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let wanted = ids.join("\n") + "\n";
        self.run(["cat-file", "--batch"], wanted.as_bytes(), |stdout| {
            let mut stdout = BufReader::new(stdout);
            for _ in ids {
                take(object(&mut stdout, limit)?);
            }
            Ok(())
        })
    }

    /// What Git answers.
    pub(super) fn ask<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Vec<u8>> {
        self.run(arguments, &[], |stdout| {
            let mut answer = Vec::new();
            stdout.read_to_end(&mut answer)?;
            Ok(answer)
        })
    }

    fn run<A: AsRef<OsStr>, T>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        input: &[u8],
        take: impl FnOnce(&mut dyn Read) -> io::Result<T>,
    ) -> Result<T> {
        let mut child = self.command(arguments).spawn().map_err(|source| GitError::Start {
            repository: self.top.clone(),
            source,
        })?;
        let ended = converse(&mut child, input, PATIENCE, take);
        let refused = |said: String| GitError::Refused {
            repository: self.top.clone(),
            said,
        };
        match ended {
            Ok((Ok(result), status, _)) if status.success() => Ok(result),
            Ok((result, _, said)) => Err(refused(match (result, said.trim()) {
                (Err(error), "") => error.to_string(),
                (_, said) => said.replace('\n', " ").trim_start_matches("fatal: ").to_owned(),
            })),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(GitError::Hangs {
                repository: self.top.clone(),
            }),
            Err(error) => Err(refused(error.to_string())),
        }
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("git");
        // A Git hook that runs us says by variables which repository it is about; this one is another.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"GIT_")) {
            command.env_remove(name);
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0")
            // What is not here is not fetched.
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_LITERAL_PATHSPECS", "1")
            // The settings name this repository, whoever owns it. What is asked of Git runs neither hooks nor filters nor
            // any other program that a repository could name.
            .args([
                "-c",
                "safe.directory=*",
                "-c",
                "core.fsmonitor=false",
                "--no-replace-objects",
            ])
            .arg("--git-dir")
            .arg(&self.git_dir)
            // Git takes the directory that it is started in for a place in the work tree.
            .current_dir("/")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }
}

/// The next object that `cat-file --batch` tells: a line with id, type and size, the bytes, and a line end.
fn object(stdout: &mut impl BufRead, limit: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
    let mut head = String::new();
    if stdout.read_line(&mut head)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let Some(size) = head
        .trim_end()
        .rsplit(' ')
        .next()
        .and_then(|size| size.parse::<u64>().ok())
    else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    stdout.take(size.min(limit + 1)).read_to_end(&mut bytes)?;
    let rest = size - bytes.len() as u64 + 1;
    let skipped = io::copy(&mut stdout.take(rest), &mut io::sink())?;
    if skipped != rest {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((bytes, size)))
}

type Ended<T> = (io::Result<T>, std::process::ExitStatus, String);

/// Gives a child its input while its output is taken, and ends it when it takes too long.
fn converse<T>(
    child: &mut Child,
    input: &[u8],
    patience: Duration,
    take: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> io::Result<Ended<T>> {
    let pid = rustix::process::Pid::from_child(child);
    let piped = |what: &str| io::Error::other(format!("no {what} was piped"));
    let mut stdin = child.stdin.take().ok_or_else(|| piped("input"))?;
    let mut stdout = child.stdout.take().ok_or_else(|| piped("output"))?;
    let mut stderr = child.stderr.take().ok_or_else(|| piped("error output"))?;
    let (done, waiting) = mpsc::channel::<()>();
    let (result, said, is_late) = thread::scope(|scope| {
        // A child that has said enough does not read to the end.
        scope.spawn(move || drop(stdin.write_all(input)));
        let said = scope.spawn(move || {
            let mut said = Vec::new();
            // Its last words are for a message.
            let _ = (&mut stderr).take(4096).read_to_end(&mut said);
            let _ = io::copy(&mut stderr, &mut io::sink());
            String::from_utf8_lossy(&said).into_owned()
        });
        let killer = scope.spawn(move || {
            let is_late = waiting.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout);
            if is_late {
                // It was not reaped yet, so that the number still is its own. With all that it started: those hold its
                // pipes open.
                let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            }
            is_late
        });
        let result = take(&mut stdout);
        let _ = io::copy(&mut stdout, &mut io::sink());
        let said = said.join().unwrap_or_default();
        // One that closes its outputs and stays is late too.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = waitid(WaitId::Pid(pid), ended);
        drop(done);
        let is_late = killer.join().unwrap_or(false);
        (result, said, is_late)
    });
    let status = child.wait()?;
    if is_late {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok((result, status, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell that is given little time.
    fn shell(script: &str) -> io::Result<Ended<Vec<u8>>> {
        let mut command = Command::new("sh");
        let command = command.args(["-c", script]).process_group(0);
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn().expect("a shell");
        converse(
            &mut child,
            b"input that nobody reads",
            Duration::from_millis(200),
            |stdout| {
                let mut bytes = Vec::new();
                stdout.read_to_end(&mut bytes)?;
                Ok(bytes)
            },
        )
    }

    #[test]
    fn what_hangs_is_ended_with_all_that_it_started() {
        for script in ["sleep 1000", "sleep 1000 & sleep 1000", "exec >&- 2>&-; sleep 1000"] {
            let ended = shell(&format!("trap '' TERM INT; {script}; true"));
            assert_eq!(ended.expect_err(script).kind(), io::ErrorKind::TimedOut, "{script}");
        }
        let (said, status, _) = shell("echo x").expect("it ends");
        assert_eq!((said.expect("readable"), status.success()), (b"x\n".to_vec(), true));
    }

    #[test]
    fn objects_are_read_to_their_ends() {
        let mut answer = &b"aa blob 3\nabc\nbb missing\ncc blob 6\nabcdef\n"[..];
        assert_eq!(object(&mut answer, 4).expect("whole"), Some((b"abc".to_vec(), 3)));
        assert_eq!(object(&mut answer, 4).expect("whole"), None);
        assert_eq!(object(&mut answer, 4).expect("whole"), Some((b"abcde".to_vec(), 6)));
        assert!(object(&mut answer, 4).is_err());
        assert!(object(&mut &b"aa blob 3\nab"[..], 4).is_err());
    }
}
