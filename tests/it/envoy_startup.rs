//! An Envoy that starts during a publication, and an Envoy without an admin interface.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use meshtraced::envoy::xds;
use rustix::process::{Pid, Signal, kill_process};

use crate::kit::mesh::{Backend, Mesh};
use crate::kit::process::Process;
use crate::kit::strace::Strace;
use crate::kit::wait;

/// A mesh of which the clusters and the listeners of one proxy are about to change.
fn mesh() -> Mesh {
    let mesh = Mesh::builder()
        .backends(&[Backend::zipkin("first", ([127, 0, 0, 1], 9411).into())])
        .start();
    mesh.publish();
    let other = mesh
        .read("web.yaml")
        .replace("servicePort: 18080", "servicePort: 18081");
    mesh.write("web.yaml", &other);
    mesh
}

/// Stands in for an Envoy that has read the old clusters and the new listeners: it refused those, and takes them when
/// they are put in place once more.
fn refusing_once(socket: &Path, xds_dir: PathBuf) {
    let listener = UnixListener::bind(socket).expect("nobody listens there");
    thread::spawn(move || {
        let version =
            |file: &str| xds::version(&fs::read_to_string(xds_dir.join(file)).expect("published")).expect("ours");
        let refused = fs::metadata(xds_dir.join("lds.yaml")).expect("published").ino();
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let is_taken = fs::metadata(xds_dir.join("lds.yaml")).expect("published").ino() != refused;
            let (taken, success) = if is_taken {
                (version("lds.yaml"), 1)
            } else {
                (String::new(), 0)
            };
            let body = format!(
                "cluster_manager.cds.version_text: \"{}\"\ncluster_manager.cds.update_success: 2\n\
                 listener_manager.lds.version_text: \"{taken}\"\nlistener_manager.lds.update_success: {success}\n\
                 listener_manager.lds.update_rejected: 1\n",
                version("cds.yaml"),
            );
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            // Who asked may have gone.
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
}

#[test]
fn an_envoy_that_starts_in_the_middle_gets_its_listeners_once_more() {
    let mesh = mesh();
    let web = mesh.published("web-01");
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let log = temporary.path().join("strace.log");
    // The first file of listeners is the second that is renamed below the directory.
    let xds = fs::canonicalize(web.join("xds")).expect("published");
    let publish = mesh.meshtraced(&["run", "--once"]);
    let stopping = Strace::of([xds.clone()]).stopping(&publish, "renameat", 2, &log);
    let mut run = Process::spawn(stopping, temporary.path().join("run.log"));
    wait::until("the publication stops", || {
        let said = fs::read_to_string(&log).unwrap_or_default();
        if said.contains("stopped by SIGSTOP") {
            Ok(())
        } else {
            Err(said + &run.log())
        }
    });
    refusing_once(&web.join("admin.sock"), xds);
    let pid = fs::read_to_string(web.join("../../.meshtraced/lock")).expect("it holds the lock");
    let pid = Pid::from_raw(pid.trim().parse().expect("a number")).expect("a process");
    kill_process(pid, Signal::CONT).expect("ours");
    let status = wait::until("the publication ends", || run.exited().ok_or_else(|| run.log()));
    assert_eq!(status.code(), Some(0), "{}", run.log());
    assert!(run.log().contains("1 proxy confirmed by Envoy"), "{}", run.log());
    fs::remove_file(web.join("admin.sock")).expect("ours");
    mesh.publish();
}

#[test]
fn an_envoy_that_cannot_be_asked_gets_its_listeners_twice() {
    let mesh = mesh();
    let mut publish: Command = mesh.meshtraced(&["run", "--once"]);
    publish.env("MESHTRACED_ENVOY_ADMIN", "none");
    let (output, calls) = Strace::of_everything().record(&publish);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let renamed: Vec<&str> = calls
        .iter()
        .filter(|call| call.name.starts_with("rename") && call.arguments.contains("default/web-01/xds>"))
        .map(|call| {
            if call.arguments.contains("\"lds.yaml\"") {
                "lds"
            } else {
                "cds"
            }
        })
        .collect();
    assert_eq!(renamed, ["cds", "lds", "lds", "cds"]);
    // The second copy is on disk before it is put in place, as everything is.
    let again = |name: &str| {
        calls
            .iter()
            .position(|call| call.name == name && call.arguments.contains("-again"))
    };
    let synced = again("fsync").expect("a sync of the copy");
    assert!(synced < again("renameat").expect("put in place"));
}
