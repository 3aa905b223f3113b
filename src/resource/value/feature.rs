//! The features of a Kuma proxy beside tracing, in groups.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A group of features that a control plane gives to a proxy, and that files from the dataplane alone lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// TLS between proxies, and to services outside of the mesh: `mtls` of a Mesh, MeshTLS, MeshIdentity, `tls` of an
    /// ExternalService or MeshExternalService.
    Mtls,
    /// Limits on the callers of a service: TrafficPermission, MeshTrafficPermission, OPAPolicy, MeshOPA.
    Permissions,
    /// Destinations for some requests only, by path or header, and changes of requests: TrafficRoute, MeshHTTPRoute.
    Routes,
    /// Changes of the Envoy configuration itself: ProxyTemplate, MeshProxyPatch.
    Patches,
    /// Timeouts, retries, health checks, circuit breakers, rate limits, faults, load balancing.
    Traffic,
    /// Access logs and metrics.
    Telemetry,
}

impl Feature {
    /// The name in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mtls => "mtls",
            Self::Permissions => "permissions",
            Self::Routes => "routes",
            Self::Patches => "patches",
            Self::Traffic => "traffic",
            Self::Telemetry => "telemetry",
        }
    }

    /// Whether a proxy without the feature loses protection, sends requests elsewhere, or is not what somebody wrote
    /// down for it to the last field.
    #[must_use]
    pub fn is_vital(self) -> bool {
        match self {
            Self::Mtls | Self::Permissions | Self::Routes | Self::Patches => true,
            Self::Traffic | Self::Telemetry => false,
        }
    }
}
