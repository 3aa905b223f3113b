//! The files that Envoy takes and rejects, and what it makes of changed ones.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Vm, backend_of};
use crate::kit::collector::{Collector, DatadogAgent};
use crate::kit::envoy::Envoy;
use crate::kit::http::get;
use crate::kit::mesh::Backend;
use crate::kit::validate::{validate_by, validate_resources};
use crate::kit::{ports, tools, wait, yaml};

/// The published clusters and listeners of a proxy, for tests that change them.
struct Resources {
    cds: Value,
    lds: Value,
}

impl Resources {
    fn of(vm: &Vm) -> Self {
        let xds = vm.mesh.published("vm-01").join("xds");
        Self {
            cds: yaml::read(&xds.join("cds.yaml")),
            lds: yaml::read(&xds.join("lds.yaml")),
        }
    }

    /// The HTTP connection manager of the first listener.
    fn manager(&mut self) -> &mut Value {
        &mut self.lds["resources"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    }

    fn provider(&mut self) -> &mut Value {
        &mut self.manager()["tracing"]["provider"]["typed_config"]
    }

    fn without_collector(&mut self) {
        let clusters = self.cds["resources"].as_array_mut().expect("a list");
        clusters.retain(|cluster| !cluster["name"].as_str().is_some_and(|name| name.contains("trace:")));
    }

    fn is_taken(&self, release: &Path) -> bool {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let [cds, lds] = [("cds.yaml", &self.cds), ("lds.yaml", &self.lds)].map(|(name, value)| {
            let path = dir.path().join(name);
            fs::write(&path, value.to_string()).expect("a file");
            path
        });
        validate_resources(release, &cds, &lds).is_ok()
    }

    /// Writes the changed listeners over the published ones; the bootstrap that reads them.
    fn publish_listeners(&self, vm: &Vm) -> PathBuf {
        let directory = vm.mesh.published("vm-01");
        fs::write(directory.join("xds/lds.yaml"), self.lds.to_string()).expect("a file");
        directory.join("bootstrap.yaml")
    }
}

/// A change to the resources.
type Change = fn(&mut Resources);

/// What the code says of Envoy, with the provider, a change, and whether Envoy takes the result.
const TAKEN: [(&str, &str, Change, bool); 13] = [
    ("what is published", "zipkin", |_| (), true),
    (
        "a tag without a value",
        "zipkin",
        |all| all.manager()["tracing"]["custom_tags"] = json!([{"tag": "a", "literal": {"value": ""}}]),
        false,
    ),
    (
        "a tag of a header without a name",
        "zipkin",
        |all| all.manager()["tracing"]["custom_tags"] = json!([{"tag": "a", "request_header": {"name": ""}}]),
        false,
    ),
    (
        "a collector without a path",
        "zipkin",
        |all| all.provider()["collector_endpoint"] = json!(""),
        false,
    ),
    (
        "version 1 of Zipkin by its name",
        "zipkin",
        |all| all.provider()["collector_endpoint_version"] = json!("HTTP_JSON_V1"),
        false,
    ),
    (
        "version 1 of Zipkin by its number",
        "zipkin",
        |all| all.provider()["collector_endpoint_version"] = json!(0),
        false,
    ),
    (
        "Zipkin without its cluster",
        "zipkin",
        Resources::without_collector,
        false,
    ),
    (
        "Datadog without its cluster",
        "datadog",
        Resources::without_collector,
        false,
    ),
    (
        "OpenTelemetry without its cluster",
        "opentelemetry",
        Resources::without_collector,
        true,
    ),
    (
        "Datadog without a name of the service",
        "datadog",
        |all| all.provider()["service_name"] = json!(""),
        false,
    ),
    (
        "a port beyond the largest",
        "zipkin",
        |all| {
            let endpoint =
                &mut all.cds["resources"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
            endpoint["address"]["socket_address"]["port_value"] = json!(99_999);
        },
        false,
    ),
    (
        "a listener at a name",
        "zipkin",
        |all| all.lds["resources"][0]["address"]["socket_address"]["address"] = json!("web.example"),
        false,
    ),
    (
        "weights beyond 32 bits",
        "zipkin",
        |all| {
            let half = json!({"name": "localhost:1", "weight": u32::MAX});
            let route = &mut all.manager()["route_config"]["virtual_hosts"][0]["routes"][0]["route"];
            route.as_object_mut().expect("a mapping").shift_remove("cluster");
            route["weighted_clusters"] = json!({"clusters": [half, half]});
        },
        false,
    ),
];

#[test]
fn what_envoy_takes_and_what_not_is_as_the_code_says() {
    let vms = ["zipkin", "datadog", "opentelemetry"].map(|provider| {
        let vm = Vm::start(&Backend::nowhere(1));
        vm.mesh_trace(&backend_of(provider, ports::socket(19_411)), "");
        let (code, said) = vm.mesh.run_once();
        assert_eq!(code, Some(0), "{said}");
        (provider, vm)
    });
    for release in tools::releases() {
        for (name, provider, change, is_taken) in TAKEN {
            let (_, vm) = vms.iter().find(|(own, _)| *own == provider).expect("one of three");
            let mut resources = Resources::of(vm);
            change(&mut resources);
            assert_eq!(resources.is_taken(release), is_taken, "{name}, {}", release.display());
        }
    }
}

#[test]
fn a_listener_without_a_block_sends_no_spans() {
    for release in tools::releases() {
        let zipkin = Collector::start();
        let vm = Vm::start(&Backend::zipkin("first", zipkin.address()));
        let (code, said) = vm.mesh.run_once();
        assert_eq!(code, Some(0), "{said}");
        let mut resources = Resources::of(&vm);
        let first = resources.manager().as_object_mut().expect("a mapping");
        first.shift_remove("tracing").expect("a block");
        let bootstrap = resources.publish_listeners(&vm);
        let _envoy = Envoy::start_release(release, &bootstrap);
        // The request to the first inbound comes before the others, so its span would come with theirs.
        vm.ask_all();
        let spans = zipkin.wait_for(|spans| (spans.len() >= 2).then(|| spans.to_vec()));
        assert_eq!(spans.len(), 2, "{spans:?}");
    }
}

#[test]
fn two_listeners_of_one_name_pass_validation_and_are_rejected_when_they_are_delivered() {
    for release in tools::releases() {
        let vm = Vm::start(&Backend::nowhere(1));
        let (code, said) = vm.mesh.run_once();
        assert_eq!(code, Some(0), "{said}");
        let mut resources = Resources::of(&vm);
        let mut again = resources.lds["resources"][1].clone();
        again["address"]["socket_address"]["port_value"] = json!(8282);
        let listeners = resources.lds["resources"].as_array_mut().expect("a list");
        listeners.push(again);
        assert!(resources.is_taken(release), "{}", release.display());
        let bootstrap = resources.publish_listeners(&vm);
        let envoy = Envoy::spawn_release(release, &bootstrap);
        wait::until("the listeners are rejected", || {
            let rejected = envoy.stat("listener_manager.lds.update_rejected");
            (rejected == Some(1))
                .then_some(())
                .ok_or_else(|| format!("{rejected:?}"))
        });
    }
}

#[test]
fn without_a_node_envoy_reads_no_files() {
    for release in tools::releases() {
        let vm = Vm::start(&Backend::nowhere(1));
        let (code, said) = vm.mesh.run_once();
        assert_eq!(code, Some(0), "{said}");
        let path = vm.mesh.published("vm-01").join("bootstrap.yaml");
        let bootstrap = yaml::read(&path);
        assert_eq!(validate_by(release, &path), Ok(()));
        for key in ["id", "cluster"] {
            let mut without = bootstrap.clone();
            let node = without["node"].as_object_mut().expect("a mapping");
            node.shift_remove(key).expect("a field");
            let changed = path.with_file_name("changed.yaml");
            fs::write(&changed, without.to_string()).expect("a file");
            let refused = validate_by(release, &changed).expect_err(key);
            assert!(refused.contains("node"), "{refused}");
        }
    }
}

#[test]
fn a_zipkin_collector_is_asked_by_the_name_of_its_cluster_unless_a_host_is_written() {
    for release in tools::releases() {
        let zipkin = Collector::start();
        let vm = Vm::start(&Backend::zipkin("first", zipkin.address()));
        let (code, said) = vm.mesh.run_once();
        assert_eq!(code, Some(0), "{said}");
        let mut resources = Resources::of(&vm);
        let provider = resources.provider().as_object_mut().expect("a mapping");
        provider.shift_remove("collector_hostname").expect("a field");
        let bootstrap = resources.publish_listeners(&vm);
        let envoy = Envoy::start_release(release, &bootstrap);
        assert_eq!(get(format!("http://{}/", vm.inbounds[0])).send().status, 200);
        zipkin.wait_for(|spans| (!spans.is_empty()).then_some(()));
        assert_eq!(zipkin.reports()[0].host, "tracing:first");
        // The statistics of a cluster have the name without punctuation.
        assert_eq!(envoy.stat("cluster.tracing_first.membership_total"), Some(1));
    }
}

#[test]
fn an_agent_of_datadog_rejects_the_host_that_envoy_sends_without_one() {
    for release in tools::releases() {
        let agent = DatadogAgent::start();
        let vm = Vm::start(&Backend::datadog("first", agent.address()));
        fs::write(vm.mesh.dir().join("settings.yaml"), "kuma: {fidelity: exact}\n").expect("a file");
        let mut run = vm.mesh.meshtraced(&["run", "--once", "--config", "settings.yaml"]);
        assert!(run.output().expect("the program starts").status.success());
        let envoy = Envoy::start_release(release, &vm.mesh.published("vm-01").join("bootstrap.yaml"));
        assert_eq!(get(format!("http://{}/", vm.inbounds[0])).send().status, 200);
        wait::until("the report is dropped", || {
            let dropped = envoy.stat("tracing.datadog.reports_dropped").unwrap_or_default();
            (dropped > 0)
                .then_some(())
                .ok_or_else(|| envoy.admin("/stats?filter=tracing.datadog"))
        });
    }
}

#[test]
fn a_listener_without_a_destination_closes_connections() {
    for release in tools::releases() {
        let vm = Vm::start(&Backend::nowhere(1));
        fs::write(vm.mesh.dir().join("settings.yaml"), "kuma: {fidelity: exact}\n").expect("a file");
        vm.mesh.write(
            "route.yaml",
            "type: TrafficRoute\nmesh: default\nname: other\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: other}}]\nconf: {destination: {kuma.io/service: '*'}}\n",
        );
        let mut run = vm.mesh.meshtraced(&["run", "--once", "--config", "settings.yaml"]);
        assert!(run.output().expect("the program starts").status.success());
        let _envoy = Envoy::start_release(release, &vm.mesh.published("vm-01").join("bootstrap.yaml"));
        let answer = get(format!("http://{}/", vm.outbound)).try_send();
        assert!(answer.is_err(), "{answer:?}");
    }
}
