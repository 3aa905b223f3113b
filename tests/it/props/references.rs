//! The clusters that listeners refer to, in the files of a proxy.

use std::collections::BTreeSet;

use meshtraced::envoy::artifact::{Artifact, Files};
use meshtraced::yaml::{Limits, json};
use serde_json::Value;

/// The names of clusters that the listeners of a proxy refer to, and that it does not have. Envoy accepts some of such
/// references, and sends no spans.
pub(super) fn missing_clusters(files: &Files) -> Vec<String> {
    let read = |artifact| json::read_one(&files[&artifact].text(), &Limits::default()).expect("a file of one document");
    let (cds, lds) = (read(Artifact::Cds), read(Artifact::Lds));
    let clusters = cds["resources"].as_array().into_iter().flatten();
    let clusters: BTreeSet<&str> = clusters.filter_map(|cluster| cluster["name"].as_str()).collect();
    let mut wanted = BTreeSet::new();
    collect(&lds, &mut wanted);
    let missing = wanted.into_iter().filter(|name| !clusters.contains(name));
    missing.map(str::to_owned).collect()
}

fn collect<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("cluster" | "cluster_name" | "collector_cluster", Value::String(name)) => {
                        found.insert(name);
                    }
                    _ => collect(value, found),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn a_reference_to_nothing_is_found_wherever_it_stands() {
    for inside in [
        "route: {cluster: b}",
        "typed_config: {collector_cluster: b}",
        "grpc_service: {envoy_grpc: {cluster_name: b}}",
        "http_service: {http_uri: {cluster: b}}",
    ] {
        let files = Files::from([
            (Artifact::Cds, "resources: [{name: a}]\n".into()),
            (
                Artifact::Lds,
                format!("resources: [{{filter_chains: [{{{inside}}}, {{cluster: a}}]}}]\n").into(),
            ),
        ]);
        assert_eq!(missing_clusters(&files), ["b"], "{inside}");
    }
}
