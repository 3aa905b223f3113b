//! `envoy.tracers.datadog`.

use serde_json::{Value, json};

use crate::ir::Datadog;

/// The provider that sends spans of `service` to `cluster`.
pub(super) fn provider(conf: &Datadog, cluster: &str, service: &str) -> Value {
    let mut config = json!({
        "@type": "type.googleapis.com/envoy.config.trace.v3.DatadogConfig",
        "collector_cluster": cluster,
        "service_name": service,
    });
    if let Some(hostname) = &conf.collector_hostname {
        config["collector_hostname"] = json!(hostname);
    }
    json!({"name": "envoy.tracers.datadog", "typed_config": config})
}
