//! Claims about Envoy and the collectors that stand in the code, in `explain` and in the README, asked of two releases
//! of the real Envoy.

mod connections;
mod files;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::kit::app::App;
use crate::kit::collector::{Collector, DatadogAgent, Span};
use crate::kit::envoy::Envoy;
use crate::kit::http::get;
use crate::kit::mesh::{Backend, Mesh};
use crate::kit::process::Process;
use crate::kit::{ports, tools, wait};

/// A dataplane `vm-01` with the services `swagger` and `cadvisor`, and an outbound to `cadvisor` of another machine.
struct Vm {
    mesh: Mesh,
    inbounds: [SocketAddr; 2],
    outbound: SocketAddr,
    _apps: [App; 3],
}

impl Vm {
    /// A dataplane whose spans go to a backend of the mesh, `first`, by a TrafficTrace.
    fn start(backend: &Backend) -> Self {
        let mesh = Mesh::builder().backends(std::slice::from_ref(backend)).start();
        mesh.remove("web.yaml");
        mesh.remove("backend.yaml");
        let apps = ["swagger", "cadvisor", "remote"].map(|name| App::named(name).start());
        let inbounds = [ports::socket(9082), ports::socket(8181)];
        let outbound = ports::socket(10001);
        let inbound = |at: SocketAddr, app: &App, service: &str| {
            format!(
                "  - {{address: {}, port: {}, serviceAddress: {}, servicePort: {}, tags: {{kuma.io/service: {service}, kuma.io/protocol: http}}}}\n",
                at.ip(),
                at.port(),
                app.address().ip(),
                app.address().port(),
            )
        };
        let of_remote = apps[2].address();
        mesh.write(
            "vm.yaml",
            &format!(
                "type: Dataplane\nmesh: default\nname: vm-01\nnetworking:\n  address: 127.0.0.1\n  inbound:\n{}{}  outbound:\n  - {{address: {}, port: {}, tags: {{kuma.io/service: remote}}}}\n---\ntype: Dataplane\nmesh: default\nname: remote-01\nnetworking:\n  address: {}\n  inbound:\n  - {{port: {}, servicePort: 1, tags: {{kuma.io/service: remote, kuma.io/protocol: http}}}}\n",
                inbound(inbounds[0], &apps[0], "swagger"),
                inbound(inbounds[1], &apps[1], "cadvisor"),
                outbound.ip(),
                outbound.port(),
                of_remote.ip(),
                of_remote.port(),
            ),
        );
        Self {
            mesh,
            inbounds,
            outbound,
            _apps: apps,
        }
    }

    /// Sends the spans by a MeshTrace with this backend and these further fields of `default`.
    fn mesh_trace(&self, backend: &str, more: &str) {
        self.mesh.write(
            "mesh-trace.yaml",
            &format!(
                "type: MeshTrace\nmesh: default\nname: newer\nspec:\n  default:\n    backends:\n    - {backend}\n{more}"
            ),
        );
    }

    /// Publishes, warnings or not, and starts an Envoy of the release.
    #[track_caller]
    fn envoy(&self, release: &Path) -> Envoy {
        let (code, said) = self.mesh.run_once();
        assert_eq!(code, Some(0), "{said}");
        Envoy::start_release(release, &self.mesh.published("vm-01").join("bootstrap.yaml"))
    }

    fn diff(&self) -> String {
        let output = self.mesh.meshtraced(&["diff"]).output().expect("the program starts");
        String::from_utf8(output.stdout).expect("text")
    }

    fn explain(&self) -> Value {
        let output = self
            .mesh
            .meshtraced(&["explain", "default/vm-01", "-o", "json"])
            .output();
        serde_json::from_slice(&output.expect("the program starts").stdout).expect("JSON")
    }

    /// The service names that `explain` gives to the spans of all listeners.
    fn explained(&self) -> BTreeSet<String> {
        let listeners = self.explain()["listeners"].as_array().expect("a list").clone();
        let names = listeners.iter().filter_map(|listener| listener["reportsAs"].as_str());
        names.map(str::to_owned).collect()
    }

