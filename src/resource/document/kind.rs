//! The kinds of Kuma, and the recognition of its documents.

use crate::diag::{Code, Diagnostic};
use crate::kuma::Version;
use crate::words::closest;
use crate::yaml::{Entry, Map};

/// A kind that is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Kuma's")]
pub enum Kind {
    Dataplane,
    ExternalService,
    Mesh,
    MeshExternalService,
    MeshGateway,
    MeshHttpRoute,
    MeshMultiZoneService,
    MeshOpenTelemetryBackend,
    MeshService,
    MeshTcpRoute,
    MeshTrace,
    TrafficRoute,
    TrafficTrace,
}

impl Kind {
    /// All compiled kinds.
    pub const ALL: [Self; 13] = [
        Self::Dataplane,
        Self::ExternalService,
        Self::Mesh,
        Self::MeshExternalService,
        Self::MeshGateway,
        Self::MeshHttpRoute,
        Self::MeshMultiZoneService,
        Self::MeshOpenTelemetryBackend,
        Self::MeshService,
        Self::MeshTcpRoute,
        Self::MeshTrace,
        Self::TrafficRoute,
        Self::TrafficTrace,
    ];

    /// The kinds that do not affect tracing.
    pub const OTHER: [&str; 56] = [
        "AccessAudit",
        "AccessRole",
        "AccessRoleBinding",
        "CircuitBreaker",
        "Config",
        "ContainerPatch",
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
        "MeshGlobalRateLimit",
        "MeshHealthCheck",
        "MeshIdentity",
        "MeshInsight",
        "MeshLoadBalancingStrategy",
        "MeshMetric",
        "MeshOPA",
        "MeshPassthrough",
        "MeshProxyPatch",
        "MeshRateLimit",
        "MeshRetry",
        "MeshTLS",
        "MeshTimeout",
        "MeshTrafficPermission",
        "MeshTrust",
        "MeshZoneAddress",
        "OPAPolicy",
        "ProxyTemplate",
        "RateLimit",
        "Retry",
        "Secret",
        "ServiceInsight",
        "ServiceOverview",
        "Timeout",
        "TrafficLog",
        "TrafficPermission",
        "VirtualOutbound",
        "Workload",
        "Zone",
        "ZoneEgress",
        "ZoneEgressInsight",
        "ZoneEgressOverview",
        "ZoneIngress",
        "ZoneIngressInsight",
        "ZoneIngressOverview",
        "ZoneInsight",
        "ZoneOverview",
    ];

