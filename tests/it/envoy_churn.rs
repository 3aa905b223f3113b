//! Envoys that stop, continue, end and start many times while the policies change.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use meshtraced::envoy::xds;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::kit::envoy::Envoy;
use crate::kit::http::get;
use crate::kit::mesh::{Backend, Mesh};
use crate::kit::process::Process;
use crate::kit::{tools, wait};

/// How often the collector changes, and with it the clusters and the listeners.
const CHANGES: usize = 30;

/// Two collectors, of which one is in use, published.
fn mesh() -> Mesh {
    let backends =
        [("first", 9411), ("second", 9412)].map(|(name, port)| Backend::zipkin(name, ([127, 0, 0, 1], port).into()));
    let mesh = Mesh::builder().backends(&backends).start();
    mesh.publish();
    mesh
}

/// Sends the spans to the other collector again and again, and waits each time until that is on disk.
fn change_again_and_again(mesh: &Mesh, daemon: &mut Process) {
    for number in 0..CHANGES {
        // The proxies of a stopped Envoy stay behind; the other one follows.
        let collector = ["second", "first"][number % 2];
        mesh.trace_all(collector);
        let lds = mesh.published("backend-01").join("xds/lds.yaml");
        wait::until("the change is published", || {
            daemon.assert_alive();
            let text = fs::read_to_string(&lds).expect("it is always there");
            let is_so = text.contains(&format!("tracing:{collector}"));
            is_so.then_some(()).ok_or_else(|| daemon.last_lines(10))
        });
    }
}

/// Waits until what is published has come to all of it.
#[track_caller]
fn settle(mesh: &Mesh, daemon: &mut Process) {
    wait::until("everything is published", || {
        daemon.assert_alive();
        let diff = mesh.meshtraced(&["diff"]).output().expect("the program starts");
        let said = String::from_utf8_lossy(&diff.stdout).into_owned();
        (diff.status.code() == Some(0))
            .then_some(())
            .ok_or_else(|| said + &daemon.last_lines(10))
    });
}

/// The versions that lie on disk for `web`, of clusters and listeners.
fn on_disk(mesh: &Mesh) -> [Option<String>; 2] {
    ["cds", "lds"].map(|name| {
        let path = mesh.published("web-01").join(format!("xds/{name}.yaml"));
        xds::version(&fs::read_to_string(path).expect("it is always there"))
    })
}

const VERSIONS: [&str; 2] = ["cluster_manager.cds.version_text", "listener_manager.lds.version_text"];
const REJECTED: [&str; 2] = [
    "cluster_manager.cds.update_rejected",
    "listener_manager.lds.update_rejected",
];

#[test]
fn a_stopped_envoy_wakes_up_to_nothing_that_it_refuses() {
    let mesh = mesh();
    let [web, _backend] = mesh.envoys();
    let mut daemon = mesh.daemon();
    let pid = i32::try_from(web.id()).ok().and_then(Pid::from_raw).expect("a process");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Stopped at any moment of a publication, and for shorter and longer than it is waited for.
            for number in 1.. {
                for (signal, pause) in [(Signal::STOP, 97 * number % 901), (Signal::CONT, 61 * number % 401)] {
                    kill_process(pid, signal).expect("our own child");
                    thread::sleep(Duration::from_millis(pause));
                }
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        change_again_and_again(&mesh, &mut daemon);
        is_over.store(true, Ordering::SeqCst);
    });
    settle(&mesh, &mut daemon);
    wait::until("Envoy has what is on disk", || {
        let versions = VERSIONS.map(|name| web.stat_text(name));
        (versions == on_disk(&mesh))
            .then_some(())
            .ok_or(format!("{versions:?}"))
    });
    for name in REJECTED {
        assert_eq!(web.stat(name), Some(0), "{name}");
    }
}

