//! The faults that Envoy's own validation misses: two listeners of one name, and references to missing clusters.
//!
//! A running Envoy rejects the two listeners, and accepts an OpenTelemetry tracer whose cluster is missing
//! (`tests/it/envoy_says/files.rs`). Such a fault is a bug of meshtraced; the proxy gets a finding `dangling-reference` instead
//! of files.

use std::collections::BTreeSet;

use serde_json::Value;

use super::sidecar::Resources;

/// The faults in the names and references of one proxy's resources.
pub(super) fn faults(resources: &Resources) -> Vec<String> {
    let names = |values: &[Value]| -> Vec<String> {
        let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
        values.iter().map(name).collect()
    };
    let clusters: BTreeSet<String> = names(&resources.clusters).into_iter().collect();
    let mut wanted = BTreeSet::new();
    resources
        .listeners
        .iter()
        .for_each(|listener| references(listener, &mut wanted));
    let missing = wanted.into_iter().filter(|name| !clusters.contains(*name));
    missing
        .map(|name| format!("a listener of this proxy would name the cluster `{name}`, which it does not have"))
        .collect()
}

/// Collects the names of all clusters that a value refers to.
fn references<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("cluster" | "cluster_name" | "collector_cluster", Value::String(name)) => {
                        found.insert(name);
                    }
                    _ => references(value, found),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(listeners: Vec<Value>, expected: &[&str]) {
        let clusters = vec![json!({"name": "a"})];
        let found = faults(&Resources { clusters, listeners });
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn names_that_lead_nowhere_and_names_that_are_taken_are_found() {
        let listener = |name: &str, inside: Value| json!({"name": name, "filter_chains": [{"filters": [inside]}]});
        check(vec![listener("x", json!({"cluster": "a"}))], &[]);
        check(
            vec![listener("x", json!({})), listener("x", json!({}))],
            &["two listeners"],
        );
        for inside in [
            json!({"route": {"cluster": "b"}}),
            json!({"typed_config": {"collector_cluster": "b"}}),
            json!({"grpc_service": {"envoy_grpc": {"cluster_name": "b"}}}),
            json!({"http_service": {"http_uri": {"cluster": "b"}}}),
        ] {
            check(vec![listener("x", inside)], &["the cluster `b`"]);
        }
    }
}