    /// The name of the kind in Kuma.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dataplane => "Dataplane",
            Self::ExternalService => "ExternalService",
            Self::Mesh => "Mesh",
            Self::MeshExternalService => "MeshExternalService",
            Self::MeshGateway => "MeshGateway",
            Self::MeshHttpRoute => "MeshHTTPRoute",
            Self::MeshMultiZoneService => "MeshMultiZoneService",
            Self::MeshOpenTelemetryBackend => "MeshOpenTelemetryBackend",
            Self::MeshService => "MeshService",
            Self::MeshTcpRoute => "MeshTCPRoute",
            Self::MeshTrace => "MeshTrace",
            Self::TrafficRoute => "TrafficRoute",
            Self::TrafficTrace => "TrafficTrace",
        }
    }

    /// Whether the kind is one of the newer ones, whose fields are under `spec` in either form and checked by a
    /// schema.
    #[must_use]
    pub fn is_target(self) -> bool {
        match self {
            Self::Dataplane
            | Self::ExternalService
            | Self::Mesh
            | Self::MeshGateway
            | Self::TrafficRoute
            | Self::TrafficTrace => false,
            Self::MeshExternalService
            | Self::MeshHttpRoute
            | Self::MeshMultiZoneService
            | Self::MeshOpenTelemetryBackend
            | Self::MeshService
            | Self::MeshTcpRoute
            | Self::MeshTrace => true,
        }
    }

    /// Whether a field `mesh` must name the mesh, in either form.
    #[must_use]
    pub fn names_its_mesh(self) -> bool {
        self != Self::Mesh && !self.is_target()
    }

    /// Whether the Kubernetes form has a namespace.
    pub(in crate::resource) fn is_namespaced(self) -> bool {
        self.is_target() || self == Self::Dataplane
    }

    /// The help text for a kind that the given version of Kuma does not have; `None` when it has the kind.
    fn missing_in(self, version: Version) -> Option<&'static str> {
        match self {
            Self::MeshOpenTelemetryBackend if version < Version::V2_14 => Some(
                "Kuma has it from 2.14 on: `kuma: {version: \"2.14\"}` in the settings, or `openTelemetry.endpoint`",
            ),
            Self::TrafficTrace if version >= Version::V3_0 => Some(
                "Kuma 3.0 dropped it: `meshtraced migrate` writes a `MeshTrace` in its place; or keep `kuma: {version: \"2.14\"}` in the settings",
            ),
            Self::TrafficRoute | Self::ExternalService | Self::MeshGateway if version >= Version::V3_0 => {
                Some("Kuma 3.0 dropped it: remove it, or keep `kuma: {version: \"2.14\"}` in the settings")
            }
            _ => None,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The two forms of a resource document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The universal form, with `type`, `mesh` and `name` at the top.
    Universal,
    /// The Kubernetes form, with `apiVersion`, `kind`, `metadata` and `spec`.
    Kubernetes,
}

