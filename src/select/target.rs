//! The match between a policy with a `targetRef` and a dataplane.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::keep::Text;
use crate::resource::kinds::dataplane::{Dataplane, GatewayKind};
use crate::resource::kinds::mesh_gateway::MeshGateway;
use crate::resource::kinds::mesh_route::MeshRoute;
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::kinds::target_ref::{ProxyType, Target, TargetRef};
use crate::resource::value::tags::{SERVICE, Selector, Tags};
use crate::resource::{Header, NAMESPACE, Role, TextMap};

/// A policy with a `targetRef`.
pub trait Targeting {
    /// Type, mesh, name and labels.
    fn header(&self) -> &Header;
    /// The dataplanes that the policy selects.
    fn target(&self) -> &TargetRef;
}

impl Targeting for MeshTrace {
    fn header(&self) -> &Header {
        &self.header
    }

    fn target(&self) -> &TargetRef {
        &self.target
    }
}

impl Targeting for MeshRoute {
    fn header(&self) -> &Header {
        &self.header
    }

    fn target(&self) -> &TargetRef {
        &self.target
    }
}

/// Sorts policies, which are in the order of their names, by increasing precedence as a control plane does.
///
/// [`precedence`] is not transitive: a policy for all dataplanes ties with one by name and with one by labels. The
/// result depends on the sorting algorithm, which is therefore the control plane's.
pub(super) fn sort<P: Targeting>(policies: &mut [Arc<P>]) {
    for i in 1..policies.len() {
        let mut j = i;
        while j > 0 && by_strength(&*policies[j], &*policies[j - 1]) == Ordering::Less {
            policies.swap(j, j - 1);
            j -= 1;
        }
    }
}

/// The order of two policies by increasing precedence.
#[must_use]
pub fn by_strength<P: Targeting>(a: &P, b: &P) -> Ordering {
    precedence(a, b).then_with(|| b.header().display_name.cmp(&a.header().display_name))
}

/// The order of precedence of two policies, without their names.
#[must_use]
pub fn precedence<P: Targeting>(a: &P, b: &P) -> Ordering {
    let kind = |policy: &P| policy.target().target.kind();
    kind(a)
        .cmp(&kind(b))
        .then_with(|| by_dataplane(&a.target().target, &b.target().target))
        .then_with(|| a.header().origin_precedence().cmp(&b.header().origin_precedence()))
        .then_with(|| a.header().role().cmp(&b.header().role()))
}

/// Orders targets of kind `Dataplane`: one by name is narrower than one by labels.
fn by_dataplane(a: &Target, b: &Target) -> Ordering {
    let by = |target: &Target| match target {
        Target::Dataplane { name: Some(_), .. } => Some(2),
        Target::Dataplane { labels: Some(_), .. } => Some(1),
        Target::Dataplane { .. } | Target::Mesh { .. } | Target::Service { .. } | Target::Gateway { .. } => None,
    };
    match (by(a), by(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => Ordering::Equal,
    }
}

/// The reason why a policy does not match a dataplane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch<'a> {
    /// The policy has the effect `shadow`, and so no effect on proxies.
    Shadow,
    /// The policy belongs to another zone.
    Zone(&'a str),
    /// The policy applies to dataplanes of its own namespace only.
    Namespace(&'a str),
    /// The policy applies to proxies of another type.
    ProxyType,
    /// The policy applies to dataplanes without a gateway, and a `MeshGateway` governs this one.
    IsGateway,
    /// The policy applies to gateways, and no `MeshGateway` governs this one.
    NoGateway,
    /// The policy applies to another `MeshGateway`.
    Gateway(&'a str),
    /// The policy applies to another dataplane.
    Name(&'a str),
    /// The policy names another zone or namespace.
    Elsewhere,
    /// A label differs or is missing.
    Label {
        /// The label.
        key: &'a str,
        /// The value that the policy asks for.
        wanted: &'a str,
        /// The value of the dataplane.
        found: Option<&'a str>,
    },
    /// A tag differs or is missing.
    Tag {
        /// The key of the tag.
        tag: &'a str,
        /// The value that the policy asks for.
        wanted: &'a str,
        /// The value of the dataplane; `None` without the tag.
        found: Option<Text>,
    },
    /// The policy names services by labels, with which a control plane selects nothing.
    ServiceByLabels,
    /// The dataplane receives no requests.
    NoListener,
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shadow => f.write_str("`kuma.io/effect: shadow` keeps it from any effect"),
            Self::Zone(zone) => write!(f, "it belongs to the zone `{zone}`"),
            Self::Namespace(namespace) => write!(
                f,
                "it is for the namespace `{namespace}` only (if that is the namespace of the control plane: `kuma: {{system_namespace: {namespace}}}` in the settings)"
            ),
            Self::ProxyType => f.write_str("its `proxyTypes` do not contain this kind of proxy"),
            Self::IsGateway => f.write_str("it is for dataplanes, and a MeshGateway governs this one"),
            Self::NoGateway => f.write_str("no MeshGateway selects this dataplane"),
            Self::Gateway(name) => write!(f, "it is for the MeshGateway `{name}`"),
            Self::Name(name) => write!(f, "it is for `{name}`"),
            Self::Elsewhere => f.write_str("it is for a dataplane of another zone or namespace"),
            Self::Label { key, wanted, found } => differs(f, "label", key, wanted, *found),
            Self::Tag { tag, wanted, found } => differs(f, "tag", tag, wanted, found.as_deref()),
            Self::ServiceByLabels => f.write_str("it names a service by labels, which selects nothing in Kuma"),
            Self::NoListener => f.write_str("the dataplane has no inbound and no gateway"),
        }
    }
}

fn differs(f: &mut fmt::Formatter<'_>, noun: &str, key: &str, wanted: &str, found: Option<&str>) -> fmt::Result {
    match found {
        Some(found) => write!(f, "the {noun} `{key}` is `{found}`, wanted `{wanted}`"),
        None => write!(f, "the {noun} `{key}` is missing, wanted `{wanted}`"),
    }
}

/// The reason why a policy does not match a dataplane; `None` when it matches.
///
/// `gateway` is the `MeshGateway` that governs the dataplane.
#[must_use]
pub fn mismatch<'a>(
    policy: &'a Header,
    reference: &'a TargetRef,
    dataplane: &'a Dataplane,
    gateway: Option<&'a MeshGateway>,
) -> Option<Mismatch<'a>> {
    let exclusion = exclusion(policy, reference, dataplane, gateway);
    exclusion.or_else(|| match &reference.target {
        Target::Mesh { tags, .. } => mismatch_by_tags(None, tags, dataplane, gateway),
        Target::Service { name, tags, .. } => {
            let name = name.as_ref().map(|name| name.value.as_str());
            mismatch_by_tags(name.filter(|_| names_service(tags)), tags, dataplane, gateway)
        }
        Target::Gateway { .. } => None,
        Target::Dataplane { name, labels, .. } => {
            let labels = labels.as_ref().filter(|_| name.is_none());
            let mismatch = labels.and_then(|labels| mismatch_by_labels(labels, dataplane));
            mismatch.or((!takes_requests(dataplane)).then_some(Mismatch::NoListener))
        }
    })
}

