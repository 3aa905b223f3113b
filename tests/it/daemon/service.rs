//! The daemon under a service manager: readiness, signs of life, reloads, and an end in every state.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::{ask, begin, clusters, listeners, start, start_with};
use crate::kit::mesh::{Backend, Mesh};
use crate::kit::wait;

/// The end of the line to the service manager.
struct Manager {
    socket: UnixDatagram,
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(wait::DEADLINE)).expect("a timeout");
        Self {
            socket,
            _dir: dir,
            path,
        }
    }

    /// The next message.
    fn message(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// The messages up to the first one with that line.
    fn until(&self, line: &str) -> Vec<String> {
        let mut messages = Vec::new();
        loop {
            let message = self.message();
            let is_it = message.lines().any(|found| found == line);
            messages.push(message);
            if is_it {
                return messages;
            }
        }
    }
}

#[test]
fn readiness_reloads_and_the_end_are_told_to_the_service_manager() {
    let mesh = Mesh::start();
    let manager = Manager::new();
    let daemon = start_with(&mesh, |command| {
        command
            .env("NOTIFY_SOCKET", &manager.path)
            .env("WATCHDOG_USEC", "300000");
    });
    let ready = manager.until("READY=1").pop().expect("a message");
    assert!(
        ready.contains("STATUS=published ") && ready.contains("0 of 2 proxies active"),
        "{ready}"
    );
    manager.until("WATCHDOG=1");
    // A reload has an end, whatever comes of it.
    for _ in 0..2 {
        daemon.signal(Signal::HUP);
        let reloading = manager.until("RELOADING=1").pop().expect("a message");
        assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
        manager.until("READY=1");
    }
    mesh.trace_all("nobody");
    let held = loop {
        let message = manager.message();
        if message.contains("held") {
            break message;
        }
    };
    assert!(held.contains("STATUS=") && held.contains("held: default"), "{held}");
    daemon.signal(Signal::TERM);
    manager.until("STOPPING=1");
}

#[test]
fn wrong_settings_are_not_taken_and_right_ones_are() {
    let mesh = Mesh::start();
    let settings = mesh.dir().join("settings.yaml");
    fs::write(&settings, "kuma: {zone: one}\n").expect("a file");
    let daemon = start_with(&mesh, |command| {
        command.args(["-c", "settings.yaml"]);
    });
    for (text, expected) in [
        ("debounce: soon\n", "not a duration"),
        ("quite: 1s\n", "unknown field"),
        ("out: elsewhere\n", "`out` cannot change"),
        (": [", ""),
    ] {
        fs::write(&settings, text).expect("a file");
        daemon.signal(Signal::HUP);
        let status = daemon.until("they are refused", |status| {
            let why = status["settings_error"]["why"].as_str();
            why.is_some_and(|why| why.contains(expected) && (!expected.is_empty() || !why.contains("cannot change")))
        });
        assert_eq!(status["proxies"]["published"], 2);
    }
    let (code, text, _) = ask(&mesh, &["status"]);
    assert_eq!(
        (code, text.contains("the previous settings stay in use")),
        (Some(1), true),
        "{text}"
    );
    fs::write(&settings, "select: [{name: web-01}]\nguard: {max_removed: 100%}\n").expect("a file");
    daemon.signal(Signal::HUP);
    daemon.until("they are in use", |status| {
        status["settings_error"].is_null() && status["proxies"]["published"] == 1
    });
    assert!(!mesh.published("backend-01").exists());
}

