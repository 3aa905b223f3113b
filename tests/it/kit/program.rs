//! The built program in a directory with valid policies.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

pub(crate) const POLICIES: &str = "type: Mesh
name: default
tracing:
  defaultBackend: z
  backends:
  - {name: z, type: zipkin, conf: {url: 'http://127.0.0.1:9411/api/v2/spans'}}
---
type: TrafficTrace
mesh: default
name: trace-all
selectors:
- match: {kuma.io/service: '*'}
---
type: Dataplane
mesh: default
name: web-01
networking:
  address: 10.0.0.1
  inbound:
  - {port: 8080, tags: {kuma.io/service: web, kuma.io/protocol: http}}
";

/// A temporary directory with valid policies in `policies`.
pub(crate) fn good() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(dir.path().join("policies")).expect("a directory");
    fs::write(dir.path().join("policies/all.yaml"), POLICIES).expect("a file");
    dir
}

/// Runs the program in a directory, to its end.
pub(crate) fn meshtraced(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
    command
        .current_dir(dir)
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// Exit code and standard error.
#[track_caller]
pub(crate) fn said(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8(output.stderr.clone()).expect("messages are UTF-8");
    assert!(!text.contains("panicked"), "{text}");
    (output.status.code(), text)
}
