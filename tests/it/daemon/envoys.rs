//! The daemon beside real Envoys that start, stop, hang and refuse.

use std::fs;
use std::net::TcpListener;

use rustix::process::{Pid, Signal, kill_process};

use super::{ask, start, start_with};
use crate::kit::envoy::Envoy;
use crate::kit::mesh::{Backend, Mesh};

fn signal(envoy: &Envoy, signal: Signal) {
    let pid = i32::try_from(envoy.id())
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process id");
    kill_process(pid, signal).expect("our own child");
}

/// The counters of Envoy that must stay at 0.
fn refusals(envoy: &Envoy) -> u64 {
    ["cluster_manager.cds", "listener_manager.lds"]
        .iter()
        .flat_map(|prefix| [format!("{prefix}.update_rejected"), format!("{prefix}.update_failure")])
        .map(|stat| envoy.stat(&stat).expect("a counter"))
        .sum()
}

#[test]
fn envoys_that_come_and_go_are_counted() {
    let mesh = Mesh::start();
    let daemon = start_with(&mesh, |command| {
        command.env("MESHTRACED_RESCAN", "200ms");
    });
    daemon.until("none runs", |status| status["proxies"]["not_running"] == 2);
    let [web, back] = mesh.envoys();
    daemon.until("both run", |status| status["proxies"]["active"] == 2);
    drop(back);
    daemon.until("one runs", |status| {
        status["proxies"]["active"] == 1 && status["proxies"]["not_running"] == 1
    });
    let (code, text, _) = ask(&mesh, &["status"]);
    assert_eq!(code, Some(0), "that an Envoy does not run is nobody's mistake: {text}");
    assert!(text.contains("2 proxies: 1 active, 1 not running"), "{text}");
    drop(web);
}

#[test]
fn an_envoy_that_hangs_is_told_of_and_gets_everything_when_it_goes_on() {
    let mesh = Mesh::start();
    let daemon = start(&mesh);
    let [web, back] = mesh.envoys();
    // Its main thread handles what lies there in no certain order when it goes on: each time is a chance to refuse.
    for host in 2..10 {
        signal(&web, Signal::STOP);
        mesh.send_to(&[Backend::nowhere(host)]);
        daemon.until("the other one has it", |status| {
            let trouble = &status["troubles"][0];
            trouble["dataplane"] == "web-01" && trouble["state"] == "unreachable" && status["proxies"]["active"] == 1
        });
        let text = fs::read_to_string(mesh.published("backend-01").join("xds/cds.yaml")).expect("published");
        assert!(text.contains(&format!("127.0.0.{host}")));
        signal(&web, Signal::CONT);
        daemon.until("it has it too", |status| {
            status["proxies"]["active"] == 2
                && status["revisions"]["confirmed"]["content"] == status["revisions"]["seen"]["content"]
        });
        assert!(web.admin("/clusters").contains(&format!("127.0.0.{host}:9411")));
    }
    assert_eq!((refusals(&web), refusals(&back)), (0, 0));
}

#[test]
fn a_refusal_is_told_until_the_input_changes() {
    let mesh = Mesh::start();
    let daemon = start(&mesh);
    let [web, _back] = mesh.envoys();
    let taken = TcpListener::bind((mesh.web.ip(), 8181)).expect("a free port");
    let good = mesh.read("web.yaml");
    // One listener of the file is good, the other is not.
    let second = "  inbound:\n  - port: 8181\n    servicePort: 18080\n    tags: {kuma.io/service: web, kuma.io/protocol: http}\n";
    mesh.write("web.yaml", &good.replace("  inbound:\n", second));
    let status = daemon.until("it is refused", |status| status["proxies"]["rejected"] == 1);
    let why = status["troubles"][0]["why"].as_str().expect("a reason");
    assert!(why.contains("Address already in use"), "{why}");
    daemon.until_said("not published: 1 proxy failed");
    let rejected = web.stat("listener_manager.lds.update_rejected");
    // Other turns do not try it again, and it is not forgotten.
    daemon.signal(Signal::HUP);
    daemon.until("a reconciliation later", |status| status["proxies"]["rejected"] == 1);
    assert_eq!(web.stat("listener_manager.lds.update_rejected"), rejected);
    let (code, text, _) = ask(&mesh, &["status"]);
    assert_eq!(
        (code, text.contains("rejected  default/web-01: Envoy says")),
        (Some(1), true),
        "{text}"
    );
    drop(taken);
    mesh.write("web.yaml", &good);
    daemon.until("all is well", |status| {
        status["proxies"]["active"] == 2 && status["troubles"].as_array().is_some_and(Vec::is_empty)
    });
}

#[test]
fn an_envoy_that_starts_anew_in_the_middle_ends_with_the_new_files() {
    let mesh = Mesh::start();
    let daemon = start_with(&mesh, |command| {
        command.env("MESHTRACED_RESCAN", "500ms");
    });
    let [mut web, _back] = mesh.envoys();
    for host in 2..8 {
        let before = daemon.status().expect("a status")["revisions"]["confirmed"]["content"].clone();
        mesh.send_to(&[Backend::nowhere(host)]);
        drop(web);
        web = Envoy::start(&mesh.published("web-01").join("bootstrap.yaml"));
        daemon.until("both have it", |status| {
            status["proxies"]["active"] == 2 && status["revisions"]["confirmed"]["content"] != before
        });
        assert!(
            web.admin("/clusters").contains(&format!("127.0.0.{host}:9411")),
            "{host}"
        );
        assert_eq!(refusals(&web), 0);
    }
}
