//! Which documents are Kuma's, and which of those are compiled.

use super::closest;
use crate::diag::{Code, Diagnostic};
use crate::yaml::{Entry, Map, Value};

/// A kind that is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Mesh,
    TrafficTrace,
    TrafficRoute,
    Dataplane,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Mesh, Self::TrafficTrace, Self::TrafficRoute, Self::Dataplane];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Mesh => "Mesh",
            Self::TrafficTrace => "TrafficTrace",
            Self::TrafficRoute => "TrafficRoute",
            Self::Dataplane => "Dataplane",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Kinds that change what is traced and that this version does not compile.
const NOT_YET: [&str; 8] = [
    "ExternalService",
    "MeshExternalService",
    "MeshGateway",
    "MeshHTTPRoute",
    "MeshMultiZoneService",
    "MeshOpenTelemetryBackend",
    "MeshTCPRoute",
    "MeshTrace",
];

/// Kinds that have no say in tracing.
const OTHER: [&str; 47] = [
    "AccessAudit",
    "AccessRole",
    "AccessRoleBinding",
    "CircuitBreaker",
    "Config",
    "DataplaneInsight",
    "DataplaneOverview",
    "FaultInjection",
    "GlobalSecret",
    "HealthCheck",
    "HostnameGenerator",
    "List",
    "MeshAccessLog",
    "MeshCircuitBreaker",
    "MeshFaultInjection",
    "MeshGatewayConfig",
    "MeshGatewayInstance",
    "MeshGatewayRoute",
    "MeshHealthCheck",
    "MeshIdentity",
    "MeshInsight",
    "MeshLoadBalancingStrategy",
    "MeshMetric",
    "MeshPassthrough",
    "MeshProxyPatch",
    "MeshRateLimit",
    "MeshRetry",
    "MeshService",
    "MeshTLS",
    "MeshTimeout",
    "MeshTrafficPermission",
    "MeshTrust",
    "ProxyTemplate",
    "RateLimit",
    "Retry",
    "Secret",
    "ServiceInsight",
    "Timeout",
    "TrafficLog",
    "TrafficPermission",
    "VirtualOutbound",
    "Workload",
    "Zone",
    "ZoneEgress",
    "ZoneEgressInsight",
    "ZoneIngress",
    "ZoneInsight",
];

/// What a document is.
pub(super) enum Found {
    /// A resource that is compiled.
    Kind(Kind),
    /// Nothing that concerns tracing.
    Foreign,
    /// Something that should have been a resource that is compiled.
    Refused(Box<Diagnostic>),
}

/// Whether a word names a kind that has a say in tracing.
pub(super) fn matters(word: &str) -> bool {
    Kind::parse(word).is_some() || NOT_YET.contains(&word)
}

/// What the document with these top-level fields is.
pub(super) fn of(map: &Map) -> Found {
    match (map.get("type"), map.get("apiVersion"), map.get("kind")) {
        (_, Some(version), Some(kind)) if map.get("type").is_none() => kubernetes(version, kind),
        (Some(kind), ..) => universal(kind, map),
        (None, ..) => Found::Foreign,
    }
}

fn universal(entry: &Entry, map: &Map) -> Found {
    let Some(name) = text(entry) else { return Found::Foreign };
    if let Some(kind) = Kind::parse(name) {
        return Found::Kind(kind);
    }
    if OTHER.contains(&name) {
        return Found::Foreign;
    }
    let at = &entry.value.at;
    if NOT_YET.contains(&name) {
        let message = format!("this version of meshtraced does not compile `{name}`, and what is traced depends on it");
        let diagnostic = Diagnostic::error(Code::UnsupportedResource, at, message);
        return refused(diagnostic.help("compiled are Mesh, TrafficTrace, TrafficRoute and Dataplane"));
    }
    // Many formats have a `type`; a resource has a name as well.
    if map.get("name").is_none() && map.get("mesh").is_none() {
        return Found::Foreign;
    }
    let known = || Kind::ALL.iter().map(|kind| kind.as_str()).chain(NOT_YET).chain(OTHER);
    let message = format!("Kuma has no resource type `{name}`");
    let diagnostic = Diagnostic::error(Code::UnknownType, at, message);
    refused(match closest(name, known()) {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
        None => diagnostic.help("if this is no Kuma resource, move it out of the policies"),
    })
}

fn kubernetes(version: &Entry, kind: &Entry) -> Found {
    let (Some(version), Some(name)) = (text(version), text(kind)) else {
        return Found::Foreign;
    };
    if !version.starts_with("kuma.io/") || !matters(name) {
        return Found::Foreign;
    }
    let message = format!("this version of meshtraced does not read the Kubernetes form of `{name}`");
    let diagnostic = Diagnostic::error(Code::UnsupportedResource, &kind.value.at, message);
    refused(
        diagnostic
            .help("write the universal form: `type`, `mesh` and `name` at the top, the content of `spec` beside them"),
    )
}

fn refused(diagnostic: Diagnostic) -> Found {
    Found::Refused(Box::new(diagnostic.path("type")))
}

fn text(entry: &Entry) -> Option<&str> {
    match &entry.value.value {
        Value::Scalar(scalar) => Some(&scalar.text),
        Value::List(_) | Value::Map(_) => None,
    }
}
