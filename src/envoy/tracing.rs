//! `HttpConnectionManager.tracing`.

use serde_json::{Map, Value, json};

use super::{datadog, opentelemetry, zipkin};
use crate::ir::{Export, Listener, Provider, Proxy, Tag, TagValue};
use crate::resource::value::percent::Percent;

/// The tracing block of a listener; `None` when the listener is not traced, since Envoy has no switch for it.
#[must_use]
pub fn block(proxy: &Proxy, listener: &Listener) -> Option<Value> {
    let (tracer, reports_as) = (proxy.tracer.as_ref()?, listener.reports_as.as_ref()?);
    let mut block = Map::new();
    let shares = [
        ("client_sampling", &tracer.sampling.client),
        ("random_sampling", &tracer.sampling.random),
        ("overall_sampling", &tracer.sampling.overall),
    ];
    for (key, share) in shares {
        if share.is_written() {
            block.insert(key.to_owned(), json!({"value": number(share.value)}));
        }
    }
    if !tracer.tags.is_empty() {
        block.insert("custom_tags".to_owned(), tracer.tags.iter().map(custom_tag).collect());
    }
    if let Some(Export {
        cluster_name: cluster,
        collector,
        provider,
        ..
    }) = &tracer.export
    {
        let provider = match provider {
            Provider::Zipkin(conf) => zipkin::provider(conf, collector, cluster),
            Provider::Datadog(conf) => datadog::provider(conf, cluster, reports_as),
            Provider::OpenTelemetry(conf) => opentelemetry::provider(conf, cluster, reports_as),
        };
        block.insert("provider".to_owned(), provider);
    }
    block.insert("spawn_upstream_span".to_owned(), json!(proxy.is_gateway));
    Some(Value::Object(block))
}

fn custom_tag(tag: &Tag) -> Value {
    match &tag.value {
        TagValue::Literal(value) => json!({"tag": tag.name, "literal": {"value": value}}),
        TagValue::Header { name, default } => {
            let mut header = json!({"name": name});
            if let Some(default) = default.as_ref().filter(|default| !default.is_empty()) {
                header["default_value"] = json!(default);
            }
            json!({"tag": tag.name, "request_header": header})
        }
    }
}

/// A percentage as an integer if it has no fraction.
pub(super) fn number(percent: Percent) -> Value {
    let value = percent.get();
    if value.fract() == 0.0 {
        json!(value as u64)
    } else {
        json!(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_percentages_are_written_whole() {
        let written = |value| number(Percent::new(value).expect("a percentage")).to_string();
        assert_eq!([written(100.0), written(0.0), written(12.5)], ["100", "0", "12.5"]);
    }
}