/// Whether the name of a service counts: a tag `kuma.io/service` among the tags replaces it.
pub(super) fn names_service(tags: &Selector) -> bool {
    !tags.tags.contains_key(SERVICE)
}

/// The reason, beside tags, labels and listeners, why a policy does not match a dataplane.
pub(super) fn exclusion<'a>(
    policy: &'a Header,
    reference: &'a TargetRef,
    dataplane: &'a Dataplane,
    gateway: Option<&'a MeshGateway>,
) -> Option<Mismatch<'a>> {
    if policy.is_shadow() {
        return Some(Mismatch::Shadow);
    }
    if let Some(zone) = foreign_zone(policy, dataplane, gateway) {
        return Some(Mismatch::Zone(zone));
    }
    if let Some(namespace) = foreign_namespace(policy, dataplane) {
        return Some(Mismatch::Namespace(namespace));
    }
    match &reference.target {
        Target::Mesh { proxy_types, .. } => {
            let is_other = !proxy_types.is_empty() && !proxy_types.contains(&proxy_type(dataplane));
            is_other.then_some(Mismatch::ProxyType)
        }
        Target::Service { name: None, .. } => Some(Mismatch::ServiceByLabels),
        Target::Service { name: Some(_), .. } => None,
        Target::Gateway { name } => match gateway {
            Some(gateway) if is_builtin(dataplane) => {
                let is_meant = gateway.header.display_name == name.value;
                (!is_meant).then_some(Mismatch::Gateway(&name.value))
            }
            _ => Some(Mismatch::NoGateway),
        },
        Target::Dataplane { .. } if gateway.is_some() => Some(Mismatch::IsGateway),
        Target::Dataplane {
            name,
            namespace,
            labels,
        } => match (name, labels, namespace) {
            (Some(name), ..) => {
                let namespace = namespace.as_ref().map(|namespace| namespace.value.as_str());
                mismatch_by_name(policy, &name.value, namespace, dataplane)
            }
            (None, None, Some(_)) => Some(Mismatch::Elsewhere),
            (None, Some(_), _) | (None, None, None) => None,
        },
    }
}

/// Whether a dataplane has an inbound, or is a delegated gateway.
#[must_use]
pub fn takes_requests(dataplane: &Dataplane) -> bool {
    !dataplane.inbounds.is_empty() || is_delegated(dataplane)
}

pub(super) fn proxy_type(dataplane: &Dataplane) -> ProxyType {
    match dataplane.gateway {
        Some(_) => ProxyType::Gateway,
        None => ProxyType::Sidecar,
    }
}

