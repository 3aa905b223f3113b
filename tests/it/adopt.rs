//! `compile --from-envoy`: a Dataplane for an Envoy that somebody configured.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::validate::validate;

/// A service with an application, a destination, and a listener of metrics.
const SIDECAR: &str = r#"
node: {id: web-01, cluster: web}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}
static_resources:
  listeners:
  - name: ingress
    traffic_direction: INBOUND
    address: {socket_address: {address: 10.0.0.7, port_value: 8443}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config:
            virtual_hosts:
            - {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: app}}]}
          http_filters: &router
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  - name: egress
    address: {socket_address: {address: 127.0.0.1, port_value: 9001}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: out
          http_filters: *router
          tracing: {}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /, grpc: {}}
                route: {weighted_clusters: {clusters: [{name: ledger, weight: 1}, {name: ledger-canary, weight: 1}]}}
  - name: database
    address: {socket_address: {address: 127.0.0.1, port_value: 9002}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: db
          cluster: db
  clusters:
  - name: app
    load_assignment:
      cluster_name: app
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 8080}}}}]}]
  - name: ledger
    load_assignment:
      cluster_name: ledger
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.9, port_value: 80}}}}]}]
  - {name: ledger-canary, load_assignment: {cluster_name: ledger-canary}}
  - name: db
    load_assignment:
      cluster_name: db
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.3, port_value: 5432}}}}]}]
"#;

/// What `compile --from-envoy` says of these files.
fn propose(files: &[(&str, &str)]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
    command.current_dir(dir.path()).args(["compile", "--from-envoy"]);
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("a file");
        command.arg(name);
    }
    let output = command.output().expect("the program starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("text"))
}

/// The listeners that are traced when a proposal is among the policies, and those that are not.
fn traced(proposal: &str) -> Vec<(String, bool)> {
    let dir = TempDir::new().expect("a directory");
    let policies = "type: Mesh\nname: default\ntracing:\n  backends:\n  - {name: z, type: zipkin, conf: {url: \
                    'http://127.0.0.1:9411/api/v2/spans'}}\n---\ntype: TrafficTrace\nmesh: default\nname: all\nselectors:\n- match: \
                    {kuma.io/service: '*'}\nconf: {backend: z}\n";
    fs::write(dir.path().join("policies.yaml"), policies).expect("a file");
    fs::write(dir.path().join("proposal.yaml"), proposal).expect("a file");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
        command.arg("--policies").arg(dir.path()).args(arguments);
        command.output().expect("the program starts")
    };
    let check = run(&["check"]);
    assert!(
        check.status.success(),
        "{proposal}\n{}",
        String::from_utf8_lossy(&check.stdout)
    );
    let found: Value = serde_json::from_slice(&run(&["compile", "-o", "json"]).stdout).expect("JSON");
    let listeners = found["dataplanes"][0]["listeners"].as_array().expect("listeners");
    let one = |listener: &Value| {
        let name = listener["name"].as_str().expect("a name").to_owned();
        (name, !listener["tracing"].is_null())
    };
    listeners.iter().map(one).collect()
}

#[test]
fn a_sidecar_becomes_a_dataplane() {
    assert_envoy_takes(SIDECAR);
    let (code, said) = propose(&[("envoy.yaml", SIDECAR)]);
    assert_eq!(code, Some(0), "{said}");
    let expected = r#"type: Dataplane
mesh: default
# From `node.id`.
name: web-01
networking:
  address: "10.0.0.7"
  inbound:
  # Listener `ingress`.
  - port: 8443
    servicePort: 8080
    tags:
      # From `node.cluster`: the name under which policies select it, and spans show it.
      kuma.io/service: web
      kuma.io/protocol: http
  outbound:
  # Listener `egress`.
  # It has `tracing` already.
  # Its direction is a guess from its addresses: `traffic_direction` is not set.
  - port: 9001
    tags:
      # The first of its clusters, beside ledger-canary. Routes stay with the Envoy.
      kuma.io/service: ledger
      # Used while no Dataplane among the policies has this service.
      kuma.io/protocol: grpc
  # Listener `database`.
  # Its direction is a guess from its addresses: `traffic_direction` is not set.
  - port: 9002
    tags:
      kuma.io/service: db
      # Used while no Dataplane among the policies has this service.
      kuma.io/protocol: tcp
"#;
    assert_eq!(said, expected);
    assert_eq!(
        traced(&said),
        [
            ("inbound:10.0.0.7:8443".to_owned(), true),
            ("outbound:127.0.0.1:9001".to_owned(), true),
            ("outbound:127.0.0.1:9002".to_owned(), false),
        ]
    );
}

/// The configuration is one that Envoy starts with.
fn assert_envoy_takes(text: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("envoy.yaml");
    fs::write(&path, text).expect("a file");
    assert_eq!(validate(&path), Ok(()));
}

#[test]
fn files_of_clusters_and_listeners_are_read_in_either_spelling() {
    let bootstrap = r#"{"node": {"id": "m.API_01/x"}, "dynamicResources": {
        "cdsConfig": {"pathConfigSource": {"path": "/var/lib/envoy/cds.json"}},
        "ldsConfig": {"pathConfigSource": {"path": "/var/lib/envoy/lds.json"}}}}"#;
    let lds = r#"{"resources": [{"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": "in",
        "address": {"socketAddress": {"address": "0.0.0.0", "portValue": 80}},
        "defaultFilterChain": {"filters": [{"name": "hcm", "typedConfig": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "codecType": "HTTP2", "rds": {"routeConfigName": "r", "configSource": {"ads": {}}}}}]}}]}"#;
    let cds = r#"[{"name": "app", "loadAssignment": {"endpoints": [{"lbEndpoints": [{"endpoint": {"address": {"pipe": {"path": "/run/a"}}}}]}]}}]"#;
    let (code, said) = propose(&[("envoy.json", bootstrap), ("lds.json", lds), ("cds.json", cds)]);
    assert_eq!(code, Some(0), "{said}");
    for expected in [
        "# The Envoy gets clusters from /var/lib/envoy/cds.json: name that file, too",
        "name: m.api-01-x\n",
        "# No listener has an address of this machine",
        "# There may be more destinations: its routes come from a management server.",
        "# Where the application listens is not in these files",
        "kuma.io/service: in\n",
        "kuma.io/protocol: http2\n",
    ] {
        assert!(said.contains(expected), "{expected} is not in {said}");
    }
    assert_eq!(traced(&said), [("inbound:192.0.2.1:80".to_owned(), true)]);
}

#[test]
fn what_is_no_envoy_configuration_is_said() {
    for (text, expected) in [
        (
            "a: [\n",
            "cannot read envoy.yaml: it is not one document of YAML or JSON",
        ),
        ("type: Mesh\nname: default\n", "it has neither `static_resources` nor"),
        ("- {name: x}\n", "it has neither `static_resources` nor"),
    ] {
        let (code, said) = propose(&[("envoy.yaml", text)]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    // Nothing to trace, and said so.
    let (code, said) = propose(&[("envoy.yaml", "static_resources: {}\n")]);
    assert_eq!(code, Some(0));
    assert!(
        said.contains("name: envoy\n") && said.contains("a Dataplane needs an inbound or a gateway"),
        "{said}"
    );
}
