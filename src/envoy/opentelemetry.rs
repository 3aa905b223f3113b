//! `envoy.tracers.opentelemetry`.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::cluster::duration;
use super::share::fraction;
use crate::ir::{Additions, Export, OpenTelemetry, Proxy};
use crate::resource::value::percent::Percent;
use crate::spans::Sampler;

/// The provider that sends spans by OpenTelemetry's protocol.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct OpenTelemetryConfig<'a> {
    #[serde(rename = "@type")]
    type_url: &'static str,
    service_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_service: Option<GrpcService<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_service: Option<HttpService<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resource_detectors: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampler: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct GrpcService<'a> {
    envoy_grpc: EnvoyGrpc<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct EnvoyGrpc<'a> {
    cluster_name: &'a str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct HttpService<'a> {
    http_uri: HttpUri<'a>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct HttpUri<'a> {
    uri: &'a str,
    cluster: &'a str,
    timeout: Cow<'static, str>,
}

impl<'a> OpenTelemetryConfig<'a> {
    /// The provider that sends spans of `service` to `cluster`, as the export of the proxy asks for.
    pub(super) fn of(conf: &'a OpenTelemetry, (export, proxy): (&'a Export, &Proxy), service: &'a str) -> Self {
        let (collector, cluster) = (&export.collector, export.cluster_name.as_str());
        let timeout = collector.timeout.as_ref().map(|timeout| duration(timeout.value));
        let (grpc_service, http_service) = match conf {
            OpenTelemetry::Grpc => {
                let envoy_grpc = EnvoyGrpc { cluster_name: cluster };
                (Some(GrpcService { envoy_grpc, timeout }), None)
            }
            OpenTelemetry::Http { uri } => {
                let http_uri = HttpUri {
                    uri,
                    cluster,
                    timeout: timeout.map_or(Cow::Borrowed("10s"), Cow::Owned),
                };
                (None, Some(HttpService { http_uri }))
            }
        };
        Self {
            type_url: "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
            service_name: service,
            grpc_service,
            http_service,
            resource_detectors: resource_detectors(&proxy.additions),
            sampler: sampler(proxy),
        }
    }
}

/// The detectors of resource attributes; of two that find the same attribute, the last one counts.
fn resource_detectors(additions: &Additions) -> Vec<Value> {
    let detector = |name: &str, config: Value| json!({"name": format!("{DETECTORS}.{name}"), "typed_config": config});
    let package = "type.googleapis.com/envoy.extensions.tracers.opentelemetry.resource_detectors.v3";
    let environment = || {
        let config = json!({"@type": format!("{package}.EnvironmentResourceDetectorConfig")});
        detector("environment", config)
    };
    let fixed = || {
        let attributes = additions.resource_attributes.iter();
        let attributes: Map<String, Value> = attributes
            .map(|(name, value)| (name.clone(), json!(value.value)))
            .collect();
        let config =
            json!({"@type": format!("{package}.StaticConfigResourceDetectorConfig"), "attributes": attributes});
        detector("static_config", config)
    };
    let detects = additions.detects_environment.is_some().then(environment);
    let is_fixed = !additions.resource_attributes.is_empty();
    detects.into_iter().chain(is_fixed.then(fixed)).collect()
}

const DETECTORS: &str = "envoy.tracers.opentelemetry.resource_detectors";

/// The sampler with the percentage of the policies. Envoy's own two shares decide by one number, so the smaller one is both.
fn sampler(proxy: &Proxy) -> Option<Value> {
    let (sampler, sampling) = (proxy.sampler()?.value, &proxy.tracer.as_ref()?.sampling);
    let percent = sampling.overall.value.get().min(sampling.random.value.get());
    let percent = Percent::new(percent).unwrap_or(Percent::HUNDRED);
    let extension = |name: &str, kind: &str, mut config: Value| {
        let package = "type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3";
        config["@type"] = json!(format!("{package}.{kind}"));
        json!({"name": format!("envoy.tracers.opentelemetry.samplers.{name}"), "typed_config": config})
    };
    let ratio = extension(
        "trace_id_ratio_based",
        "TraceIdRatioBasedSamplerConfig",
        json!({"@type": "", "sampling_percentage": fraction(percent)}),
    );
    Some(match sampler {
        Sampler::TraceIdRatio => ratio,
        Sampler::ParentBased => extension(
            "parent_based",
            "ParentBasedSamplerConfig",
            json!({"@type": "", "wrapped_sampler": ratio}),
        ),
    })
}
