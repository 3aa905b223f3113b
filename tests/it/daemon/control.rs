//! The control socket, with well-behaved and faulty clients.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{ask, clusters, start, start_with};
use crate::kit::daemon::Daemon;
use crate::kit::mesh::{Backend, Mesh};
use crate::kit::unprivileged::Unprivileged;
use crate::kit::wait;

/// Sends bytes and reads what comes until the other side closes.
fn raw(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    stream.set_read_timeout(Some(wait::DEADLINE)).expect("a timeout");
    // What it does not want to read to the end it closes.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(socket: &Path, path: &str) -> String {
    raw(
        socket,
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(),
    )
}

#[test]
fn metrics_tell_what_the_status_tells() {
    let mesh = Mesh::start();
    let daemon = start(&mesh);
    let metrics = get(&daemon.socket, "/metrics");
    for line in [
        "application/openmetrics-text",
        "meshtraced_proxies{state=\"not-running\"} 2.0",
        "meshtraced_findings{severity=\"error\"} 0.0",
        "meshtraced_policies{outcome=\"decides\"} 1.0",
        "meshtraced_reconciliations_total{result=\"changed\"} 1",
        "meshtraced_published_proxies_total 2",
        "meshtraced_stage_duration_seconds_count{stage=\"publish\"}",
        "meshtraced_revision_timestamp_seconds{stage=\"confirmed\"",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    mesh.trace_all("nobody");
    daemon.until("an error", |status| status["findings"]["errors"] == 1);
    let metrics = get(&daemon.socket, "/metrics");
    assert!(metrics.contains("meshtraced_held{mesh=\"default\"} 1.0"), "{metrics}");
    mesh.trace_all("first");
    daemon.until("no error", |status| status["findings"]["errors"] == 0);
    assert!(!get(&daemon.socket, "/metrics").contains("meshtraced_held{"));
}

#[test]
fn the_work_of_an_edit_is_that_of_its_file() {
    let mesh = Mesh::start();
    for i in 0..100 {
        mesh.write(&format!("{i}.yaml"), &dataplane(i, 8080));
    }
    let daemon = start(&mesh);
    let work = || work(&daemon);
    let files = std::fs::read_dir(mesh.dir().join("policies")).expect("there").count();
    let [looked_at, decoded, lowered, rendered, read_back] = work();
    assert!(looked_at >= files, "{looked_at} of {files}");
    assert_eq!(decoded, files);
    let proxies = lowered;
    assert!(proxies > 100, "{proxies}");
    let changed = daemon.reconciliations("changed");
    mesh.write("7.yaml", &dataplane(7, 9090));
    wait::until("a publication", || match daemon.reconciliations("changed") > changed {
        true => Ok(()),
        false => Err(daemon.process.log()),
    });
    let [looked_at_now, decoded_now, lowered_now, rendered_now, read_back_now] = work();
    assert_eq!(decoded_now, files + 1);
    assert_eq!(lowered_now, lowered + 1);
    assert_eq!(rendered_now, rendered + 1);
    assert_eq!(read_back_now, read_back + 1);
    // What the daemon publishes itself is no reason to look again.
    let unchanged = daemon.reconciliations("unchanged");
    mesh.write("8.yaml", &dataplane(8, 9090));
    wait::until("another publication", || {
        match daemon.reconciliations("changed") > changed + 1 {
            true => Ok(()),
            false => Err(daemon.process.log()),
        }
    });
    assert_eq!(daemon.reconciliations("unchanged"), unchanged);
    assert_eq!(self::work(&daemon)[4], read_back + 2);
    // The two names of the file, each perhaps in a reconciliation of its own.
    assert!(looked_at_now - looked_at <= 4, "{}", looked_at_now - looked_at);
}

/// The numbers of paths that were looked at, of files that were decoded, of proxies that were lowered, of those whose
/// files were rendered, and of those whose published files were read back.
fn work(daemon: &Daemon) -> [usize; 5] {
    let metrics = get(&daemon.socket, "/metrics");
    ["looked-at", "decoded", "lowered", "rendered", "read-back"].map(|part| {
        let name = format!("meshtraced_work_total{{part=\"{part}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |count| count.trim().parse::<usize>().expect("a count"))
    })
}

#[test]
fn a_restart_is_ready_before_it_compiles() {
    let mesh = Mesh::start();
    wait::until("a run is recorded", || {
        assert_eq!(ask(&mesh, &["run", "--once"]).0, Some(0));
        let record = mesh.dir().join("envoy/.meshtraced/last-run.json");
        if record.exists() {
            Ok(())
        } else {
            Err("it is not".to_owned())
        }
    });
    let daemon = start(&mesh);
    daemon.until_said("nothing to change");
    wait::until("it has compiled", || match daemon.reconciliations("unchanged") {
        2 => Ok(()),
        n => Err(format!("{n} reconciliations")),
    });
    // Both read the published files back, and the second compiled the policies.
    let [_, decoded, lowered, rendered, read_back] = work(&daemon);
    let files = std::fs::read_dir(mesh.dir().join("policies")).expect("there").count();
    assert_eq!([decoded, lowered, rendered, read_back], [files, 2, 2, 4]);
    assert_eq!(daemon.reconciliations("changed"), 0);
    mesh.send_to(&[Backend::nowhere(9)]);
    daemon.until("the next change is published", |_| {
        clusters(&mesh).contains("127.0.0.9")
    });
}

fn dataplane(i: usize, port: u16) -> String {
    let inbound = format!("{{port: {port}, tags: {{kuma.io/service: many, kuma.io/protocol: http}}}}");
    format!(
        "type: Dataplane\nmesh: default\nname: dp-{i}\nnetworking:\n  address: 192.0.2.{i}\n  inbound:\n  - {inbound}\n"
    )
}

#[test]
fn status_and_metrics_are_on_a_port_where_that_is_wanted_and_requests_are_not() {
    let mesh = Mesh::start();
    let port = crate::kit::ports::socket(9902);
    let daemon = start_with(&mesh, |command| {
        command.env("MESHTRACED_CONTROL_LISTEN", port.to_string());
    });
    let url = |path: &str| format!("http://{port}{path}");
    assert_eq!(
        crate::kit::http::get(url("/status")).send().json()["proxies"]["published"],
        2
    );
    assert!(
        crate::kit::http::get(url("/metrics"))
            .send()
            .body
            .contains("meshtraced_proxies")
    );
    let answer = crate::kit::http::post(url("/request"), r#"{"do": "freeze", "why": null}"#).send();
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert!(daemon.status().expect("a status")["frozen"].is_null());
    assert_eq!(crate::kit::http::get(url("/nothing")).send().status, 404);
    assert_eq!(crate::kit::http::post(url("/status"), "").send().status, 405);
}

#[test]
fn bad_clients_hold_up_nobody() {
    let mesh = Mesh::start();
    let daemon = start(&mesh);
    let socket = daemon.socket.clone();
    let said = raw(&socket, b"\x00\x01\x02 nonsense\r\n\r\n");
    assert!(said.is_empty() || said.contains("400"), "{said}");
    let long = format!(
        "POST /request HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n{}",
        "x".repeat(1 << 20)
    );
    let said = raw(&socket, long.as_bytes());
    assert!(said.is_empty() || said.contains(" 400 "), "{said}");
    for body in ["", "{", "[]", r#"{"do": "explode"}"#, r#"{"do": "freeze", "now": 1}"#] {
        let request = format!(
            "POST /request HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let said = raw(&socket, request.as_bytes());
        assert!(
            said.contains(" 400 ") && said.contains("not a request"),
            "{body}: {said}"
        );
    }
    // As many as it serves at a time say nothing at all; it closes them in the end.
    let silent: Vec<UnixStream> = (0..40)
        .map(|_| UnixStream::connect(&socket).expect("it listens"))
        .collect();
    assert!(get(&socket, "/status").contains("\"published\": 2"));
    drop(silent);
    assert_eq!(daemon.end(), Some(0));
    assert!(!socket.exists(), "the socket goes with the daemon");
}

#[test]
fn others_may_look_and_not_ask() {
    let mesh = Mesh::start();
    let user = Unprivileged::new(Path::new(env!("CARGO_BIN_EXE_meshtraced")));
    let socket = user.dir().parent().expect("a directory").join("control.sock");
    let daemon = start_with(&mesh, |command| {
        command.env("MESHTRACED_CONTROL_SOCKET", &socket);
    });
    let command = |arguments: &[&str]| {
        let mut command = user.command();
        let output = command
            .env("MESHTRACED_CONTROL_SOCKET", &socket)
            .args(arguments)
            .output();
        let output = output.expect("the program starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (code, said) = command(&["status"]);
    assert_eq!((code, said.contains("2 proxies")), (Some(0), true), "{said}");
    let (code, said) = command(&["freeze"]);
    if rustix::process::geteuid().is_root() {
        assert_eq!(
            (code, said.contains("only root and the daemon's own user")),
            (Some(2), true),
            "{said}"
        );
    } else {
        assert_eq!(code, Some(0), "{said}");
    }
    drop(daemon);
}

#[test]
fn without_a_daemon_the_last_word_is_shown() {
    let mesh = Mesh::start();
    let (code, _, said) = ask(&mesh, &["status"]);
    assert_eq!((code, said.contains("no daemon answers")), (Some(2), true), "{said}");
    let daemon = start(&mesh);
    let pid = daemon.process.id();
    assert_eq!(daemon.end(), Some(0));
    let (code, text, _) = ask(&mesh, &["status"]);
    assert_eq!(code, Some(2));
    assert!(
        text.contains(&format!("no daemon runs; the last status of process {pid}")),
        "{text}"
    );
    assert!(text.contains("2 proxies: 2 not running"), "{text}");
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_taken_over() {
    let mesh = Mesh::start();
    let daemon = start(&mesh);
    let socket = daemon.socket.clone();
    drop(daemon);
    assert!(socket.exists(), "it was killed");
    let daemon = start(&mesh);
    assert_eq!(daemon.end(), Some(0));
}
