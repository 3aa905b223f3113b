//! `envoy.tracers.datadog`.

use serde_json::{Value, json};

use crate::ir::Collector;
use crate::kuma::Fidelity;

/// The provider that sends to `cluster` spans of the service `service`.
pub(super) fn provider(collector: &Collector, cluster: &str, service: &str, fidelity: Fidelity) -> Value {
    let mut config = json!({
        "@type": "type.googleapis.com/envoy.config.trace.v3.DatadogConfig",
        "collector_cluster": cluster,
        "service_name": service,
    });
    // Kuma leaves it out; then `Host` is the name of the cluster, which a strict agent refuses.
    if fidelity == Fidelity::Documented {
        config["collector_hostname"] = json!(collector.authority);
    }
    json!({"name": "envoy.tracers.datadog", "typed_config": config})
}
