//! `sampling: hitless`: the sampling of a running Envoy changes, and no connection is closed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::kit::envoy::Envoy;
use crate::kit::http::Call;
use crate::kit::mesh::Mesh;
use crate::kit::wait::DEADLINE;

/// The number of changes, and of connections that are open during all of them.
const CHANGES: usize = 50;
const CONNECTIONS: usize = 200;

/// A connection that is kept alive.
struct KeptAlive(BufReader<TcpStream>);

impl KeptAlive {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("a limit");
        let mut connection = Self(BufReader::new(stream));
        connection.ask();
        connection
    }

    /// Sends a request, whose answer must not end the connection.
    #[track_caller]
    fn ask(&mut self) {
        self.0
            .get_mut()
            .write_all(b"GET /x HTTP/1.1\r\nhost: web\r\n\r\n")
            .expect("it is open");
        let mut length = 0;
        let mut head = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).expect("an answer"), 0, "it was closed");
            if let Some((name, value)) = line.trim_end().split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
            head += &line.to_lowercase();
        }
        assert!(
            head.starts_with("http/1.1 200") && !head.contains("connection: close"),
            "{head}"
        );
        self.0.read_exact(&mut vec![0; length]).expect("the whole answer");
    }
}

/// Sets the sampling of the only backend, in percent.
fn sample(mesh: &Mesh, percent: &str) {
    let text = mesh.read("mesh.yaml");
    let (before, after) = text.split_once("sampling: ").expect("a sampling");
    let after = after.split_once(',').expect("more").1;
    mesh.write("mesh.yaml", &format!("{before}sampling: {percent},{after}"));
}

/// The value of a key of the runtime, as Envoy says it.
fn runtime(envoy: &Envoy, key: &str) -> Option<String> {
    let runtime: Value = serde_json::from_str(&envoy.admin("/runtime")).expect("JSON");
    runtime["entries"][key]["final_value"].as_str().map(str::to_owned)
}

fn file(mesh: &Mesh, name: &str) -> String {
    fs::read_to_string(mesh.published("web-01").join(name)).unwrap_or_default()
}

#[test]
fn fifty_changes_close_no_connection_and_no_stream() {
    let mesh = Mesh::builder().protocol("grpc").start();
    mesh.settings(&json!({"sampling": "hitless"}));
    assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
    let envoys = mesh.envoys();
    let mut connections: Vec<KeptAlive> = (0..CONNECTIONS).map(|_| KeptAlive::open(mesh.web)).collect();
    let backend: Value = serde_yaml::from_str(&mesh.read("backend.yaml")).expect("a dataplane");
    let port = backend["networking"]["inbound"][0]["port"].as_u64().expect("a port");
    let backend = format!(
        "{}:{port}",
        backend["networking"]["address"].as_str().expect("an address")
    );
    let call = Call::begin(backend.parse().expect("an address"), "/shop.Stock/Watch");
    let lds = file(&mesh, "xds/lds.yaml");

    for change in 0..CHANGES {
        sample(&mesh, &format!("{}.5", 2 * change));
        assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
        call.send("more");
        assert!(call.is_open(), "the stream ended at change {change}");
        let some = connections.iter_mut().skip(change).step_by(CHANGES);
        some.for_each(KeptAlive::ask);
    }

    connections.iter_mut().for_each(KeptAlive::ask);
    let answer = call.end().expect("the stream goes on to its end");
    assert_eq!(answer.trailers["grpc-status"], "0");
    assert_eq!(answer.body.matches("more").count(), CHANGES);
    assert_eq!(file(&mesh, "xds/lds.yaml"), lds);
    for envoy in envoys {
        let version = file(&mesh, "xds/rtds.yaml").lines().next().map(str::to_owned);
        assert_eq!(
            version,
            envoy
                .stat_text("runtime.version_text")
                .map(|version| format!("version_info: {version}"))
        );
        assert_eq!(envoy.stat("listener_manager.listener_in_place_updated"), Some(0));
        assert_eq!(envoy.stat("listener_manager.listener_modified"), Some(0));
        assert!(runtime(&envoy, "tracing.global_enabled").is_some_and(|value| value.contains("985000")));
    }
}

#[test]
fn an_envoy_samples_as_the_policies_say_on_the_way_there_and_back() {
    let mesh = Mesh::start();
    sample(&mesh, "7");
    mesh.settings(&json!({}));
    assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
    let bootstrap = mesh.published("web-01").join("bootstrap.yaml");
    let mut envoy = Some(Envoy::start(&bootstrap));
    let sampled = file(&mesh, "xds/lds.yaml");
    assert!(sampled.contains("overall_sampling"));

    // It has no runtime for the sampling, so its listeners must keep theirs.
    mesh.settings(&json!({"sampling": "hitless", "envoy": {"confirm_timeout": "1s"}}));
    let (code, said) = mesh.run_with_settings();
    assert!(
        code == Some(2) && said.contains("once it has started again"),
        "{code:?} {said}"
    );
    assert_eq!(file(&mesh, "xds/lds.yaml"), sampled);
    envoy.take();
    envoy.replace(Envoy::start(&bootstrap));
    let running = envoy.as_ref().expect("an Envoy");
    assert_eq!(runtime(running, "tracing.global_enabled").as_deref(), Some("7"));
    assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
    assert!(!file(&mesh, "xds/lds.yaml").contains("overall_sampling"));
    sample(&mesh, "8");
    assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
    assert_eq!(runtime(running, "tracing.global_enabled").as_deref(), Some("8"));

    // Back: the listeners have their sampling again, and the runtime does not overrule it.
    mesh.settings(&json!({}));
    assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
    assert!(file(&mesh, "xds/lds.yaml").contains("value: 8"));
    assert_eq!(runtime(running, "tracing.global_enabled"), None);
    assert_eq!(file(&mesh, "xds/rtds.yaml"), "");
    envoy.take();
    envoy.replace(Envoy::start(&bootstrap));
}
