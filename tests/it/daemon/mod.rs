//! The daemon: what it says of itself, what it can be asked, and how it begins, reloads and ends.

mod control;
mod envoys;
mod recovery;
mod service;
mod wishes;

use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::kit::http::get;
use crate::kit::process::Process;
use crate::kit::wait;
use crate::mesh::{Mesh, zipkin_backend};

/// A mesh whose collector nobody needs.
fn mesh() -> Mesh {
    Mesh::new(&backend(1), "http")
}

/// A collector at 127.0.0.`host`.
fn backend(host: u8) -> String {
    zipkin_backend("first", ([127, 0, 0, host], 9411).into())
}

/// A daemon that has made its first turn.
struct Running {
    process: Process,
    socket: PathBuf,
}

impl Running {
    fn start(mesh: &Mesh) -> Self {
        Self::with(mesh, |_| ())
    }

    /// The same, with a change to the command that starts it.
    fn with(mesh: &Mesh, change: impl FnOnce(&mut Command)) -> Self {
        let running = Self::begin(mesh, change);
        running.until("its first turn", |status| status["revisions"]["seen"].is_object());
        running
    }

    /// A daemon that may be anywhere in its first turn.
    fn begin(mesh: &Mesh, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = mesh.meshtraced(&["run", "-v"]);
        change(&mut command);
        let elsewhere = command
            .get_envs()
            .find(|(name, _)| *name == "MESHTRACED_CONTROL_SOCKET");
        let elsewhere = elsewhere.and_then(|(_, path)| path).map(PathBuf::from);
        let socket = elsewhere.unwrap_or_else(|| mesh.dir().join("envoy/.meshtraced/control.sock"));
        let process = Process::spawn(command, mesh.dir().join("daemon.log"));
        Self { process, socket }
    }

    /// What it says of itself.
    fn status(&self) -> Result<Value, String> {
        let answer = get("http://daemon/status").try_send_through(&self.socket)?;
        serde_json::from_str(&answer.body).map_err(|error| error.to_string())
    }

    /// Waits until the status is so.
    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, || match self.status() {
            Ok(status) if is_so(&status) => Ok(status),
            Ok(status) => Err(format!("{status:#}\n{}", self.process.log())),
            Err(said) => Err(format!("{said}\n{}", self.process.log())),
        })
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id");
        kill_process(pid, signal).expect("our own child");
    }

    /// Ends it as a service manager does; the exit code.
    fn end(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        wait::until("its end", || self.process.exited().ok_or_else(|| self.process.log())).code()
    }
}

/// Runs a command about the mesh: exit code, standard output, standard error.
#[track_caller]
fn ask(mesh: &Mesh, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = mesh.meshtraced(arguments).output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code(), text(&output.stdout), said)
}

/// The published listeners of `web`.
fn listeners(mesh: &Mesh) -> String {
    std::fs::read_to_string(mesh.published("web-01").join("xds/lds.yaml")).expect("published")
}

/// The published clusters of `web`.
fn clusters(mesh: &Mesh) -> String {
    std::fs::read_to_string(mesh.published("web-01").join("xds/cds.yaml")).expect("published")
}
