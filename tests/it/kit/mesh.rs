//! A small running mesh: policies, published files, applications and Envoys.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::app::App;
use crate::kit::envoy::Envoy;
use crate::kit::ports;
use crate::kit::process::Process;
use crate::kit::program::said;
use crate::kit::tools;

/// A backend of `tracing` on the mesh.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    name: String,
    /// `type` and `conf`, in YAML.
    conf: String,
}

impl Backend {
    pub(crate) fn zipkin(name: &str, collector: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            conf: format!("type: zipkin, conf: {{url: 'http://{collector}/api/v2/spans', traceId128bit: true}}"),
        }
    }

    /// The backend `first`, a Zipkin collector at 127.0.0.`host` that does not run.
    pub(crate) fn nowhere(host: u8) -> Self {
        Self::zipkin("first", ([127, 0, 0, host], 9411).into())
    }

    /// A Datadog agent, with a service name for each direction and destination.
    pub(crate) fn datadog(name: &str, agent: SocketAddr) -> Self {
        let (address, port) = (agent.ip(), agent.port());
        Self {
            name: name.to_owned(),
            conf: format!("type: datadog, conf: {{address: {address}, port: {port}, splitService: true}}"),
        }
    }

    /// The document of the mesh `default` with these backends.
    pub(crate) fn mesh(backends: &[Self]) -> String {
        let entries = backends
            .iter()
            .map(|Self { name, conf }| format!("  - {{name: {name}, sampling: 100, {conf}}}\n"));
        format!(
            "type: Mesh\nname: default\ntracing:\n  backends:\n{}",
            entries.collect::<String>()
        )
    }
}

/// The options of a scenario: `web` calls `backend`, each behind its proxy, in the mesh `default`.
pub(crate) struct MeshBuilder {
    backends: Vec<Backend>,
    protocol: &'static str,
}

impl MeshBuilder {
    /// The backends of the mesh. All spans go to the first one.
    pub(crate) fn backends(mut self, backends: &[Backend]) -> Self {
        self.backends = backends.to_vec();
        self
    }

    /// Sets the protocol of the service `backend`.
    pub(crate) fn protocol(mut self, protocol: &'static str) -> Self {
        self.protocol = protocol;
        self
    }

    /// Starts the applications, and writes the policies; nothing is published yet.
    pub(crate) fn start(self) -> Mesh {
        let [web, out, backend] = [ports::socket(8080), ports::socket(10001), ports::socket(8080)];
        let apps = [
            App::named("web")
                .calls(format!("http://{out}/stock"))
                .on(at_port(web, 18080))
                .start(),
            App::named("backend").on(at_port(backend, 18080)).start(),
        ];
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mesh = Mesh { dir, web, _apps: apps };
        mesh.send_to(&self.backends);
        mesh.trace_all(&self.backends[0].name);
        let outbound = format!(
            "  outbound:\n  - address: {}\n    port: {}\n    tags: {{kuma.io/service: backend}}\n",
            out.ip(),
            out.port(),
        );
        mesh.write("web.yaml", &(dataplane("web", web, "http") + &outbound));
        mesh.write("backend.yaml", &dataplane("backend", backend, self.protocol));
        mesh
    }
}

/// The dataplane of a service, with an inbound at the given address.
fn dataplane(service: &str, at: SocketAddr, protocol: &str) -> String {
    format!(
        "type: Dataplane\nmesh: default\nname: {service}-01\nnetworking:\n  address: {}\n  inbound:\n  - port: {}\n    servicePort: 18080\n    tags: {{kuma.io/service: {service}, kuma.io/protocol: {protocol}}}\n",
        at.ip(),
        at.port(),
    )
}

/// A scenario: `web` calls `backend`, each behind its proxy, in the mesh `default`.
pub(crate) struct Mesh {
    dir: TempDir,
    /// The address of the inbound of `web`.
    pub(crate) web: SocketAddr,
    _apps: [App; 2],
}

impl Mesh {
    /// A scenario in which no collector runs and `backend` speaks HTTP.
    pub(crate) fn builder() -> MeshBuilder {
        MeshBuilder {
            backends: vec![Backend::nowhere(1)],
            protocol: "http",
        }
    }

    /// The scenario with the default options.
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// The scenario, whose spans go to a collector in a form, published with the settings: `Zipkin`, `Datadog`, `OTLP over gRPC` or
    /// `OTLP over HTTP`.
    #[track_caller]
    pub(crate) fn sending(form: &str, to: SocketAddr, settings: &Value) -> Self {
        let mesh = Self::start();
        let backend = match form {
            "Zipkin" => json!({"type": "Zipkin", "zipkin": {"url": format!("http://{to}/api/v2/spans")}}),
            "Datadog" => json!({"type": "Datadog", "datadog": {"url": format!("http://{to}")}}),
            "OTLP over gRPC" => json!({"type": "OpenTelemetry", "openTelemetry": {"endpoint": to.to_string()}}),
            "OTLP over HTTP" => {
                let backend = json!({"type": "MeshOpenTelemetryBackend", "mesh": "default", "name": "otel", "spec": {
                    "protocol": "http", "endpoint": {"address": to.ip(), "port": to.port()},
                }});
                mesh.write("otel.yaml", &backend.to_string());
                let reference = json!({"kind": "MeshOpenTelemetryBackend", "labels": {"kuma.io/display-name": "otel"}});
                json!({"type": "OpenTelemetry", "openTelemetry": {"backendRef": reference}})
            }
            other => panic!("{other}"),
        };
        let policy = json!({"type": "MeshTrace", "mesh": "default", "name": "all", "spec": {
            "targetRef": {"kind": "Mesh"}, "default": {"backends": [backend]},
        }});
        mesh.remove("trace-all.yaml");
        mesh.write("all.yaml", &policy.to_string());
        mesh.settings(settings);
        assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
        mesh
    }

