//! `envoy.tracers.datadog`.

use serde::Serialize;

use crate::ir::Datadog;

/// The provider that sends spans to an agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct DatadogConfig<'a> {
    #[serde(rename = "@type")]
    type_url: &'static str,
    collector_cluster: &'a str,
    service_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    collector_hostname: Option<&'a str>,
}

impl<'a> DatadogConfig<'a> {
    /// The provider that sends spans of `service` to `cluster`.
    pub(super) fn of(conf: &'a Datadog, cluster: &'a str, service: &'a str) -> Self {
        Self {
            type_url: "type.googleapis.com/envoy.config.trace.v3.DatadogConfig",
            collector_cluster: cluster,
            service_name: service,
            collector_hostname: conf.collector_hostname.as_deref(),
        }
    }
}
