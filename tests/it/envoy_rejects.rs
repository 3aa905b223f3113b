//! Envoys that reject files, and Envoys that do not answer.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::envoy::Envoy;
use crate::kit::http::get;
use crate::kit::mesh::{Backend, Mesh};
use crate::kit::wait;

fn lds_version(envoy: &Envoy) -> String {
    envoy.stat_text("listener_manager.lds.version_text").unwrap_or_default()
}

#[test]
fn what_envoy_refuses_is_taken_back_and_not_tried_again() {
    let mesh = Mesh::start();
    mesh.publish();
    let [web, _backend] = mesh.envoys();
    let lds = mesh.published("web-01").join("xds/lds.yaml");
    let before = fs::read_to_string(&lds).expect("published");
    // Somebody sits on the port of a second inbound.
    let taken = TcpListener::bind((mesh.web.ip(), 8181)).expect("a free port");
    let good = mesh.read("web.yaml");
    let second = "  inbound:\n  - port: 8181\n    servicePort: 18080\n    tags: {kuma.io/service: web, kuma.io/protocol: http}\n";
    mesh.write("web.yaml", &good.replace("  inbound:\n", second));

    let (code, said) = mesh.run_once();
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("default/web-01: Envoy says") && said.contains("Address already in use"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&lds).expect("still there"), before);
    assert_eq!(get(format!("http://{}/", mesh.web)).send().status, 200);
    let refused = web.stat("listener_manager.lds.update_rejected");
    let inode = fs::metadata(&lds).expect("still there").ino();

    // The same bytes are not tried again, and it is said again.
    let (code, said) = mesh.run_once();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("Address already in use"), "{said}");
    assert_eq!(
        (
            web.stat("listener_manager.lds.update_rejected"),
            fs::metadata(&lds).expect("there").ino()
        ),
        (refused, inode)
    );

    // But when somebody asks for it, which the message says how to do.
    assert!(said.contains("`meshtraced heal`"), "{said}");
    let heal = || {
        let output = mesh.meshtraced(&["heal"]).output().expect("the program starts");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = heal();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("1 Envoy rejected the same files again"), "{said}");
    drop(taken);
    let (code, said) = heal();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("retried what 1 Envoy rejected before\n"), "{said}");
    assert_eq!(get(format!("http://{}:8181/", mesh.web.ip())).send().status, 200);

    // Another inbound instead.
    mesh.write(
        "web.yaml",
        &good.replace("  inbound:\n", &second.replace("8181", "8282")),
    );
    let (code, said) = mesh.run_once();
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(get(format!("http://{}:8282/", mesh.web.ip())).send().status, 200);
}

#[test]
fn a_stopped_envoy_gets_nothing_that_it_would_refuse_when_it_wakes() {
    let mesh = Mesh::start();
    mesh.publish();
    let [web, _backend] = mesh.envoys();
    let before = lds_version(&web);
    let pid = Pid::from_raw(i32::try_from(web.id()).expect("a process id")).expect("not zero");
    kill_process(pid, Signal::STOP).expect("our own child");
    mesh.send_to(&[Backend::zipkin("second", ([127, 0, 0, 1], 9412).into())]);
    mesh.trace_all("second");
    let (code, said) = mesh.run_once();
    kill_process(pid, Signal::CONT).expect("our own child");
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("default/web-01") && said.contains("the next run retries"),
        "{said}"
    );
    let (code, said) = mesh.run_once();
    assert_eq!((code, said.as_str()), (Some(0), ""));
    wait::until("Envoy takes the new listeners", || {
        let version = lds_version(&web);
        (version != before).then_some(()).ok_or(version)
    });
    for stat in [
        "listener_manager.lds.update_rejected",
        "cluster_manager.cds.update_rejected",
    ] {
        assert_eq!(web.stat(stat), Some(0), "{stat}");
    }
    let diff = mesh.meshtraced(&["diff"]).output().expect("the program starts");
    assert_eq!(diff.status.code(), Some(0), "{}", String::from_utf8_lossy(&diff.stdout));
}
