//! The tracing of a proxy without what nobody would notice: names of clusters, defaults that are written, tags that Kuma adds, and
//! clusters that no listener refers to.

use meshtraced::envoy::{collector_clusters, tracing};
use meshtraced::ir::Proxy;
use serde_json::{Map, Value, json};

/// The tracing of each listener, with the cluster of its collector in the place of its name.
pub(super) fn canonical(proxy: &Proxy) -> Value {
    let clusters: Vec<Value> = collector_clusters(proxy, ".")
        .iter()
        .map(|cluster| serde_json::to_value(cluster).expect("a message"))
        .collect();
    let mut listeners = Map::new();
    for listener in &proxy.listeners {
        let Some(block) = tracing::block(proxy, listener) else {
            continue;
        };
        let mut block = serde_json::to_value(block).expect("a message");
        for name in ["overall_sampling", "client_sampling", "random_sampling"] {
            if block.get(name) == Some(&json!({"value": 100})) {
                block.as_object_mut().expect("a message").remove(name);
            }
        }
        tags(&mut block);
        if let Some(config) = block
            .pointer_mut("/provider/typed_config")
            .and_then(Value::as_object_mut)
        {
            if config.get("shared_span_context") == Some(&json!(true)) {
                config.remove("shared_span_context");
            }
            // Without effect beside `spawn_upstream_span`.
            config.remove("split_spans_for_request");
            let name = ["collector_cluster"].iter().find_map(|key| config.get(*key)?.as_str());
            let name = name.or_else(|| {
                config
                    .get("grpc_service")?
                    .pointer("/envoy_grpc/cluster_name")?
                    .as_str()
            });
            let name = name.or_else(|| config.get("http_service")?.pointer("/http_uri/cluster")?.as_str());
            let cluster = clusters
                .iter()
                .find(|cluster| cluster["name"].as_str() == name)
                .cloned();
            config.remove("collector_cluster");
            config.remove("grpc_service");
            let uri = config
                .remove("http_service")
                .and_then(|service| service.pointer("/http_uri/uri").cloned());
            config.insert("cluster".to_owned(), nameless(cluster));
            config.insert("uri".to_owned(), json!(uri));
            // Zipkin spans have the name of the proxy's cluster.
            if config["@type"]
                .as_str()
                .is_some_and(|name| name.ends_with("ZipkinConfig"))
            {
                config.insert("service".to_owned(), json!(proxy.service.as_str()));
            }
        }
        listeners.insert(
            format!("{:?} {} {}", listener.direction, listener.address, listener.port),
            block,
        );
    }
    Value::Object(listeners)
}

fn tags(block: &mut Value) {
    let Some(tags) = block.get_mut("custom_tags").and_then(Value::as_array_mut) else {
        return;
    };
    tags.retain(|tag| {
        !["kuma.mesh", "kuma.zone", "kuma.workload"]
            .iter()
            .any(|name| tag["tag"] == *name)
    });
    if tags.is_empty() {
        block.as_object_mut().expect("a message").remove("custom_tags");
    }
}

fn nameless(cluster: Option<Value>) -> Value {
    let Some(mut cluster) = cluster else { return Value::Null };
    let fields = cluster.as_object_mut().expect("a message");
    for name in ["name", "alt_stat_name", "circuit_breakers"] {
        fields.remove(name);
    }
    if let Some(assignment) = fields.get_mut("load_assignment").and_then(Value::as_object_mut) {
        assignment.remove("cluster_name");
    }
    cluster
}