#[test]
fn a_reload_that_is_asked_for_ends_when_the_settings_are_in_use() {
    let mesh = Mesh::start();
    let settings = mesh.dir().join("settings.yaml");
    let reload = || ask(&mesh, &["-c", "settings.yaml", "reload"]);
    fs::write(&settings, "{}\n").expect("a file");
    let (code, _, said) = reload();
    assert_eq!(
        (code, said.contains("no daemon listens on ")),
        (Some(2), true),
        "{said}"
    );
    let daemon = start_with(&mesh, |command| {
        command.args(["-c", "settings.yaml"]);
    });
    for round in 0..5 {
        let rules = ["[{name: web-01}]", "[{name: '*'}]"];
        let text = format!("select: {}\nguard: {{max_removed: 100%}}\n", rules[round % 2]);
        fs::write(&settings, text).expect("a file");
        let (code, text, said) = reload();
        assert_eq!(code, Some(0), "{said}");
        assert!(text.starts_with("the settings are in use; "), "{text}");
        assert_eq!(mesh.published("backend-01").exists(), round % 2 == 1, "{text}");
    }
    // Wrong ones the command sees itself; what a running daemon cannot take, it says.
    for (text, expected) in [
        ("debounce: soon\n", "not a duration"),
        (
            "control: {listen: '127.0.0.1:1'}\n",
            "`control` cannot change while the daemon runs",
        ),
    ] {
        fs::write(&settings, text).expect("a file");
        let (code, _, said) = reload();
        assert_eq!((code, said.contains(expected)), (Some(2), true), "{said}");
    }
    fs::write(&settings, "select: [{name: web-01}]\nguard: {max_removed: 100%}\n").expect("a file");
    fs::rename(mesh.dir().join("policies"), mesh.dir().join("elsewhere")).expect("renamed");
    let (code, text, _) = reload();
    assert_eq!((code, text.contains("there is no ")), (Some(0), true), "{text}");
    assert_eq!(daemon.end(), Some(0));
}

#[test]
fn a_storm_of_signals_ends_with_the_last_settings() {
    let mesh = Mesh::start();
    let settings = mesh.dir().join("settings.yaml");
    fs::write(&settings, "{}\n").expect("a file");
    let daemon = start_with(&mesh, |command| {
        command.args(["-c", "settings.yaml"]);
    });
    for i in 0..200 {
        let rule = if i % 2 == 0 { "web-01" } else { "*" };
        fs::write(
            &settings,
            format!("select: [{{name: '{rule}'}}]\nguard: {{max_removed: 100%}}\n"),
        )
        .expect("a file");
        daemon.signal(Signal::HUP);
    }
    daemon.until("the last ones are in use", |status| {
        status["proxies"]["published"] == 2 && status["settings_error"].is_null()
    });
    assert_eq!(daemon.end(), Some(0));
}

#[test]
fn it_ends_cleanly_whatever_it_is_doing() {
    let mesh = Mesh::start();
    // During the first reconciliation, which may be at any point.
    for delay in [0, 1, 2, 5, 10, 20, 50] {
        let mut daemon = begin(&mesh, |_| ());
        std::thread::sleep(Duration::from_millis(delay));
        daemon.signal(Signal::TERM);
        let process = &mut daemon.process;
        let status = wait::until("its end", || process.exited().ok_or_else(|| process.log()));
        // Before it waits for signals, the signal itself ends it.
        assert!(
            status.code() == Some(0) || status.code().is_none(),
            "{status}: {}",
            process.log()
        );
        assert_no_strays(&mesh.dir().join("envoy/.meshtraced/staging"));
    }
    // While the policies are gone, held, or just changing.
    let daemon = start(&mesh);
    fs::rename(mesh.dir().join("policies"), mesh.dir().join("elsewhere")).expect("renamed");
    daemon.until("a failure", |status| status["failure"].is_object());
    assert!(listeners(&mesh).contains("inbound"), "what is published stays");
    assert_eq!(daemon.end(), Some(0));
    fs::rename(mesh.dir().join("elsewhere"), mesh.dir().join("policies")).expect("renamed");
    let daemon = start(&mesh);
    mesh.send_to(&[Backend::nowhere(7)]);
    assert_eq!(daemon.end(), Some(0));
    let (code, said) = mesh.run_once();
    assert_eq!((code, clusters(&mesh).contains("127.0.0.7")), (Some(0), true), "{said}");
}

#[track_caller]
fn assert_no_strays(staging: &Path) {
    let Ok(entries) = fs::read_dir(staging) else { return };
    let left: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn policies_that_come_later_are_waited_for() {
    let mesh = Mesh::start();
    mesh.publish();
    fs::rename(mesh.dir().join("policies"), mesh.dir().join("elsewhere")).expect("renamed");
    let daemon = begin(&mesh, |_| ());
    let status = daemon.until("it says so", |status| status["failure"].is_object());
    assert_eq!(status["proxies"]["published"], 2, "{status}");
    assert!(listeners(&mesh).contains("inbound"));
    fs::rename(mesh.dir().join("elsewhere"), mesh.dir().join("policies")).expect("renamed");
    daemon.until("it follows them", |status| {
        status["failure"].is_null() && status["revisions"]["confirmed"].is_object()
    });
}
