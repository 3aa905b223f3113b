//! One of `examples/` in a directory of its own, at addresses of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::app::App;
use super::ports;

/// An example whose Envoy listens on port 18080, before an application, and whose policies are `policies/web.yaml`.
pub(crate) struct Example {
    /// The directory in the repository.
    pub(crate) source: PathBuf,
    pub(crate) dir: TempDir,
    /// Where its Envoy listens.
    pub(crate) web: SocketAddr,
    pub(crate) app: App,
}

impl Example {
    pub(crate) fn of(name: &str, collector: SocketAddr) -> Self {
        let example = Self {
            source: Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name),
            dir: tempfile::tempdir().expect("a temporary directory"),
            web: ports::socket(18080),
            app: App::named("web").start(),
        };
        fs::create_dir(example.path("policies")).expect("a directory");
        example.write_policies(&example.policies(collector));
        example
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of the example as it is in the repository.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.source.join(name)).expect("a file of the example")
    }

    /// A file of the example, at the addresses of this one.
    pub(crate) fn text_here(&self, name: &str) -> String {
        self.text(name)
            .replace("address: 127.0.0.1, port_value: 18080", &address(self.web))
            .replace("address: 127.0.0.1, port_value: 19080", &address(self.app.address()))
    }

    /// The policies with another collector.
    pub(crate) fn policies(&self, collector: SocketAddr) -> String {
        self.text("policies/web.yaml")
            .replace("127.0.0.1:9411", &collector.to_string())
    }

    pub(crate) fn write_policies(&self, text: &str) {
        fs::write(self.path("policies/web.yaml"), text).expect("a file");
    }
}

/// An address as Envoy's configuration has it.
pub(crate) fn address(at: SocketAddr) -> String {
    format!("address: {}, port_value: {}", at.ip(), at.port())
}

/// Policies without those that trace.
pub(crate) fn untraced(policies: &str) -> String {
    let documents = policies.split("---\n");
    let rest = documents.filter(|document| !document.contains("TrafficTrace"));
    rest.collect::<Vec<_>>().join("---\n")
}
