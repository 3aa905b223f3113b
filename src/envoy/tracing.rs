//! `HttpConnectionManager.tracing`.

use serde::Serialize;
use serde_json::{Value, json};

use super::datadog::DatadogConfig;
use super::file_text::FileText;
use super::opentelemetry::OpenTelemetryConfig;
use super::shape::{SamplingChange, Shaped};
use super::share::{Amount, fraction};
use super::xds;
use super::zipkin::ZipkinConfig;
use crate::ir::{Export, Listener, Provider, Proxy, Tag, TagValue};
use crate::keep::Text;
use crate::resource::Effective;
use crate::resource::value::percent::Percent;
use crate::spans::RequestId;

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

impl Share {
    /// The share, unless it is the default.
    fn of(share: &Effective<Percent>) -> Option<Self> {
        share.is_written().then(|| Self {
            value: Amount::of(share.value),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct CustomTag<'a> {
    tag: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    literal: Option<Literal<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_header: Option<WithDefault<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<WithDefault<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Literal<'a> {
    value: &'a str,
}

/// A header or a variable.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct WithDefault<'a> {
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
        let (cluster, additions) = (export.cluster_name.as_str(), &*proxy.additions);
        let (name, typed_config) = match &export.provider {
            Provider::Zipkin(conf) => {
                let config = ZipkinConfig::of(conf, &export.collector, cluster, additions);
                ("envoy.tracers.zipkin", Config::Zipkin(config))
            }
            Provider::Datadog(conf) => {
                let config = DatadogConfig::of(conf, cluster, reports_as);
                ("envoy.tracers.datadog", Config::Datadog(config))
            }
            Provider::OpenTelemetry(conf) => {
                let config = OpenTelemetryConfig::of(conf, (export, proxy), reports_as);
                ("envoy.tracers.opentelemetry", Config::OpenTelemetry(config))
            }
        };
        ProviderMessage { name, typed_config }
    };
    // The sampler is asked for requests that the connection manager would trace.
    let shares = Some(&tracer.sampling).filter(|_| proxy.sampler().is_none());
    Some(Tracing {
        client_sampling: shares.and_then(|shares| Share::of(&shares.client)),
        random_sampling: shares.and_then(|shares| Share::of(&shares.random)),
        overall_sampling: shares.and_then(|shares| Share::of(&shares.overall)),
        custom_tags: proxy.tags().map(custom_tag).collect(),
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

/// The fields of a connection manager by which ids of requests stay as they came.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct RequestIds {
    #[serde(skip_serializing_if = "Option::is_none")]
    preserve_external_request_id: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id_extension: Option<Value>,
}

/// The treatment of ids of requests that come through a listener; nothing is set where Envoy's own is wanted, or nothing is traced.
///
/// Envoy samples by the id, and has no other number to sample by. Where it samples all requests, or leaves the decision to a sampler, the id can be
/// left out of it, so that requests whose id is no UUID are traced as well. It then looks neither at routes nor at the runtime, so this is for
/// a sidecar alone, whose routes are known; `sidecar` has the way of its changes of the sampling.
pub(super) fn request_ids(proxy: &Proxy, listener: &Listener, sidecar: Option<SamplingChange>) -> RequestIds {
    let (Some(tracer), Some(_)) = (&proxy.tracer, &listener.reports_as) else {
        return RequestIds::default();
    };
    let asked = proxy.additions.request_id.as_ref().map(|asked| asked.value);
    if asked != Some(RequestId::Keep) {
        return RequestIds::default();
    }
    let shares = [
        &tracer.sampling.overall,
        &tracer.sampling.random,
        &tracer.sampling.client,
    ];
    let are_all_traced = shares.iter().all(|share| share.value == Percent::HUNDRED);
    let is_undecided = match sidecar {
        Some(SamplingChange::Drain) => are_all_traced || proxy.sampler().is_some(),
        Some(SamplingChange::Hitless) => proxy.sampler().is_some(),
        None => false,
    };
    let is_left_out = is_undecided && proxy.additions.untraced.is_empty();
    RequestIds {
        preserve_external_request_id: Some(true),
        request_id_extension: Some(json!({"typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
            "pack_trace_reason": false,
            "use_request_id_for_trace_sampling": !is_left_out,
        }})),
    }
}

/// The text of `xds/rtds.yaml` with the sampling of a proxy.
pub(super) fn rtds(proxy: &Proxy) -> FileText {
    xds::runtime(&runtime(proxy)).into()
}

/// The keys of Envoy's runtime that have the sampling of a proxy.
fn runtime(proxy: &Proxy) -> Value {
    let Some(tracer) = &proxy.tracer else { return json!({}) };
    let share = |share: &Effective<Percent>| match Amount::of(share.value) {
        _ if proxy.sampler().is_some() => json!(100),
        Amount::Whole(percent) => json!(percent),
        Amount::Fraction(_) => fraction(share.value),
    };
    json!({
        "tracing.client_enabled": share(&tracer.sampling.client),
        "tracing.random_sampling": share(&tracer.sampling.random),
        "tracing.global_enabled": share(&tracer.sampling.overall),
    })
}

fn custom_tag(tag: &Tag) -> CustomTag<'_> {
    let mut message = CustomTag {
        tag: &tag.name,
        literal: None,
        request_header: None,
        environment: None,
        metadata: None,
    };
    fn with_default<'a>(name: &'a str, default: &'a Option<Text>) -> WithDefault<'a> {
        let default_value = default.as_deref().filter(|default| !default.is_empty());
        WithDefault { name, default_value }
    }
    match &tag.value {
        TagValue::Literal(value) => message.literal = Some(Literal { value }),
        TagValue::Header { name, default } => message.request_header = Some(with_default(name, default)),
        TagValue::Environment { name, default } => message.environment = Some(with_default(name, default)),
        TagValue::Metadata { place, default } => {
            let path = place.path.iter().map(|key| json!({"key": key}));
            let mut metadata = json!({
                "kind": {place.kind.as_str(): {}},
                "metadata_key": {"key": place.key, "path": path.collect::<Vec<_>>()},
            });
            if let Some(default) = default {
                metadata["default_value"] = json!(default);
            }
            message.metadata = Some(metadata);
        }
    }
    message
}
