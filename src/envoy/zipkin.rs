//! `envoy.tracers.zipkin`.

use serde::Serialize;

use crate::ir::{Additions, Collector, Zipkin, ZipkinEncoding};

/// The provider that sends spans to a collector.
///
/// The message has no field for the service: Zipkin spans have the `node.cluster` of the proxy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ZipkinConfig<'a> {
    #[serde(rename = "@type")]
    type_url: &'static str,
    collector_cluster: &'a str,
    collector_endpoint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id_128bit: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_span_context: Option<bool>,
    collector_endpoint_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    split_spans_for_request: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_context_option: Option<&'static str>,
    /// Without the hostname, the `Host` of requests would be the name of the cluster.
    collector_hostname: &'a str,
}

impl<'a> ZipkinConfig<'a> {
    /// The provider that sends spans to `cluster`.
    pub(super) fn of(conf: &'a Zipkin, collector: &'a Collector, cluster: &'a str, additions: &Additions) -> Self {
        let is_w3c = additions.w3c.as_ref().is_some_and(|w3c| w3c.value);
        let shared = conf.shared_span_context.value;
        Self {
            type_url: "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
            collector_cluster: cluster,
            collector_endpoint: &conf.path,
            trace_id_128bit: conf.trace_id_128bit.value.then_some(true),
            shared_span_context: conf.is_shared_span_context_explicit.then_some(shared),
            collector_endpoint_version: match conf.encoding.value {
                ZipkinEncoding::Json | ZipkinEncoding::JsonForV1 => "HTTP_JSON",
                ZipkinEncoding::Proto => "HTTP_PROTO",
            },
            split_spans_for_request: conf.split_spans.then_some(true),
            trace_context_option: is_w3c.then_some("USE_B3_WITH_W3C_PROPAGATION"),
            collector_hostname: &collector.authority,
        }
    }
}
