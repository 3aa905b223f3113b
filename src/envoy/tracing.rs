//! `HttpConnectionManager.tracing`.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::datadog::DatadogConfig;
use super::opentelemetry::OpenTelemetryConfig;
use super::shape::{SamplingChange, Shaped};
use super::xds;
use super::zipkin::ZipkinConfig;
use crate::ir::{Export, Listener, Provider, Proxy, Tag, TagValue};
use crate::resource::Effective;
use crate::resource::value::percent::Percent;

/// The tracing block of a listener.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tracing<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_sampling: Option<Share>,
    #[serde(skip_serializing_if = "Option::is_none")]
    random_sampling: Option<Share>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overall_sampling: Option<Share>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    custom_tags: Vec<CustomTag<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<ProviderMessage<'a>>,
    spawn_upstream_span: bool,
}

/// A percentage, as an integer if it has no fraction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Share {
    value: Amount,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
enum Amount {
    Whole(u64),
    Fraction(f64),
}

impl Share {
    /// The share, unless it is the default.
    fn of(share: &Effective<Percent>) -> Option<Self> {
        share.is_written().then(|| Self {
            value: Amount::of(share.value),
        })
    }
}

impl Amount {
    fn of(percent: Percent) -> Self {
        let value = percent.get();
        if value.fract() == 0.0 {
            Self::Whole(value as u64)
        } else {
            Self::Fraction(value)
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct CustomTag<'a> {
    tag: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    literal: Option<Literal<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_header: Option<Header<'a>>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Literal<'a> {
    value: &'a str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Header<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_value: Option<&'a str>,
}

/// The provider of spans.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct ProviderMessage<'a> {
    name: &'static str,
    typed_config: Config<'a>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
enum Config<'a> {
    Zipkin(ZipkinConfig<'a>),
    Datadog(DatadogConfig<'a>),
    OpenTelemetry(OpenTelemetryConfig<'a>),
}

/// The tracing block of a listener; `None` when the listener is not traced, since Envoy has no switch for it.
#[must_use]
pub fn block<'a>(proxy: &'a Proxy, listener: &'a Listener) -> Option<Tracing<'a>> {
    let (tracer, reports_as) = (proxy.tracer.as_ref()?, listener.reports_as.as_ref()?);
    let provider = |export: &'a Export| {
        let cluster = export.cluster_name.as_str();
        let (name, typed_config) = match &export.provider {
            Provider::Zipkin(conf) => {
                let config = ZipkinConfig::of(conf, &export.collector, cluster);
                ("envoy.tracers.zipkin", Config::Zipkin(config))
            }
            Provider::Datadog(conf) => {
                let config = DatadogConfig::of(conf, cluster, reports_as);
                ("envoy.tracers.datadog", Config::Datadog(config))
            }
            Provider::OpenTelemetry(conf) => {
                let config = OpenTelemetryConfig::of(conf, &export.collector, cluster, reports_as);
                ("envoy.tracers.opentelemetry", Config::OpenTelemetry(config))
            }
        };
        ProviderMessage { name, typed_config }
    };
    Some(Tracing {
        client_sampling: Share::of(&tracer.sampling.client),
        random_sampling: Share::of(&tracer.sampling.random),
        overall_sampling: Share::of(&tracer.sampling.overall),
        custom_tags: tracer.tags.iter().map(custom_tag).collect(),
        provider: tracer.export.as_ref().map(provider),
        spawn_upstream_span: proxy.is_gateway,
    })
}

/// The tracing block of a listener, in the shape of its proxy.
pub(super) fn of_shape<'a>(shaped: &'a Shaped, listener: &'a Listener) -> Option<Tracing<'a>> {
    let block = block(&shaped.proxy, listener)?;
    Some(match shaped.sampling {
        SamplingChange::Drain => block,
        SamplingChange::Hitless => block.without_sampling(),
    })
}

impl Tracing<'_> {
    /// The block for a listener whose sampling is in the runtime. A running Envoy that has no such runtime must not get it: it would
    /// trace every request.
    fn without_sampling(self) -> Self {
        Self {
            client_sampling: None,
            random_sampling: None,
            overall_sampling: None,
            ..self
        }
    }
}

/// The text of `xds/rtds.yaml` with the sampling of a proxy.
pub(super) fn rtds(proxy: &Proxy) -> Arc<str> {
    xds::runtime(&runtime(proxy)).into()
}

/// The keys of Envoy's runtime that have the sampling of a proxy.
fn runtime(proxy: &Proxy) -> Value {
    let Some(tracer) = &proxy.tracer else { return json!({}) };
    let share = |share: &Effective<Percent>| match Amount::of(share.value) {
        Amount::Whole(percent) => json!(percent),
        Amount::Fraction(percent) => {
            json!({"numerator": (percent * 10_000.0).round() as u64, "denominator": "MILLION"})
        }
    };
    json!({
        "tracing.client_enabled": share(&tracer.sampling.client),
        "tracing.random_sampling": share(&tracer.sampling.random),
        "tracing.global_enabled": share(&tracer.sampling.overall),
    })
}

fn custom_tag(tag: &Tag) -> CustomTag<'_> {
    let (literal, request_header) = match &tag.value {
        TagValue::Literal(value) => (Some(Literal { value }), None),
        TagValue::Header { name, default } => {
            let default_value = default.as_deref().filter(|default| !default.is_empty());
            (None, Some(Header { name, default_value }))
        }
    };
    CustomTag {
        tag: &tag.name,
        literal,
        request_header,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_percentages_are_written_whole() {
        let written = |value| serde_json::json!(Amount::of(Percent::new(value).expect("a percentage"))).to_string();
        assert_eq!([written(100.0), written(0.0), written(12.5)], ["100", "0", "12.5"]);
    }
}
