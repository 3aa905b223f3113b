//! Random trees: meshes with backends, policies with overlapping selectors, dataplanes and gateways.

use std::fmt::Write as _;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

/// A tree of policies.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    /// Paths and texts.
    pub(super) files: Vec<(String, String)>,
}

/// What a tree may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Policies and dataplanes with one service each, where a `MeshTrace` can do all that a `TrafficTrace` does.
    Plain,
    /// Gateways, dataplanes with several services, outbounds without routes, and `MeshTrace`s beside.
    Any,
}

const BACKENDS: [&str; 6] = [
    "type: zipkin, conf: {url: 'http://z:9411/api/v2/spans'}",
    "sampling: 0.5, type: zipkin, conf: {url: 'http://z:9411/api/v2/spans', traceId128bit: true, apiVersion: httpProto}",
    "sampling: 100, type: zipkin, conf: {url: 'https://z.eu:443/s?q=1#f', sharedSpanContext: false, apiVersion: httpJsonV1}",
    "sampling: 0, type: zipkin, conf: {url: 'HTTP://[fd00::1]:9411/a%20b', sharedSpanContext: true}",
    "sampling: 10, type: datadog, conf: {address: agent, port: 8126}",
    "type: datadog, conf: {address: 'fd00::2', port: 8126, splitService: true}",
];

const SERVICES: [&str; 5] = ["web", "api", "db", "Mail", "web_2.x"];

fn tags(wildcards: bool) -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let values = |values: &[&'static str]| -> Vec<&'static str> {
        let any = if wildcards { &["*"][..] } else { &[] };
        values.iter().chain(any).copied().collect()
    };
    let services = values(&SERVICES);
    let tag = prop_oneof![
        3 => select(services).prop_map(|value| ("kuma.io/service", value)),
        2 => select(values(&["v1", "v2", "V3:x"])).prop_map(|value| ("version", value)),
        2 => select(values(if wildcards { &["a", "b", "a/b"] } else { &["a", "b"] })).prop_map(|value| ("team", value)),
        1 => select(values(&["http", "grpc"])).prop_map(|value| ("kuma.io/protocol", value)),
        1 => select(values(&["default"])).prop_map(|value| ("kuma.io/zone", value)),
    ];
    vec(tag, 1..4).prop_map(|tags| {
        tags.into_iter()
            .collect::<std::collections::BTreeMap<_, _>>()
            .into_iter()
            .collect()
    })
}

fn flow(tags: &[(&str, &str)]) -> String {
    let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}: \"{value}\"")).collect();
    format!("{{{}}}", tags.join(", "))
}

fn mesh(name: &'static str) -> impl Strategy<Value = String> {
    let backends = btree_map(select(vec!["z", "dd", "eu.x", "late"]), select(BACKENDS.to_vec()), 0..4);
    (backends, any::<bool>()).prop_map(move |(backends, has_default)| {
        let mut text = format!("# The mesh.\ntype: Mesh\nname: {name}\ntracing:\n");
        if let Some(first) = backends.keys().next().filter(|_| has_default) {
            let _ = writeln!(text, "  defaultBackend: {first}");
        }
        text.push_str(if backends.is_empty() {
            "  backends: []\n"
        } else {
            "  backends:\n"
        });
        for (name, backend) in backends {
            let _ = writeln!(text, "  - {{name: {name}, {backend}}}");
        }
        text
    })
}

/// The tags of a selector.
type Selector = Vec<(&'static str, &'static str)>;

/// The selectors, the backend and the mesh of a policy.
type Policy = (Vec<Selector>, Option<&'static str>, &'static str);

fn policy(mesh: &'static str) -> impl Strategy<Value = Policy> {
    let backend = prop::option::of(select(vec!["z", "dd", "eu.x", "missing"]));
    (vec(tags(true), 1..4), backend, Just(mesh))
}

fn traffic_trace(i: usize, selectors: &[Vec<(&str, &str)>], backend: Option<&str>, mesh: &str) -> String {
    // Ranks and names disagree.
    let name = format!("{}-{i}", ["zz", "trace", "a", "m"][i % 4]);
    let selectors: String = selectors
        .iter()
        .map(|tags| format!("- match: {} # {name}\n", flow(tags)))
        .collect();
    let conf = backend
        .map(|backend| format!("conf:\n  backend: {backend}\n"))
        .unwrap_or_default();
    format!("type: TrafficTrace\nname: {name}\nmesh: {mesh}\nselectors:\n{selectors}{conf}")
}