    fn ask_all(&self) {
        for at in self.inbounds.into_iter().chain([self.outbound]) {
            assert_eq!(get(format!("http://{at}/")).send().status, 200);
        }
    }
}

fn services(spans: &[Span]) -> BTreeSet<String> {
    spans.iter().map(|span| span.service.clone()).collect()
}

#[test]
fn spans_have_the_service_names_that_explain_gives() {
    for release in tools::releases() {
        for by_mesh_trace in [false, true] {
            let zipkin = Collector::start();
            let vm = Vm::start(&Backend::zipkin("first", zipkin.address()));
            if by_mesh_trace {
                let url = format!("http://{}/api/v2/spans", zipkin.address());
                vm.mesh_trace(&format!("{{type: Zipkin, zipkin: {{url: '{url}'}}}}"), "");
            }
            let _envoy = vm.envoy(release);
            vm.ask_all();
            let found = zipkin.wait_for(|spans| (spans.len() >= 3).then(|| services(spans)));
            assert_eq!(found, vm.explained(), "zipkin, {by_mesh_trace}, {}", release.display());
            assert_eq!(found, BTreeSet::from(["cadvisor".to_owned()]));

            let agent = DatadogAgent::start();
            let vm = Vm::start(&Backend::datadog("first", agent.address()));
            if by_mesh_trace {
                let url = format!("http://{}", agent.address());
                vm.mesh_trace(
                    &format!("{{type: Datadog, datadog: {{url: '{url}', splitService: true}}}}"),
                    "",
                );
            }
            let _envoy = vm.envoy(release);
            vm.ask_all();
            let explained = vm.explained();
            let found = agent.wait_for(|spans| (spans.len() >= 3).then(|| services(spans)));
            assert_eq!(found, explained, "datadog, {by_mesh_trace}, {}", release.display());
        }
        let collector = Collector::start();
        let vm = Vm::start(&Backend::nowhere(1));
        let endpoint = collector.address();
        vm.mesh_trace(
            &format!("{{type: OpenTelemetry, openTelemetry: {{endpoint: '{endpoint}'}}}}"),
            "",
        );
        let _envoy = vm.envoy(release);
        vm.ask_all();
        let found = collector.wait_for(|spans| (spans.len() >= 3).then(|| services(spans)));
        assert_eq!(found, vm.explained(), "opentelemetry, {}", release.display());
    }
}

#[test]
fn collectors_are_asked_at_the_host_and_path_of_their_url() {
    for release in tools::releases() {
        let collector = Collector::start();
        let address = collector.address();
        let report = || {
            wait::until("a report", || {
                let reports = collector.reports();
                reports.last().cloned().ok_or_else(|| "nothing".to_owned())
            })
        };
        let vm = Vm::start(&Backend::nowhere(1));
        let mesh = |fidelity_of: &str, conf: &str| {
            let text = format!("type: Mesh\nname: default\ntracing:\n  backends:\n  - {{name: first, {conf}}}\n");
            vm.mesh.write("mesh.yaml", &text);
            vm.mesh.write("route.yaml", fidelity_of);
        };
        // Documented: the query is sent, and the host is that of the URL.
        mesh(
            "",
            &format!("type: zipkin, conf: {{url: 'http://{address}/trace/v1?Api-Key=X&Data-Format=zipkin'}}"),
        );
        let envoy = vm.envoy(release);
        vm.ask_all();
        let asked = report();
        assert_eq!(
            (asked.path.as_str(), asked.host.as_str()),
            ("/trace/v1?Api-Key=X&Data-Format=zipkin", address.to_string().as_str())
        );
        drop(envoy);

        // Datadog's agent by its address; `exact` leaves the host to Envoy, which takes the name of the cluster.
        let datadog = format!(
            "type: datadog, conf: {{address: {}, port: {}}}",
            address.ip(),
            address.port()
        );
        for (fidelity, host) in [
            ("documented", address.to_string()),
            ("exact", "tracing:first".to_owned()),
        ] {
            mesh("", &datadog);
            let settings = vm.mesh.dir().join("settings.yaml");
            std::fs::write(&settings, format!("kuma: {{fidelity: {fidelity}}}\n")).expect("a file");
            let mut run = vm.mesh.meshtraced(&["run", "--once", "--config", "settings.yaml"]);
            let output = run.output().expect("the program starts");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let envoy = Envoy::start_release(release, &vm.mesh.published("vm-01").join("bootstrap.yaml"));
            assert_eq!(get(format!("http://{}/", vm.inbounds[0])).send().status, 200);
            wait::until("a report of traces", || {
                let reports = collector.reports();
                let found = reports
                    .iter()
                    .any(|asked| asked.path == "/v0.4/traces" && asked.host == host);
                found.then_some(()).ok_or_else(|| format!("{fidelity}: {reports:?}"))
            });
            drop(envoy);
        }
    }
}

