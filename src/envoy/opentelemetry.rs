//! `envoy.tracers.opentelemetry`.

use serde_json::{Value, json};

use crate::ir::OpenTelemetry;

/// The provider that sends spans of `service` to `cluster`.
pub(super) fn provider(conf: &OpenTelemetry, cluster: &str, service: &str) -> Value {
    let mut config = json!({
        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        "service_name": service,
    });
    match conf {
        OpenTelemetry::Grpc => config["grpc_service"] = json!({"envoy_grpc": {"cluster_name": cluster}}),
        OpenTelemetry::Http { uri } => {
            let uri = json!({"uri": uri, "cluster": cluster, "timeout": "10s"});
            config["http_service"] = json!({"http_uri": uri});
        }
    }
    json!({"name": "envoy.tracers.opentelemetry", "typed_config": config})
}
