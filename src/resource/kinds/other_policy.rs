//! Policies that configure proxies in other ways than tracing: their kinds, and the dataplanes that they apply to.
//!
//! Nothing else of them is decoded or checked. A policy whose dataplanes cannot be decoded counts for all of its mesh.

use crate::kuma::Version;
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::Decoder;
use crate::resource::document::envelope::Body;
use crate::resource::document::header::Header;
use crate::resource::document::kind::Kind;
use crate::resource::kinds::target_ref::{self, TargetRef};
use crate::resource::value::feature::Feature;
use crate::resource::value::tags::{self, Selector, Service};

/// A policy that configures proxies in another way than tracing.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherPolicy {
    /// Type, mesh, name and labels.
    pub header: Header,
    /// The feature that the policy configures.
    pub feature: Feature,
    /// The dataplanes that the policy applies to.
    pub reach: Reach,
}

/// The dataplanes that a policy applies to.
#[derive(Debug, Clone, PartialEq)]
pub enum Reach {
    /// Dataplanes that a selector matches.
    Selectors(Vec<Selector>),
    /// Dataplanes of a `targetRef`.
    Target(TargetRef),
    /// All dataplanes of the mesh.
    Mesh,
}

/// The place of the dataplanes in a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// A list of selectors with this key.
    Selectors(&'static str),
    /// `spec.targetRef`.
    TargetRef,
    /// None: the policy applies to all of its mesh.
    None,
}

/// A kind of policies that configure proxies in other ways than tracing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::resource) struct OtherKind {
    pub(in crate::resource) name: &'static str,
    feature: Feature,
    field: Field,
}

const fn older(name: &'static str, feature: Feature, key: &'static str) -> OtherKind {
    let field = Field::Selectors(key);
    OtherKind { name, feature, field }
}

const fn newer(name: &'static str, feature: Feature) -> OtherKind {
    let field = Field::TargetRef;
    OtherKind { name, feature, field }
}

const KINDS: [OtherKind; 25] = [
    older("CircuitBreaker", Feature::Traffic, "sources"),
    older("FaultInjection", Feature::Traffic, "destinations"),
    older("HealthCheck", Feature::Traffic, "sources"),
    older("OPAPolicy", Feature::Permissions, "selectors"),
    older("ProxyTemplate", Feature::Patches, "selectors"),
    older("RateLimit", Feature::Traffic, "destinations"),
    older("Retry", Feature::Traffic, "sources"),
    older("Timeout", Feature::Traffic, "sources"),
    older("TrafficLog", Feature::Telemetry, "sources"),
    older("TrafficPermission", Feature::Permissions, "destinations"),
    newer("MeshAccessLog", Feature::Telemetry),
    newer("MeshCircuitBreaker", Feature::Traffic),
    newer("MeshFaultInjection", Feature::Traffic),
    newer("MeshGlobalRateLimit", Feature::Traffic),
    newer("MeshHealthCheck", Feature::Traffic),
    OtherKind {
        name: "MeshIdentity",
        feature: Feature::Mtls,
        field: Field::None,
    },
    newer("MeshLoadBalancingStrategy", Feature::Traffic),
    newer("MeshMetric", Feature::Telemetry),
    newer("MeshOPA", Feature::Permissions),
    newer("MeshProxyPatch", Feature::Patches),
    newer("MeshRateLimit", Feature::Traffic),
    newer("MeshRetry", Feature::Traffic),
    newer("MeshTLS", Feature::Mtls),
    newer("MeshTimeout", Feature::Traffic),
    newer("MeshTrafficPermission", Feature::Permissions),
];

impl OtherKind {
    /// The kind with the given name, if that version of Kuma has it.
    pub(in crate::resource) fn find(name: &str, version: Version) -> Option<Self> {
        let kind = KINDS.into_iter().find(|kind| kind.name == name)?;
        (version < Version::V3_0 || kind.is_newer()).then_some(kind)
    }

    fn is_newer(self) -> bool {
        !matches!(self.field, Field::Selectors(_))
    }

    /// The compiled kind whose documents have the same envelope.
    pub(in crate::resource) fn envelope(self) -> Kind {
        if self.is_newer() {
            Kind::MeshTrace
        } else {
            Kind::TrafficTrace
        }
    }
}

/// Decodes the dataplanes that a policy applies to. The decoder's findings are dropped by the caller.
pub(in crate::resource) fn decode(
    unheard: &mut Decoder,
    context: &Context,
    kind: OtherKind,
    header: Header,
    body: Option<&Body>,
) -> OtherPolicy {
    let before = unheard.errors();
    let root = body.and_then(|body| body.open(unheard));
    let reach = root.and_then(|root| match kind.field {
        Field::Selectors(key) => Some(Reach::Selectors(tags::selectors(
            unheard,
            &root,
            key,
            Service::Optional,
        ))),
        Field::TargetRef => {
            let raw = target_ref::shape(unheard, context, &root, "targetRef");
            target_ref::meaning(unheard, context, raw, true).map(Reach::Target)
        }
        Field::None => None,
    });
    OtherPolicy {
        header,
        feature: kind.feature,
        reach: reach.filter(|_| unheard.errors() == before).unwrap_or(Reach::Mesh),
    }
}
