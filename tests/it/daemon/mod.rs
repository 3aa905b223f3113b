//! The daemon: its status, its requests, its start, its reloads and its end.

mod control;
mod envoys;
mod recovery;
mod requests;
mod service;

use std::path::PathBuf;
use std::process::Command;

use crate::kit::daemon::Daemon;
use crate::kit::mesh::Mesh;
use crate::kit::process::Process;

/// Starts a daemon, and waits for its first reconciliation.
fn start(mesh: &Mesh) -> Daemon {
    start_with(mesh, |_| ())
}

/// Starts a daemon with a changed command, and waits for its first reconciliation.
pub(crate) fn start_with(mesh: &Mesh, change: impl FnOnce(&mut Command)) -> Daemon {
    let daemon = begin(mesh, change);
    daemon.until("its first reconciliation", |status| {
        status["revisions"]["seen"].is_object()
    });
    daemon
}

/// A daemon that may be anywhere in its first reconciliation.
fn begin(mesh: &Mesh, change: impl FnOnce(&mut Command)) -> Daemon {
    let mut command = mesh.meshtraced(&["run", "-v"]);
    change(&mut command);
    let elsewhere = command
        .get_envs()
        .find(|(name, _)| *name == "MESHTRACED_CONTROL_SOCKET");
    let elsewhere = elsewhere.and_then(|(_, path)| path).map(PathBuf::from);
    let socket = elsewhere.unwrap_or_else(|| mesh.dir().join("envoy/.meshtraced/control.sock"));
    let process = Process::spawn(command, mesh.dir().join("daemon.log"));
    Daemon { process, socket }
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
