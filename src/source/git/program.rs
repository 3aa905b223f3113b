//! Runs of Git's own program, and their output.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;

use super::error::{GitError, Result, TIMEOUT};
use super::repository::Repository;
use crate::system::process::{self, Exchanged};

/// The variables by which Git finds the objects of a push before it is accepted.
const QUARANTINE: [&str; 3] = [
    "GIT_QUARANTINE_PATH",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
];

impl Repository {
    /// Objects in the order of `ids`: the first bytes of each and its size; `None` for a missing object.
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

    /// The output of a Git command.
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
        let repository = self.top.clone();
        match process::exchange(&mut self.command(arguments), input, TIMEOUT, take) {
            Ok(Exchanged {
                result: Ok(result),
                status,
                ..
            }) if status.success() => Ok(result),
            Ok(ended) => Err(GitError::Failed {
                repository,
                message: match (ended.result, ended.errors.trim()) {
                    (Err(error), "") => error.to_string(),
                    (_, errors) => errors.replace('\n', " ").trim_start_matches("fatal: ").to_owned(),
                },
            }),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(GitError::Hangs { repository }),
            Err(source) => Err(GitError::Start { repository, source }),
        }
    }

    /// Whether this program runs in a hook that decides about a push to this repository: the pushed objects then are in a
    /// directory of their own below the objects of the repository.
    fn is_receiving(&self) -> bool {
        let Some(quarantine) = std::env::var_os("GIT_QUARANTINE_PATH") else {
            return false;
        };
        let real = |path: PathBuf| fs::canonicalize(path).ok();
        let paths = real(quarantine.into()).zip(real(self.git_dir.join("objects")));
        paths.is_some_and(|(quarantine, objects)| quarantine.starts_with(objects))
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("git");
        // A Git hook that runs this program passes its own repository in variables; this repository is another.
        let is_own = self.is_receiving();
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"GIT_")) {
            if !(is_own && QUARANTINE.iter().any(|kept| name == *kept)) {
                command.env_remove(name);
            }
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0")
            // Missing objects are not fetched.
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_LITERAL_PATHSPECS", "1")
            // The settings name this repository, whoever owns it. These commands run neither hooks nor filters nor
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
            // Git takes the directory that it is started in for a part of the work tree.
            .current_dir("/")
            .args(arguments);
        command
    }
}

/// The next object of `cat-file --batch`: a line with id, type and size, then the bytes and a line end.
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

#[cfg(test)]
mod tests {
    use super::*;

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