fn mismatch_by_labels<'a>(labels: &'a TextMap, dataplane: &'a Dataplane) -> Option<Mismatch<'a>> {
    labels.iter().find_map(|(key, wanted)| {
        let found = dataplane.header.label(key);
        let wanted = wanted.value.as_str();
        (found.unwrap_or_default() != wanted).then_some(Mismatch::Label { key, wanted, found })
    })
}

/// The zone of a policy, if it is not the zone of the dataplane.
fn foreign_zone<'a>(policy: &'a Header, dataplane: &Dataplane, gateway: Option<&MeshGateway>) -> Option<&'a str> {
    let governed = gateway.map_or(&dataplane.header, |gateway| &gateway.header);
    if policy.role() == Role::Producer || !governed.is_of_zone() || !policy.is_of_zone() {
        return None;
    }
    let zone = policy.zone()?;
    governed.zone().is_some_and(|own| own != zone).then_some(zone)
}

/// The namespace that a policy is bound to, if the dataplane is not in it.
fn foreign_namespace<'a>(policy: &'a Header, dataplane: &Dataplane) -> Option<&'a str> {
    match policy.role() {
        Role::System | Role::Producer => None,
        Role::Consumer | Role::WorkloadOwner => match policy.label(NAMESPACE) {
            Some(namespace) if Some(namespace) == dataplane.header.namespace() => None,
            namespace => Some(namespace.unwrap_or_default()),
        },
    }
}

fn mismatch_by_name<'a>(
    policy: &Header,
    name: &'a str,
    namespace: Option<&str>,
    dataplane: &Dataplane,
) -> Option<Mismatch<'a>> {
    let own = &dataplane.header;
    if own.display_name != name {
        return Some(Mismatch::Name(name));
    }
    let same = |a: Option<&str>, b: Option<&str>| a.unwrap_or_default() == b.unwrap_or_default();
    let is_there = same(own.zone(), policy.zone()) && same(own.namespace(), namespace.or(policy.namespace()));
    (!is_there).then_some(Mismatch::Elsewhere)
}

/// The reason why no listener of the dataplane has the service and the tags; that of the nearest listener.
fn mismatch_by_tags<'a>(
    service: Option<&'a str>,
    wanted: &'a Selector,
    dataplane: &Dataplane,
    gateway: Option<&MeshGateway>,
) -> Option<Mismatch<'a>> {
    let mut nearest = Some(Mismatch::NoListener);
    for tags in listener_tags(dataplane, gateway) {
        let mismatch = (service.and_then(|service| differing(&tags, crate::resource::value::tags::SERVICE, service)))
            .or_else(|| {
                wanted
                    .tags
                    .iter()
                    .find_map(|(tag, wanted)| differing(&tags, tag, &wanted.value))
            });
        match mismatch {
            None => return None,
            Some(miss) => nearest = Some(miss),
        }
    }
    nearest
}

fn differing<'a>(tags: &Tags, tag: &'a str, wanted: &'a str) -> Option<Mismatch<'a>> {
    let found = tags.get(tag);
    let fits = found.is_some_and(|found| wanted == "*" || found == wanted);
    (!fits).then(|| Mismatch::Tag {
        tag,
        wanted,
        found: found.cloned(),
    })
}

/// The tags of everything that receives requests: inbounds, listeners of a built-in gateway, a delegated gateway.
pub fn listener_tags<'a>(
    dataplane: &'a Dataplane,
    gateway: Option<&'a MeshGateway>,
) -> impl Iterator<Item = std::borrow::Cow<'a, Tags>> {
    use std::borrow::Cow;
    let inbounds = dataplane.inbounds.iter().map(|inbound| Cow::Borrowed(&inbound.tags));
    let of_gateway = gateway.into_iter().flat_map(move |gateway| {
        gateway.listeners.iter().map(move |listener| {
            let mut tags = dataplane
                .gateway
                .as_ref()
                .map(|own| own.tags.clone())
                .unwrap_or_default();
            tags.extend(gateway.tags.clone());
            tags.extend(listener.tags.clone());
            Cow::Owned(tags)
        })
    });
    let delegated = dataplane
        .gateway
        .iter()
        .filter(|own| own.kind == GatewayKind::Delegated);
    inbounds
        .chain(of_gateway)
        .chain(delegated.map(|own| Cow::Borrowed(&own.tags)))
}

/// Whether a dataplane is a built-in gateway.
#[must_use]
pub fn is_builtin(dataplane: &Dataplane) -> bool {
    dataplane
        .gateway
        .as_ref()
        .is_some_and(|own| own.kind == GatewayKind::Builtin)
}

fn is_delegated(dataplane: &Dataplane) -> bool {
    dataplane
        .gateway
        .as_ref()
        .is_some_and(|own| own.kind == GatewayKind::Delegated)
}
