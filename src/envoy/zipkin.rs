//! `envoy.tracers.zipkin`.

use serde_json::{Map, Value, json};

use crate::ir::{Collector, Zipkin, ZipkinEncoding};

/// The provider that sends spans to `cluster`.
///
/// The message has no field for the service: Zipkin spans have the `node.cluster` of the proxy.
pub(super) fn provider(conf: &Zipkin, collector: &Collector, cluster: &str) -> Value {
    let mut config = Map::new();
    let mut set = |key: &str, value: Value| config.insert(key.to_owned(), value);
    set("@type", json!("type.googleapis.com/envoy.config.trace.v3.ZipkinConfig"));
    set("collector_cluster", json!(cluster));
    set("collector_endpoint", json!(conf.path));
    if conf.trace_id_128bit.value {
        set("trace_id_128bit", json!(true));
    }
    if conf.is_shared_span_context_explicit {
        set("shared_span_context", json!(conf.shared_span_context.value));
    }
    let version = match conf.encoding.value {
        ZipkinEncoding::Json | ZipkinEncoding::JsonForV1 => "HTTP_JSON",
        ZipkinEncoding::Proto => "HTTP_PROTO",
    };
    set("collector_endpoint_version", json!(version));
    if conf.split_spans {
        set("split_spans_for_request", json!(true));
    }
    // Without the hostname, the `Host` of requests would be the name of the cluster.
    set("collector_hostname", json!(collector.authority));
    json!({"name": "envoy.tracers.zipkin", "typed_config": config})
}
