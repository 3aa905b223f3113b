//! Recovery of the daemon from faults, without help.

use std::fs;
use std::process::Stdio;

use super::{clusters, start};
use crate::kit::mesh::{Backend, Mesh};
use crate::kit::wait;

/// Whether the collector of `web` is 127.0.0.`host`.
fn sends_to(mesh: &Mesh, host: u8) -> bool {
    clusters(mesh).contains(&format!("127.0.0.{host}"))
}

#[test]
fn good_bad_bad_and_the_same_good_ends_published() {
    let mesh = Mesh::start();
    let daemon = start(&mesh);
    let good = mesh.read("mesh.yaml");
    for bad in [
        "type: Mesh\nname: default\ntracing: {backends: 5}\n",
        "type: Mesh\nname: [\n",
    ] {
        mesh.write("mesh.yaml", bad);
        daemon.until("it is held", |status| {
            status["held"].as_array().is_some_and(|held| !held.is_empty())
                && status["findings"]["errors"].as_u64() > Some(0)
        });
        assert!(sends_to(&mesh, 1));
    }
    mesh.write("mesh.yaml", &good);
    daemon.until("nothing is held", |status| {
        status["held"].as_array().is_some_and(Vec::is_empty)
            && status["revisions"]["seen"]["content"] == status["revisions"]["confirmed"]["content"]
    });
    // And the next change is followed as any other.
    mesh.send_to(&[Backend::nowhere(9)]);
    daemon.until("it is published", |_| sends_to(&mesh, 9));
}

#[test]
fn an_empty_directory_takes_nothing_away() {
    let mesh = Mesh::start();
    let daemon = start(&mesh);
    let (policies, elsewhere) = (mesh.dir().join("policies"), mesh.dir().join("elsewhere"));
    fs::rename(&policies, &elsewhere).expect("renamed");
    fs::create_dir(&policies).expect("a directory");
    let status = daemon.until("it is held", |status| status["held"][0]["errors"] == 1);
    assert_eq!(status["proxies"]["published"], 2);
    assert!(sends_to(&mesh, 1));
    fs::remove_dir(&policies).expect("empty");
    fs::rename(&elsewhere, &policies).expect("renamed");
    daemon.until("it is good again", |status| {
        status["failure"].is_null() && status["held"].as_array().is_some_and(Vec::is_empty)
    });
}

#[test]
fn an_output_directory_that_goes_is_made_again() {
    let mesh = Mesh::start();
    let daemon = start(&mesh);
    fs::rename(mesh.dir().join("envoy"), mesh.dir().join("gone")).expect("renamed");
    mesh.send_to(&[Backend::nowhere(9)]);
    wait::until("it is published", || {
        let text = fs::read_to_string(mesh.published("web-01").join("xds/cds.yaml")).unwrap_or_default();
        let is_there = text.contains("127.0.0.9") && daemon.socket.exists();
        is_there.then_some(()).ok_or_else(|| daemon.process.log())
    });
    daemon.until("it answers again", |status| status["proxies"]["published"] == 2);
    assert_eq!(daemon.end(), Some(0));
}

#[test]
fn a_published_file_that_goes_while_its_mesh_is_held_comes_back() {
    let mesh = Mesh::start();
    let daemon = start(&mesh);
    mesh.trace_all("nobody");
    daemon.until("it is held", |status| status["findings"]["errors"] == 1);
    let file = mesh.published("web-01").join("xds/lds.yaml");
    let text = fs::read_to_string(&file).expect("published");
    fs::remove_file(&file).expect("removed");
    daemon.signal(rustix::process::Signal::HUP);
    wait::until("it is back", || {
        let is_back = fs::read_to_string(&file).is_ok_and(|found| found == text);
        is_back.then_some(()).ok_or_else(|| daemon.process.log())
    });
}

#[test]
fn a_log_that_nobody_reads_any_more_ends_nothing() {
    let mesh = Mesh::start();
    let mut command = mesh.meshtraced(&["run", "-v"]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stderr.take());
    wait::until("it publishes", || {
        let is_there = mesh.published("web-01").join("effective.yaml").exists();
        is_there.then_some(()).ok_or_else(|| "nothing yet".to_owned())
    });
    mesh.send_to(&[Backend::nowhere(9)]);
    wait::until("it goes on", || {
        sends_to(&mesh, 9).then_some(()).ok_or_else(|| "not yet".to_owned())
    });
    assert!(child.try_wait().expect("our own child").is_none(), "it still runs");
    child.kill().expect("our own child");
    child.wait().expect("our own child");
}
