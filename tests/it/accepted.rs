//! Whatever the suite compiles, a real Envoy takes: every bootstrap, and its clusters and listeners wrapped in one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kit::parallel::in_parallel;
use crate::kit::tools;
use crate::kit::validate::{validate_many, validate_resources};
use crate::mesh::find;

/// The directories with policies: golden cases, conformance cases, and the samples.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let below = |path: &str, input: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        entries
            .map(|entry| entry.expect("an entry").path().join(input))
            .collect()
    };
    let mut sources = vec![root.join("policies")];
    sources.extend(below("tests/cases", "in"));
    sources.extend(below("tests/conformance/cases", "input"));
    sources.extend(below("tests/conformance/recorded", "input"));
    sources.sort();
    sources
}

#[test]
fn envoy_takes_every_file_of_the_suite() {
    let sources = sources();
    let published = in_parallel(&sources, |source| {
        let out = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
        command
            .arg("--policies")
            .arg(source)
            .arg("--out")
            .arg(out.path())
            .args(["run", "--once"]);
        command.output().expect("the program starts");
        out
    });
    let bootstraps: Vec<PathBuf> = published
        .iter()
        .flat_map(|out| find(out.path(), "bootstrap.yaml"))
        .collect();
    assert!(bootstraps.len() > 100, "only {} proxies", bootstraps.len());
    let mut refused = Vec::new();
    for (bootstrap, result) in bootstraps.iter().zip(validate_many(&bootstraps)) {
        refused.extend(result.err().map(|why| format!("{}: {why}", bootstrap.display())));
    }
    let wrapped = in_parallel(&bootstraps, |bootstrap| {
        let xds = bootstrap.parent().expect("a directory").join("xds");
        validate_resources(&xds.join("cds.yaml"), &xds.join("lds.yaml"))
    });
    for (bootstrap, result) in bootstraps.iter().zip(wrapped) {
        refused.extend(
            result
                .err()
                .map(|why| format!("{} (wrapped): {why}", bootstrap.display())),
        );
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    println!("{} proxies of {} sources", bootstraps.len(), sources.len());
}

/// Somebody's own bootstrap, whose listener sends spans to a cluster that only the fragment has.
const BASE: &str = r#"
node: {id: mine, cluster: mine}
static_resources:
  listeners:
  - name: mine
    address: {socket_address: {address: 127.0.0.1, port_value: 15080}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: mine
          route_config: {}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          tracing:
            provider:
              name: envoy.tracers.zipkin
              typed_config:
                "@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig
                collector_cluster: tracing:zipkin
                collector_endpoint: /api/v2/spans
                collector_endpoint_version: HTTP_JSON
"#;

#[test]
fn a_fragment_completes_a_bootstrap_of_ones_own() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let base = dir.path().join("base.yaml");
    fs::write(&base, BASE).expect("a file");
    let published = Command::new(env!("CARGO_BIN_EXE_meshtraced"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--policies", "policies", "--out"])
        .arg(dir.path().join("envoy"))
        .args(["run", "--once"])
        .output()
        .expect("the program starts");
    assert!(published.status.success());
    let fragment = fs::read_to_string(dir.path().join("envoy/default/web-01/fragment.yaml")).expect("a fragment");
    let validate = |fragment: &str| {
        let mut envoy = Command::new(tools::envoy());
        envoy
            .args(["--mode", "validate", "-c"])
            .arg(&base)
            .args(["--config-yaml", fragment]);
        let output = envoy.output().expect("Envoy starts");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (accepted, said) = validate("{}");
    assert!(
        !accepted && said.contains("tracing:zipkin"),
        "alone it lacks the cluster: {said}"
    );
    let (accepted, said) = validate(&fragment);
    assert!(accepted, "{said}");
    // That of a proxy that does not trace adds nothing.
    let (accepted, said) = validate("static_resources:\n  clusters: []\n");
    assert!(!accepted && said.contains("tracing:zipkin"), "{said}");
}