/// A dataplane; with `kind` 1 a delegated and with 2 a built-in gateway, else one with an inbound for each list of tags.
fn dataplane(i: usize, mesh: &str, inbounds: &[Vec<(&str, &str)>], kind: u8) -> String {
    let mut text = format!(
        "type: Dataplane\nmesh: {mesh}\nname: dp-{i}\nnetworking:\n  address: 10.0.0.{}\n",
        i + 1
    );
    let of = |tags: &[(&str, &str)]| -> Vec<(String, String)> {
        let mut all = std::collections::BTreeMap::from([("kuma.io/service".to_owned(), "web".to_owned())]);
        all.extend(tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        all.into_iter().collect()
    };
    let written = |tags: &[(String, String)]| {
        let tags: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        flow(&tags)
    };
    match kind {
        1 | 2 => {
            let mut tags = of(&inbounds[0]);
            tags.retain(|(key, _)| key != "kuma.io/protocol");
            let kind = ["DELEGATED", "BUILTIN"][usize::from(kind - 1)];
            let _ = writeln!(text, "  gateway: {{type: {kind}, tags: {}}}", written(&tags));
        }
        _ => {
            text.push_str("  inbound:\n");
            for (port, tags) in inbounds.iter().enumerate() {
                let mut tags = of(tags);
                if !tags.iter().any(|(key, _)| key == "kuma.io/protocol") {
                    tags.push(("kuma.io/protocol".to_owned(), "http".to_owned()));
                }
                let _ = writeln!(
                    text,
                    "  - {{port: {}, servicePort: 9{port}, tags: {}}}",
                    8080 + port,
                    written(&tags)
                );
            }
        }
    }
    if kind != 2 {
        text.push_str("  outbound:\n  - {port: 10001, tags: {kuma.io/service: api}}\n");
    }
    text
}

const ROUTE: &str = "type: TrafficRoute\nmesh: default\nname: route-all\nsources:\n- match: {kuma.io/service: '*'}\ndestinations:\n- match: {kuma.io/service: '*'}\nconf:\n  destination: {kuma.io/service: '*'}\n---\ntype: TrafficRoute\nmesh: eu\nname: route-all\nsources:\n- match: {kuma.io/service: '*'}\ndestinations:\n- match: {kuma.io/service: '*'}\nconf:\n  destination: {kuma.io/service: '*'}\n";

const GATEWAY: &str = "type: MeshGateway\nmesh: default\nname: edge\nselectors:\n- match: {kuma.io/service: '*'}\ntags: {team: b}\nconf:\n  listeners:\n  - {port: 80, protocol: HTTP, tags: {version: v2}}\n  - {port: 81, protocol: HTTP}\n";

fn mesh_trace(i: usize, tags: &[(&str, &str)], kind: u8, off: bool) -> String {
    let plain: Vec<(&str, &str)> = tags
        .iter()
        .copied()
        .filter(|(key, value)| *value != "*" && !key.ends_with("service"))
        .collect();
    let target = match kind {
        0 => "{kind: Mesh}".to_owned(),
        1 => format!("{{kind: MeshSubset, tags: {}}}", flow(&plain)),
        2 => "{kind: MeshService, name: web}".to_owned(),
        3 => format!("{{kind: MeshServiceSubset, name: api, tags: {}}}", flow(&plain)),
        _ => format!("{{kind: Dataplane, name: dp-{i}}}"),
    };
    let backends = if off {
        "[]"
    } else {
        "[{type: Zipkin, zipkin: {url: 'http://new:9411/x'}}]"
    };
    let more = [
        "",
        ", sampling: {random: 5}",
        ", sampling: {overall: '3.5'}, tags: [{name: t, literal: l}]",
    ][i % 3];
    format!(
        "type: MeshTrace\nmesh: default\nname: {}-{i}\nspec:\n  targetRef: {target}\n  default: {{backends: {backends}{more}}}\n",
        ["b", "zzz"][i % 2]
    )
}

/// Trees of a kind; some with hundreds of policies.
pub(super) fn tree(kind: Kind) -> impl Strategy<Value = Tree> {
    let is_any = kind == Kind::Any;
    let policies = prop_oneof![8 => 1..12_usize, 1 => 100..300_usize];
    let policies = policies.prop_flat_map(|count| vec(prop_oneof![3 => policy("default"), 1 => policy("eu")], count));
    let inbounds = vec(tags(false), if is_any { 1..4 } else { 1..2 });
    let gateway = if is_any {
        prop_oneof![4 => Just(0_u8), 1 => Just(1), 1 => Just(2)].boxed()
    } else {
        prop_oneof![5 => Just(0_u8), 1 => Just(1)].boxed()
    };
    let dataplanes = vec((select(vec!["default", "default", "eu"]), inbounds, gateway), 0..14);
    let traces = vec((tags(false), 0..5_u8, any::<bool>()), if is_any { 0..4 } else { 0..1 });
    let meshes = (mesh("default"), mesh("eu"));
    (meshes, policies, dataplanes, traces, any::<bool>()).prop_map(
        move |(meshes, policies, dataplanes, traces, has_routes)| {
            let mut policies: Vec<String> = policies
                .iter()
                .enumerate()
                .map(|(i, (selectors, backend, mesh))| traffic_trace(i, selectors, *backend, mesh))
                .collect();
            if is_any {
                policies.extend(
                    traces
                        .iter()
                        .enumerate()
                        .map(|(i, (tags, kind, off))| mesh_trace(i, tags, *kind, *off)),
                );
                policies.push(GATEWAY.to_owned());
            }
            if has_routes || !is_any {
                policies.push(ROUTE.to_owned());
            }
            let half = policies.split_off(policies.len() / 2);
            let dataplanes = dataplanes.iter().enumerate();
            let dataplanes: Vec<String> = dataplanes
                .map(|(i, (mesh, inbounds, kind))| dataplane(i, mesh, inbounds, *kind))
                .collect();
            let files = [
                ("mesh.yaml", format!("{}---\n{}", meshes.0, meshes.1)),
                ("policies/one.yaml", policies.join("---\n")),
                ("policies/two.yaml", half.join("---\n")),
                ("dataplanes.yaml", dataplanes.join("---\n")),
            ];
            let files = files.into_iter().filter(|(_, text)| !text.is_empty());
            Tree {
                files: files.map(|(path, text)| (path.to_owned(), text)).collect(),
            }
        },
    )
}
