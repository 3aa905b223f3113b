//! A child process that ends with its owner and writes its output to a file.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A running program; killed when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with both outputs appended to the file `log`.
    pub(crate) fn spawn(mut command: Command, log: PathBuf) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let out = File::create(&log).unwrap_or_else(|e| panic!("cannot create {}: {e}", log.display()));
        let err = out.try_clone().expect("a file descriptor can be duplicated");
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        Self { name, child, log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The output so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The exit status, once the process has ended.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be asked")
    }

    /// Panics with the last lines of the output if the process has ended.
    #[track_caller]
    pub(crate) fn assert_alive(&mut self) {
        if let Some(status) = self.exited() {
            panic!("{} ended early ({status}):\n{}", self.name, self.last_lines(20));
        }
    }

    /// The last lines of the output, for messages.
    pub(crate) fn last_lines(&self, count: usize) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
