//! A real Envoy accepts all compiled files of the suite: every bootstrap, and its clusters and listeners wrapped in
//! one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::conformance::settings_for;
use crate::kit::mesh::find;
use crate::kit::parallel::in_parallel;
use crate::kit::validate::{validate_many, validate_resources};
use crate::kit::{tools, yaml};
use tempfile::TempDir;

/// A directory with policies, and the settings they are compiled with.
struct Source {
    policies: PathBuf,
    settings: Option<String>,
}

/// Golden cases with their settings, conformance cases with those of the control plane, and the samples.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let below = |path: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let mut sources = vec![Source {
        policies: root.join("policies"),
        settings: None,
    }];
    sources.extend(below("tests/cases").into_iter().map(|case| Source {
        policies: case.join("in"),
        settings: fs::read_to_string(case.join("settings.yaml")).ok(),
    }));
    for folder in [
        "tests/conformance/cases",
        "tests/conformance/measured",
        "tests/conformance/recorded",
    ] {
        sources.extend(below(folder).into_iter().map(|case| Source {
            policies: case.join("input"),
            settings: Some(settings_for(&yaml::read(&case.join("expected.yaml"))).to_string()),
        }));
    }
    sources.sort_by(|a, b| a.policies.cmp(&b.policies));
    sources
}

fn publish(source: &Source) -> TempDir {
    let out = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
    if let Some(settings) = &source.settings {
        let path = out.path().join("settings.yaml");
        fs::write(&path, settings).expect("a file");
        command.arg("--config").arg(path);
    }
    command
        .arg("--policies")
        .arg(&source.policies)
        .arg("--out")
        .arg(out.path().join("envoy"))
        .args(["run", "--once"]);
    command.output().expect("the program starts");
    out
}

/// One of the proxies for each pair of clusters and listeners that differs from all others.
fn distinct(published: &[TempDir]) -> Vec<PathBuf> {
    let bootstraps = published.iter().flat_map(|out| find(out.path(), "bootstrap.yaml"));
    let content = |bootstrap: &PathBuf| {
        let xds = bootstrap.parent().expect("a directory").join("xds");
        ["cds.yaml", "lds.yaml"].map(|file| fs::read(xds.join(file)).expect("published"))
    };
    let all: BTreeMap<_, _> = bootstraps.map(|bootstrap| (content(&bootstrap), bootstrap)).collect();
    all.into_values().collect()
}

#[test]
fn two_releases_of_envoy_take_every_file_of_the_suite() {
    let sources = sources();
    let published = in_parallel(&sources, publish);
    let bootstraps = distinct(&published);
    assert!(bootstraps.len() > 300, "only {} proxies", bootstraps.len());
    let mut refused: Vec<String> = Vec::new();
    for envoy in tools::releases() {
        let wrapped = in_parallel(&bootstraps, |bootstrap| {
            let xds = bootstrap.parent().expect("a directory").join("xds");
            validate_resources(envoy, &xds.join("cds.yaml"), &xds.join("lds.yaml"))
        });
        refused.extend(wrapped.into_iter().filter_map(Result::err));
    }
    // The bootstraps themselves differ in paths and names only.
    let some: Vec<PathBuf> = bootstraps.iter().step_by(10).cloned().collect();
    refused.extend(validate_many(&some).into_iter().filter_map(Result::err));
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    println!("{} proxies of {} sources", bootstraps.len(), sources.len());
}

/// A user's own bootstrap, whose listener sends spans to a cluster that only the fragment has.
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
