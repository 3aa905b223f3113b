//! `envoy.tracers.zipkin`.

use serde_json::{Map, Value, json};

use crate::ir::{By, Collector, Proxy, Tracer, Zipkin, ZipkinEncoding};

/// The provider that sends to `cluster`.
///
/// There is no field for the service: Zipkin files spans under the `node.cluster` of the proxy.
pub(super) fn provider(conf: &Zipkin, proxy: &Proxy, tracer: &Tracer, collector: &Collector, cluster: &str) -> Value {
    let by_mesh_trace = tracer.by == By::MeshTrace;
    let mut config = Map::new();
    let mut set = |key: &str, value: Value| config.insert(key.to_owned(), value);
    set("@type", json!("type.googleapis.com/envoy.config.trace.v3.ZipkinConfig"));
    set("collector_cluster", json!(cluster));
    set("collector_endpoint", json!(conf.path));
    if conf.trace_id_128bit.value {
        set("trace_id_128bit", json!(true));
    }
    // The schema of a MeshTrace fills the default in, and so does Kuma.
    if by_mesh_trace || conf.shared_span_context.is_written() {
        set("shared_span_context", json!(conf.shared_span_context.value));
    }
    let version = match conf.encoding.value {
        ZipkinEncoding::Json => "HTTP_JSON",
        ZipkinEncoding::Proto => "HTTP_PROTO",
    };
    set("collector_endpoint_version", json!(version));
    if by_mesh_trace && proxy.is_gateway {
        set("split_spans_for_request", json!(true));
    }
    // Without it the `Host` of the requests would be the name of the cluster.
    set("collector_hostname", json!(collector.authority));
    json!({"name": "envoy.tracers.zipkin", "typed_config": config})
}