#[test]
fn defaults_are_those_that_explain_gives() {
    for release in tools::releases() {
        let zipkin = Collector::start();
        let vm = Vm::start(&Backend::nowhere(1));
        let url = format!("http://{}/api/v2/spans", zipkin.address());
        vm.mesh.write(
            "mesh.yaml",
            &format!("type: Mesh\nname: default\ntracing:\n  backends:\n  - {{name: first, type: zipkin, conf: {{url: '{url}'}}}}\n"),
        );
        let explained = vm.explain();
        let value = |name: &str| {
            let values = explained["values"].as_array().expect("a list");
            let found = values.iter().find(|value| value["name"] == name).expect("a value");
            (
                found["value"].as_str().expect("text").to_owned(),
                found["from"] == "default",
            )
        };
        assert_eq!(value("sampling"), ("100 %".to_owned(), true));
        assert_eq!(value("traceId128bit"), ("false".to_owned(), true));
        assert_eq!(value("sharedSpanContext"), ("true".to_owned(), true));
        let _envoy = vm.envoy(release);
        for _ in 0..20 {
            let request = get(format!("http://{}/", vm.inbounds[0]));
            let request = request
                .header("x-b3-traceid", "463ac35c9f6413ad")
                .header("x-b3-spanid", "0020000000000001");
            assert_eq!(request.header("x-b3-sampled", "1").send().status, 200);
            assert_eq!(get(format!("http://{}/", vm.inbounds[1])).send().status, 200);
        }
        let spans = zipkin.wait_for(|spans| (spans.len() >= 40).then(|| spans.to_vec()));
        let (continued, own): (Vec<_>, Vec<_>) = spans.iter().partition(|span| span.trace_id == "463ac35c9f6413ad");
        // All of 20 requests are traced, with ids of 64 bits, and a span is shared with its caller.
        assert!(
            own.len() == 20 && own.iter().all(|span| span.trace_id.len() == 16),
            "{own:?}"
        );
        assert!(
            continued
                .iter()
                .all(|span| span.shared && span.id == "0020000000000001"),
            "{continued:?}"
        );
    }
}

/// A request with headers of tracing.
fn ask(at: SocketAddr, headers: &[(&str, &str)]) {
    let request = headers
        .iter()
        .fold(get(format!("http://{at}/")), |request, (name, value)| {
            request.header(name, value)
        });
    assert_eq!(request.send().status, 200);
}

/// The headers of a caller that decided to sample, for Zipkin and OpenTelemetry, and the ids of its trace.
const SAMPLED: [(&str, &str); 4] = [
    ("x-b3-traceid", "463ac35c9f6413ad48485a3953bb6124"),
    ("x-b3-spanid", "0020000000000001"),
    ("x-b3-sampled", "1"),
    ("traceparent", "00-463ac35c9f6413ad48485a3953bb6126-0020000000000001-01"),
];

/// The header with which a client asks for tracing.
const ASKED: (&str, &str) = ("x-client-trace-id", "mine");

/// A backend of a MeshTrace for a provider.
fn backend_of(provider: &str, collector: SocketAddr) -> String {
    match provider {
        "zipkin" => format!("{{type: Zipkin, zipkin: {{url: 'http://{collector}/api/v2/spans'}}}}"),
        "datadog" => format!("{{type: Datadog, datadog: {{url: 'http://{collector}'}}}}"),
        _ => format!("{{type: OpenTelemetry, openTelemetry: {{endpoint: '{collector}'}}}}"),
    }
}