/// The classification of a document.
pub(in crate::resource) enum Found {
    /// A resource of a compiled kind.
    Kind(Kind, Form),
    /// A resource of a kind without effect on tracing.
    Other(&'static str, Form),
    /// A document that is none of Kuma's.
    Foreign,
    /// A document that is probably meant as a resource of a compiled kind.
    Invalid(Box<Diagnostic>),
}

impl Found {
    /// Whether the document is, or is meant as, a resource of a compiled kind.
    pub(in crate::resource) fn affects_tracing(&self) -> bool {
        matches!(self, Self::Kind(..) | Self::Invalid(_))
    }
}

/// Whether a word is the name of a compiled kind.
pub(in crate::resource) fn matters(word: &str) -> bool {
    Kind::parse(word).is_some()
}

/// The classification of a document with the given top-level fields.
pub(in crate::resource) fn of(map: &Map, version: Version) -> Found {
    match (map.get("type"), map.get("apiVersion"), map.get("kind")) {
        (None, Some(api_version), Some(kind)) => kubernetes(api_version, kind, version),
        (Some(kind), ..) => universal(kind, map, version),
        (None, None, Some(kind)) if is_ours(kind) => {
            let message = "`apiVersion` is missing, or this is `type` in the universal form";
            let help = "write `apiVersion: kuma.io/v1alpha1` above it; or `type` in place of `kind`, and `mesh` and `name` beside it";
            let error = Diagnostic::error(Code::MissingField, &kind.key_at, message);
            Found::Invalid(Box::new(error.path("apiVersion").help(help)))
        }
        (None, ..) => misspelled(map),
    }
}

/// A document in which a key near `type` or `kind` has the name of a compiled kind.
fn misspelled(map: &Map) -> Found {
    let is_near = |entry: &&Entry| closest(&entry.key.text, ["type", "kind"]).is_some();
    match map.entries.iter().find(|entry| is_near(entry) && is_ours(entry)) {
        Some(entry) => {
            let written = &entry.key.text;
            let meant = closest(written, ["type", "kind"]).unwrap_or("type");
            let message = format!("Kuma has no field `{written}` here, so this document has no type");
            let error = Diagnostic::error(Code::UnknownField, &entry.key_at, message);
            invalid(error.help(format!("did you mean `{meant}`?")), entry)
        }
        None => Found::Foreign,
    }
}

/// Whether the value of a field is the name of a compiled kind.
fn is_ours(entry: &Entry) -> bool {
    entry.value.text().is_some_and(matters)
}

fn universal(entry: &Entry, map: &Map, version: Version) -> Found {
    let Some(name) = entry.value.text() else {
        return Found::Foreign;
    };
    if let Some(kind) = Kind::parse(name) {
        return of_version(kind, Form::Universal, entry, version);
    }
    // Many formats have the fields `type` and `name`. A field `mesh`, or a word close to the name of one of Kuma's
    // kinds, makes a document Kuma's.
    let is_named = map.get("name").is_some();
    let is_near = || closest(name, Kind::ALL.iter().map(|kind| kind.as_str()).chain(Kind::OTHER)).is_some();
    if !(map.get("mesh").is_some() || (is_named && is_near())) {
        return Found::Foreign;
    }
    if let Some(name) = other(name) {
        return overview(name, entry).unwrap_or(Found::Other(name, Form::Universal));
    }
    unknown(name, "type", entry)
}

fn wrong_version(written: &str, entry: &Entry) -> Found {
    let message = format!("`apiVersion` is `{written}`; it must be `kuma.io/v1alpha1`");
    let error = Diagnostic::error(Code::UnknownValue, &entry.value.at, message);
    invalid(error.help("write `apiVersion: kuma.io/v1alpha1`"), entry)
}

fn kubernetes(api_entry: &Entry, entry: &Entry, version: Version) -> Found {
    let (Some(api_version), Some(name)) = (api_entry.value.text(), entry.value.text()) else {
        return Found::Foreign;
    };
    if !api_version.starts_with("kuma.io/") {
        let group = api_version.split('/').next().unwrap_or_default();
        let is_near = closest(group, ["kuma.io"]).is_some() && matters(name);
        return if is_near {
            wrong_version(api_version, api_entry)
        } else {
            Found::Foreign
        };
    }
    if let Some(name) = other(name) {
        return Found::Other(name, Form::Kubernetes);
    }
    match Kind::parse(name) {
        Some(kind) => of_version(kind, Form::Kubernetes, entry, version),
        None => unknown(name, "kind", entry),
    }
}

/// The error about a report that a control plane makes of a dataplane, and that is no dataplane.
fn overview(name: &str, entry: &Entry) -> Option<Found> {
    if name != "DataplaneOverview" {
        return None;
    }
    let message = "a DataplaneOverview is a report of a control plane, with the Dataplane inside";
    let error = Diagnostic::error(Code::UnknownType, &entry.value.at, message);
    Some(invalid(
        error.help("export the Dataplane itself: `kumactl get dataplane NAME -o yaml`"),
        entry,
    ))
}

/// The kind without effect on tracing that has the given name. A list is no resource itself.
fn other(name: &str) -> Option<&'static str> {
    Kind::OTHER.into_iter().find(|other| *other == name)
}

fn of_version(kind: Kind, form: Form, entry: &Entry, version: Version) -> Found {
    let Some(help) = kind.missing_in(version) else {
        return Found::Kind(kind, form);
    };
    let message = format!("Kuma {version} has no resource type `{}`", kind.as_str());
    invalid(
        Diagnostic::error(Code::UnknownType, &entry.value.at, message).help(help),
        entry,
    )
}

fn unknown(name: &str, noun: &str, entry: &Entry) -> Found {
    let known = Kind::ALL.iter().map(|kind| kind.as_str()).chain(Kind::OTHER);
    let message = format!("Kuma has no resource {noun} `{name}`");
    let diagnostic = Diagnostic::error(Code::UnknownType, &entry.value.at, message);
    let diagnostic = match closest(name, known) {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
        None => diagnostic.help("if this is not a Kuma resource, move it out of the policies"),
    };
    invalid(diagnostic, entry)
}

fn invalid(diagnostic: Diagnostic, entry: &Entry) -> Found {
    Found::Invalid(Box::new(diagnostic.path(&*entry.key.text)))
}
