//! `envoy.tracers.opentelemetry`.

use std::borrow::Cow;

use serde::Serialize;

use super::cluster::duration;
use crate::ir::{Collector, OpenTelemetry};

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
    /// The provider that sends spans of `service` to `cluster`.
    pub(super) fn of(conf: &'a OpenTelemetry, collector: &Collector, cluster: &'a str, service: &'a str) -> Self {
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
        }
    }
}
