//! A small mesh that runs for real: policies, the published files, applications and Envoys.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::kit::app::App;
use crate::kit::envoy::Envoy;
use crate::kit::ports;
use crate::kit::process::Process;

/// `web` calls `backend`, each behind its proxy, in the mesh `default`.
pub(crate) struct Mesh {
    dir: TempDir,
    /// Where requests to `web` come in.
    pub(crate) web: SocketAddr,
    _apps: [App; 2],
}

impl Mesh {
    /// Policies that send all spans to the backend in `backends`, which is a list in YAML; nothing runs yet but the
    /// applications. `backend` speaks `protocol`.
    pub(crate) fn new(backends: &str, protocol: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let [web, out, backend] = [ports::socket(8080), ports::socket(10001), ports::socket(8080)];
        let apps = [
            App::named("web")
                .calls(format!("http://{out}/stock"))
                .on(at_port(web, 18080))
                .start(),
            App::named("backend").on(at_port(backend, 18080)).start(),
        ];
        let mesh = Self { dir, web, _apps: apps };
        mesh.send_to(backends);
        mesh.trace_all("first");
        let inbound = |at: SocketAddr, service: &str, protocol: &str| {
            format!(
                "type: Dataplane\nmesh: default\nname: {service}-01\nnetworking:\n  address: {}\n  inbound:\n  - port: {}\n    servicePort: 18080\n    tags: {{kuma.io/service: {service}, kuma.io/protocol: {protocol}}}\n",
                at.ip(),
                at.port(),
            )
        };
        let outbound = format!(
            "  outbound:\n  - address: {}\n    port: {}\n    tags: {{kuma.io/service: backend}}\n",
            out.ip(),
            out.port(),
        );
        mesh.write("web.yaml", &(inbound(web, "web", "http") + &outbound));
        mesh.write("backend.yaml", &inbound(backend, "backend", protocol));
        mesh
    }

    /// Declares the mesh with these backends, a list in YAML.
    pub(crate) fn send_to(&self, backends: &str) {
        self.write(
            "mesh.yaml",
            &format!("type: Mesh\nname: default\ntracing:\n  backends:\n{backends}"),
        );
    }

    /// Sends all spans to that backend from now on.
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

    /// Publishes once: the exit code, and what was said on standard error.
    #[track_caller]
    pub(crate) fn run_once(&self) -> (Option<i32>, String) {
        let mut command = self.meshtraced(&["run", "--once"]);
        // Long enough for an Envoy that answers at all.
        let output = command.env("MESHTRACED_ENVOY_CONFIRM_TIMEOUT", "2s").output();
        let output = output.expect("the program starts");
        let said = String::from_utf8(output.stderr).expect("messages are UTF-8");
        assert!(!said.contains("panicked"), "{said}");
        (output.status.code(), said)
    }

    /// Publishes once, which must go well.
    #[track_caller]
    pub(crate) fn publish(&self) {
        assert_eq!(self.run_once(), (Some(0), String::new()));
    }

    /// Starts the daemon.
    pub(crate) fn daemon(&self) -> Process {
        Process::spawn(self.meshtraced(&["run", "-v"]), self.dir.path().join("daemon.log"))
    }

    /// Where `policies` and `envoy` are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The directory with the published files of a proxy.
    pub(crate) fn published(&self, dataplane: &str) -> PathBuf {
        self.dir.path().join("envoy/default").join(dataplane)
    }

    /// Starts the Envoys of `web` and `backend` from what is published.
    #[track_caller]
    pub(crate) fn envoys(&self) -> [Envoy; 2] {
        ["web-01", "backend-01"].map(|dataplane| Envoy::start(&self.published(dataplane).join("bootstrap.yaml")))
    }
}

/// A backend of the mesh that is a Zipkin collector.
pub(crate) fn zipkin_backend(name: &str, collector: SocketAddr) -> String {
    format!(
        "  - name: {name}\n    type: zipkin\n    sampling: 100\n    conf: {{url: 'http://{collector}/api/v2/spans', traceId128bit: true}}\n"
    )
}

fn at_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// All files below a directory with that name, sorted.
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

/// A mesh whose collector receives nothing, not published yet.
pub(crate) fn mesh() -> Mesh {
    Mesh::new(&backend(1), "http")
}

/// The backend `first`, a Zipkin collector at 127.0.0.`host`.
pub(crate) fn backend(host: u8) -> String {
    zipkin_backend("first", ([127, 0, 0, host], 9411).into())
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
