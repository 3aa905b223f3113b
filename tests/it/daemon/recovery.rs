//! Recovery of the daemon from faults, without help.

use std::fs;
use std::process::Stdio;

use serde_json::json;

use super::{clusters, start, start_with};
use crate::kit::daemon::Daemon;
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

/// A daemon that makes no rescan while a test runs.
fn start_without_rescans(mesh: &Mesh, drift: &str) -> Daemon {
    start_with(mesh, |command| {
        command.env("MESHTRACED_RESCAN", "1h").env("MESHTRACED_DRIFT", drift);
    })
}

#[test]
fn an_edit_of_a_published_file_is_seen_at_once() {
    let mesh = Mesh::start();
    let daemon = start_without_rescans(&mesh, "report");
    let lds = mesh.published("web-01").join("xds/lds.yaml");
    let good = fs::read_to_string(&lds).expect("published");
    let drift = |expected: &'static str| {
        daemon.until(expected, |status| {
            let first = &status["drift"][0];
            first["what"].as_str().unwrap_or_default().contains(expected)
        })
    };
    // In place, as an editor does, and away.
    fs::write(&lds, "mine").expect("published");
    drift("edited");
    fs::write(lds.with_extension("tmp"), &good).expect("a file");
    fs::rename(lds.with_extension("tmp"), &lds).expect("renamed");
    daemon.until("it is as it was", |status| {
        status["drift"].as_array().is_some_and(Vec::is_empty)
    });
    // A missing file is restored without being asked.
    fs::remove_dir_all(mesh.published("web-01")).expect("published");
    wait::until("it is restored", || {
        fs::read_to_string(&lds).map_err(|error| error.to_string())
    });
    // Said when the reconciliation is over, and the new directory is watched.
    wait::until("it is told", || {
        let log = daemon.process.log();
        let is_told = log.contains("effective.yaml was removed by somebody else; restored");
        is_told.then_some(()).ok_or(log)
    });
    // The directory that was made again is watched as the one before.
    fs::write(&lds, "mine").expect("published");
    drift("edited");
}

#[test]
fn with_healing_an_edit_is_undone_at_once() {
    let mesh = Mesh::start();
    let daemon = start_without_rescans(&mesh, "heal");
    let lds = mesh.published("web-01").join("xds/lds.yaml");
    let good = fs::read_to_string(&lds).expect("published");
    fs::write(&lds, "mine").expect("published");
    wait::until("it is restored", || {
        let now = fs::read_to_string(&lds).unwrap_or_default();
        if now == good { Ok(()) } else { Err(daemon.process.log()) }
    });
}

#[test]
fn a_file_at_a_place_of_its_own_is_watched_too() {
    let mesh = Mesh::start();
    let to = tempfile::tempdir().expect("a directory");
    let lds = to.path().join("web-01-lds.yaml");
    let place = to.path().join("{dataplane}-lds.yaml");
    mesh.settings(&json!({"shapes": [{"sidecar": {}, "to": {"lds": place}}]}));
    let start = || {
        start_with(&mesh, |command| {
            command
                .args(["--config", "settings.yaml"])
                .env("MESHTRACED_RESCAN", "1h");
        })
    };
    let is_seen = |daemon: &Daemon| {
        let good = fs::read_to_string(&lds).expect("published");
        fs::write(&lds, "mine").expect("published");
        daemon.until("it is seen", |status| {
            let what = status["drift"][0]["what"].as_str();
            what.is_some_and(|what| what.contains("edited"))
        });
        fs::write(&lds, good).expect("published");
        daemon.until("it is as it was", |status| {
            status["drift"].as_array().is_some_and(Vec::is_empty)
        });
    };
    let daemon = start();
    is_seen(&daemon);
    // The directory is watched for as long as one proxy has files there.
    mesh.remove("backend.yaml");
    daemon.until("it is gone", |status| status["proxies"]["published"] == 1);
    is_seen(&daemon);
    assert_eq!(daemon.end(), Some(0));
    // So it is after a start with nothing to do.
    let daemon = start();
    is_seen(&daemon);
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
