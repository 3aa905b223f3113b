//! A running `meshtraced run`, with its status and its end.

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::http::get;
use super::process::Process;
use super::wait;

/// A daemon; killed when dropped.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    /// The path of the control socket.
    pub(crate) socket: PathBuf,
}

impl Daemon {
    /// The status, from the control socket.
    pub(crate) fn status(&self) -> Result<Value, String> {
        let answer = get("http://daemon/status").try_send_through(&self.socket)?;
        serde_json::from_str(&answer.body).map_err(|error| error.to_string())
    }

    /// Waits until `is_so` holds for the status.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, || match self.status() {
            Ok(status) if is_so(&status) => Ok(status),
            Ok(status) => Err(format!("{status:#}\n{}", self.process.log())),
            Err(said) => Err(format!("{said}\n{}", self.process.log())),
        })
    }

    /// Waits until the log contains `words`.
    #[track_caller]
    pub(crate) fn until_said(&self, words: &str) {
        wait::until(&format!("the log says {words:?}"), || {
            let log = self.process.log();
            if log.contains(words) { Ok(()) } else { Err(log) }
        });
    }

    /// The number of reconciliations with the given result: `changed`, `unchanged` or `failed`.
    #[track_caller]
    pub(crate) fn reconciliations(&self, result: &str) -> u64 {
        let answer = get("http://daemon/metrics").try_send_through(&self.socket);
        let metrics = answer.expect("metrics").body;
        let name = format!("meshtraced_reconciliations_total{{result=\"{result}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |count| count.parse().expect("a count"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).expect("our own child");
    }

    /// Ends the daemon like a service manager, and returns the exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        wait::until("its end", || self.process.exited().ok_or_else(|| self.process.log())).code()
    }
}