/// The number of requests that Envoy's listeners counted as not to be traced.
fn not_traceable(envoy: &Envoy) -> u64 {
    let counted = envoy.admin("/stats?filter=tracing.not_traceable");
    counted
        .lines()
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

#[test]
fn sampling_zero_does_to_each_provider_what_is_said() {
    for release in tools::releases() {
        // With a share of 0, and a request that is traced nevertheless: the spans of no other request are there before.
        for (provider, share, traced) in [
            ("zipkin", "overall", &SAMPLED[..]),
            ("zipkin", "random", &SAMPLED),
            ("zipkin", "random", &[ASKED]),
            ("opentelemetry", "random", &[ASKED]),
        ] {
            let collector = Collector::start();
            let vm = Vm::start(&Backend::nowhere(1));
            let sampling = format!("    sampling: {{{share}: 0}}\n");
            vm.mesh_trace(&backend_of(provider, collector.address()), &sampling);
            let _envoy = vm.envoy(release);
            vm.ask_all();
            ask(vm.inbounds[0], traced);
            let spans = collector.wait_for(|spans| (!spans.is_empty()).then(|| spans.to_vec()));
            assert_eq!(spans.len(), 1, "{provider}, {share}, {}: {spans:?}", release.display());
            let continues = spans[0].trace_id == SAMPLED[0].1;
            assert_eq!(continues, traced.len() > 1, "{provider}, {share}: {spans:?}");
        }
        for share in ["overall", "random"] {
            let agent = DatadogAgent::start();
            let vm = Vm::start(&Backend::nowhere(1));
            vm.mesh_trace(
                &backend_of("datadog", agent.address()),
                &format!("    sampling: {{{share}: 0}}\n"),
            );
            let _envoy = vm.envoy(release);
            vm.ask_all();
            agent.wait_for(|spans| (spans.len() >= 3).then_some(()));
        }
        let vm = Vm::start(&Backend::nowhere(1));
        let nobody = ports::socket(19_411);
        vm.mesh_trace(&backend_of("zipkin", nobody), "    sampling: {client: 0, random: 0}\n");
        let envoy = vm.envoy(release);
        ask(vm.inbounds[0], &[ASKED]);
        assert_eq!(not_traceable(&envoy), 1, "client, {}", release.display());
        drop(envoy);
        // With OpenTelemetry, the decision of a caller brings a span only before Envoy 1.39. Behind it, a request that asks for tracing.
        let is_older = release == tools::older_envoy();
        for (share, expected) in [("overall", u64::from(is_older)), ("random", 1 + u64::from(is_older))] {
            let collector = Collector::start();
            let vm = Vm::start(&Backend::nowhere(1));
            vm.mesh_trace(
                &backend_of("opentelemetry", collector.address()),
                &format!("    sampling: {{{share}: 0}}\n"),
            );
            let envoy = vm.envoy(release);
            ask(vm.inbounds[0], &SAMPLED);
            ask(vm.inbounds[0], &[ASKED]);
            let untraced = if share == "overall" { 2 } else { 1 };
            assert_eq!(not_traceable(&envoy), untraced, "{share}, {}", release.display());
            if expected > 0 {
                let spans = collector.wait_for(|spans| (!spans.is_empty()).then(|| spans.to_vec()));
                assert_eq!(
                    spans.len() as u64,
                    expected,
                    "{share}, {}: {spans:?}",
                    release.display()
                );
            }
        }
    }
}

#[test]
fn connections_drain_for_ten_minutes_by_default() {
    for release in tools::releases() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let socket = dir.path().join("admin.sock");
        let admin = json!({"admin": {"address": {"pipe": {"path": socket}}}});
        let mut command = Command::new(release);
        command
            .arg("--config-yaml")
            .arg(admin.to_string())
            .arg("--disable-hot-restart");
        let _envoy = Process::spawn(command, dir.path().join("envoy.log"));
        let said = wait::until("Envoy's admin answers", || {
            get("http://envoy/server_info").try_send_through(&socket)
        });
        assert_eq!(
            said.json()["command_line_options"]["drain_time"],
            "600s",
            "{}",
            release.display()
        );
    }
}