    /// Declares the mesh with these backends.
    pub(crate) fn send_to(&self, backends: &[Backend]) {
        self.write("mesh.yaml", &Backend::mesh(backends));
    }

    /// Sends all spans to the given backend from now on.
    pub(crate) fn trace_all(&self, backend: &str) {
        let text = format!(
            "type: TrafficTrace\nmesh: default\nname: trace-all\nselectors:\n- match: {{kuma.io/service: '*'}}\nconf: {{backend: {backend}}}\n"
        );
        self.write("trace-all.yaml", &text);
    }

    /// Replaces a file of the policies, as an editor does.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let policies = self.dir.path().join("policies");
        fs::create_dir_all(&policies).expect("a directory");
        let new = policies.join(format!(".{name}.new"));
        fs::write(&new, text).expect("a file");
        fs::rename(&new, policies.join(name)).expect("a file with its name");
    }

    /// Removes a file of the policies.
    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.dir.path().join("policies").join(name)).expect("a file of the policies");
    }

    /// The text of a file of the policies.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join("policies").join(name)).expect("a file of the policies")
    }

    /// `meshtraced` with the directories of this mesh.
    pub(crate) fn meshtraced(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
        command.current_dir(self.dir.path()).args(arguments);
        command
    }

    /// Publishes once, and returns the exit code and standard error.
    #[track_caller]
    pub(crate) fn run_once(&self) -> (Option<i32>, String) {
        let mut command = self.meshtraced(&["run", "--once"]);
        // An Envoy that answers needs less time.
        let output = command.env("MESHTRACED_ENVOY_CONFIRM_TIMEOUT", "2s").output();
        said(&output.expect("the program starts"))
    }

    /// Writes the settings that [`Self::run_with_settings`] publishes with.
    pub(crate) fn settings(&self, settings: &Value) {
        fs::write(self.dir.path().join("settings.yaml"), settings.to_string()).expect("settings");
    }

    /// Publishes once with the settings, and returns the exit code and standard error.
    #[track_caller]
    pub(crate) fn run_with_settings(&self) -> (Option<i32>, String) {
        let output = self
            .meshtraced(&["run", "--once", "--config", "settings.yaml"])
            .output();
        said(&output.expect("the program starts"))
    }

    /// Publishes once, without errors.
    #[track_caller]
    pub(crate) fn publish(&self) {
        assert_eq!(self.run_once(), (Some(0), String::new()));
    }

    /// Starts the daemon.
    pub(crate) fn daemon(&self) -> Process {
        Process::spawn(self.meshtraced(&["run", "-v"]), self.dir.path().join("daemon.log"))
    }

    /// The directory of `policies` and `envoy`.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The directory with the published files of a proxy.
    pub(crate) fn published(&self, dataplane: &str) -> PathBuf {
        self.dir.path().join("envoy/default").join(dataplane)
    }

    /// Starts the Envoys of `web` and `backend` from their published files.
    #[track_caller]
    pub(crate) fn envoys(&self) -> [Envoy; 2] {
        self.envoys_of(tools::envoy())
    }

    /// As [`Self::envoys`], with the given release.
    #[track_caller]
    pub(crate) fn envoys_of(&self, release: &Path) -> [Envoy; 2] {
        let bootstrap = |dataplane: &str| self.published(dataplane).join("bootstrap.yaml");
        ["web-01", "backend-01"].map(|dataplane| Envoy::start_release(release, &bootstrap(dataplane)))
    }
}

fn at_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// All files with the given name below a directory, sorted.
pub(crate) fn find(root: &Path, name: &str) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok);
    entries
        .map(walkdir::DirEntry::into_path)
        .filter(|path| path.ends_with(name))
        .collect()
}

/// The published files and their texts.
pub(crate) fn published_files(root: &Path) -> Vec<(PathBuf, String)> {
    let entries = walkdir::WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok);
    let files = entries.filter(|entry| {
        entry.file_type().is_file() && !entry.path().components().any(|c| c.as_os_str() == ".meshtraced")
    });
    files
        .map(|entry| {
            let path = entry.path().strip_prefix(root).expect("below the root").to_owned();
            (path, fs::read_to_string(entry.path()).expect("text"))
        })
        .collect()
}
