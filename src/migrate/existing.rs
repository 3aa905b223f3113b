//! The parts of a `MeshTrace` of the tree, as another one has them.

use serde_json::{Map, Value, json};

use super::field::{self, present};
use crate::resource::kinds::mesh_trace::{Backend, OpenTelemetryBackend, Sampling, Tag, TagValue};

/// An entry of `backends`.
pub(super) fn backend(backend: &Backend) -> Value {
    match backend {
        Backend::Zipkin(zipkin) => {
            let flags = [zipkin.trace_id_128bit.as_ref(), zipkin.shared_span_context.as_ref()];
            field::zipkin(&zipkin.written, zipkin.api_version.as_ref(), flags)
        }
        Backend::Datadog(datadog) => field::datadog(&datadog.written, datadog.split_service.as_ref()),
        Backend::OpenTelemetry(backend) => {
            let conf = match backend {
                OpenTelemetryBackend::Endpoint { written, .. } => json!({"endpoint": written.as_str()}),
                OpenTelemetryBackend::BackendRef { labels } => {
                    let labels = labels
                        .value
                        .iter()
                        .map(|(key, value)| (key.to_string(), json!(value.value.as_str())));
                    let labels: Map<String, Value> = labels.collect();
                    json!({"backendRef": {"kind": "MeshOpenTelemetryBackend", "labels": labels}})
                }
            };
            json!({"type": "OpenTelemetry", "openTelemetry": conf})
        }
    }
}

/// The percentages of `sampling` that are written.
pub(super) fn shares(sampling: &Sampling) -> [(&'static str, Option<Value>); 3] {
    let shares = [
        ("overall", &sampling.overall),
        ("client", &sampling.client),
        ("random", &sampling.random),
    ];
    shares.map(|(key, percent)| (key, percent.as_ref().map(|percent| field::share(percent.value))))
}

/// The list `tags`.
pub(super) fn tags(tags: &[Tag]) -> Value {
    let tag = |tag: &Tag| {
        let (key, value) = match &tag.value {
            TagValue::Literal(value) => ("literal", json!(value.value.as_str())),
            TagValue::Header { name, default } => {
                let default = default.as_ref().map(|default| json!(default.value.as_str()));
                (
                    "header",
                    present([("name", Some(json!(name.value.as_str()))), ("default", default)]),
                )
            }
        };
        json!({"name": tag.name.value.as_str(), key: value})
    };
    Value::Array(tags.iter().map(tag).collect())
}