#[test]
fn an_envoy_that_starts_anew_again_and_again_ends_with_what_is_on_disk() {
    let mesh = mesh();
    let mut daemon = mesh.daemon();
    let is_over = AtomicBool::new(false);
    let bootstrap = mesh.published("web-01").join("bootstrap.yaml");
    let web = thread::scope(|scope| {
        let restarting = scope.spawn(|| {
            loop {
                let envoy = Envoy::spawn(&bootstrap);
                if is_over.load(Ordering::SeqCst) {
                    return envoy;
                }
                // Dropped, which kills it.
            }
        });
        change_again_and_again(&mesh, &mut daemon);
        is_over.store(true, Ordering::SeqCst);
        restarting.join().expect("it starts")
    });
    settle(&mesh, &mut daemon);
    wait::until("Envoy has what is on disk", || {
        let versions = VERSIONS.map(|name| web.stat_text(name));
        let said = || format!("{versions:?} {:?}\n{}", on_disk(&mesh), daemon.last_lines(10));
        (versions == on_disk(&mesh)).then_some(()).ok_or_else(said)
    });
    assert_eq!(get(format!("http://{}/", mesh.web)).send().status, 200);
}

/// The epochs of one Envoy that restarts hot.
struct Epochs {
    dir: TempDir,
    bootstrap: std::path::PathBuf,
    base: u32,
    count: u32,
}

impl Epochs {
    fn next(&mut self) -> Process {
        let mut command = Command::new(tools::envoy());
        command.arg("-c").arg(&self.bootstrap);
        command.args([
            "--concurrency",
            "1",
            "--drain-time-s",
            "1",
            "--parent-shutdown-time-s",
            "2",
        ]);
        let epoch = self.count;
        command.args([
            "--base-id",
            &self.base.to_string(),
            "--restart-epoch",
            &epoch.to_string(),
        ]);
        self.count += 1;
        let process = Process::spawn(command, self.dir.path().join(format!("{epoch}.log")));
        wait::until("the epoch is live", || {
            let said = get("http://admin/stats?filter=server.(live|hot_restart_generation)")
                .try_send_through(&self.bootstrap.with_file_name("admin.sock"))?;
            let generation = format!("server.hot_restart_generation: {}\n", epoch + 1);
            let is_so = said.body.contains("server.live: 1") && said.body.contains(&generation);
            is_so.then_some(()).ok_or_else(|| said.body + &process.log())
        });
        process
    }
}

impl Drop for Epochs {
    fn drop(&mut self) {
        // Envoy leaves its shared memory behind, for an epoch that may follow.
        let _ = fs::remove_file(format!("/dev/shm/envoy_shared_memory_{}", u64::from(self.base) * 10));
    }
}

#[test]
fn an_envoy_that_restarts_hot_ends_with_what_is_on_disk() {
    let mesh = mesh();
    let mut daemon = mesh.daemon();
    let mut epochs = Epochs {
        dir: tempfile::tempdir().expect("a temporary directory"),
        bootstrap: fs::canonicalize(mesh.published("web-01").join("bootstrap.yaml")).expect("published"),
        // Others of this machine have other ones.
        base: std::process::id(),
        count: 0,
    };
    let mut running = vec![epochs.next()];
    let socket = epochs.bootstrap.with_file_name("admin.sock");
    thread::scope(|scope| {
        let changing = scope.spawn(|| change_again_and_again(&mesh, &mut daemon));
        // Not in a thread of its own: an Envoy that may restart hot ends with the thread that started it.
        while !changing.is_finished() {
            let newest = epochs.next();
            // It has told the one before it to end.
            let parent = running.last_mut().expect("there is one");
            wait::until("the parent ends", || parent.exited().ok_or_else(|| parent.log()));
            running.push(newest);
        }
        changing.join().expect("it changes");
    });
    settle(&mesh, &mut daemon);
    wait::until("Envoy has what is on disk", || {
        let newest = running.last_mut().expect("there is one");
        newest.assert_alive();
        let stats = get("http://admin/stats?type=TextReadouts")
            .try_send_through(&socket)?
            .body;
        let has = |(name, version): (&str, Option<String>)| {
            stats.contains(&format!("{name}: \"{}\"", version.unwrap_or_default()))
        };
        let is_so = VERSIONS.into_iter().zip(on_disk(&mesh)).all(has);
        is_so
            .then_some(())
            .ok_or_else(|| stats.clone() + &daemon.last_lines(10))
    });
    assert_eq!(get(format!("http://{}/", mesh.web)).send().status, 200);
}
