//! System calls of a program: recorded, made to fail, or the last call before it is killed.
//!
//! Only calls about one directory count, so that neither the dynamic loader nor anything else of the
//! machine is affected. Calls are counted per thread.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::NamedTempFile;

use super::tools;

/// The calls by which a program changes a directory or syncs it.
pub(crate) const WRITES: [&str; 21] = [
    "openat",
    "write",
    "pwrite64",
    "writev",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "syncfs",
    "sync_file_range",
    "renameat",
    "renameat2",
    "linkat",
    "symlinkat",
    "unlinkat",
    "mkdirat",
    "fchmod",
    "fchmodat",
    "fchown",
    "fchownat",
    "copy_file_range",
];

/// One call, with its arguments as strace shows them.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// The arguments, with the paths of open files: `"a", 4</out>, "b"`.
    pub(crate) arguments: String,
    /// The number of the call among those of its thread with the same name, from 1.
    pub(crate) number: usize,
}

/// The result of a run.
pub(crate) struct Run {
    pub(crate) output: Output,
    /// Whether the call was made.
    pub(crate) was_hit: bool,
    /// The calls of the program, in order.
    pub(crate) calls: Vec<Call>,
}

/// The directories whose calls count.
pub(crate) struct Strace {
    paths: Vec<PathBuf>,
}

impl Strace {
    /// Counts the calls about one of the paths.
    pub(crate) fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            paths: paths.into_iter().collect(),
        }
    }

    /// Counts all calls.
    pub(crate) fn of_everything() -> Self {
        Self { paths: Vec::new() }
    }

    /// Runs a command and returns its calls, in order.
    #[track_caller]
    pub(crate) fn record(&self, command: &Command) -> (Output, Vec<Call>) {
        let (output, log) = self.run(command, &trace(), None);
        let calls = calls(&log);
        (output, calls)
    }

    /// Runs a command, and lets the `number`th call of that name of each thread end by `how`: `signal=SIGKILL`, which
    /// ends the program before the call does anything, or `error=EIO`.
    #[track_caller]
    pub(crate) fn inject(&self, command: &Command, call: &str, how: &str, number: usize) -> Run {
        let inject = format!("inject={call}:{how}:when={number}");
        let (output, log) = self.run(command, &trace(), Some(&inject));
        Run {
            output,
            was_hit: log.contains("(INJECTED") || log.contains("killed by SIGKILL"),
            calls: calls(&log),
        }
    }

    #[track_caller]
    fn run(&self, command: &Command, trace: &str, inject: Option<&str>) -> (Output, String) {
        let log = NamedTempFile::new().expect("a temporary file");
        let output = self.wrapped(command, trace, inject, log.path()).output();
        let output = output.unwrap_or_else(|e| {
            panic!("cannot run strace: {e}\nThe tests need it (Debian: apt-get install strace), and the right to trace")
        });
        let text = fs::read_to_string(log.path()).expect("strace writes text");
        assert!(
            !text.is_empty(),
            "strace traced nothing: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        (output, text)
    }

    /// The command under strace, which stops the command at the `number`th call of the given name and writes to
    /// `log`.
    pub(crate) fn stopping(&self, command: &Command, call: &str, number: usize, log: &Path) -> Command {
        let inject = format!("inject={call}:signal=SIGSTOP:when={number}");
        self.wrapped(command, &format!("trace={call}"), Some(&inject), log)
    }

    fn wrapped(&self, command: &Command, trace: &str, inject: Option<&str>, log: &Path) -> Command {
        let mut strace = tools::strace();
        strace.args(["-f", "-y", "-o"]).arg(log).args(["-e", trace]);
        if let Some(inject) = inject {
            strace.args(["-e", inject]);
        }
        for path in &self.paths {
            strace.arg("-P").arg(path);
        }
        strace.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                strace.env(name, value);
            }
        }
        if let Some(dir) = command.get_current_dir() {
            strace.current_dir(dir);
        }
        strace
    }
}

fn trace() -> String {
    format!("trace={}", WRITES.join(","))
}

/// The calls in a log.
fn calls(log: &str) -> Vec<Call> {
    let mut counts = BTreeMap::new();
    let calls = log.lines().filter_map(|line| {
        let (thread, call) = line.split_once(' ')?;
        let (name, arguments) = call.trim_start().split_once('(')?;
        if !WRITES.contains(&name) {
            return None;
        }
        let number = counts.entry((thread.to_owned(), name.to_owned())).or_insert(0);
        *number += 1;
        Some(Call {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            number: *number,
        })
    });
    calls.collect()
}

/// The names below `dir` in the arguments of calls.
pub(crate) fn names(calls: &[Call], dir: &Path) -> BTreeSet<String> {
    let mark = format!("<{}/", dir.display());
    let opened = calls.iter().flat_map(|call| {
        let parts = call.arguments.split(mark.as_str()).skip(1);
        parts
            .filter_map(|part| Some(part.split_once('>')?.0.to_owned()))
            .collect::<Vec<_>>()
    });
    opened.collect()
}
