//! `MeshHTTPRoute` and `MeshTCPRoute`: the target, the destinations and the backends of their rules.

use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::object::Object;
use crate::resource::decode::origin::Origin;
use crate::resource::document::envelope::Body;
use crate::resource::document::header::Header;
use crate::resource::kinds::dataplane::{BackendRef, lenient_backend_ref};
use crate::resource::kinds::target_ref::{self, TargetRef};

/// A route of the newer kind.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshRoute {
    /// Type, mesh, name and labels.
    pub header: Header,
    /// `spec.targetRef`: the dataplanes that the route applies to.
    pub target: TargetRef,
    /// `spec.to`: the destinations that the route applies to.
    pub to: Vec<RouteTo>,
}

/// An entry of `spec.to`.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteTo {
    /// The destination; `None` for the kind `Mesh`, which means all destinations.
    pub destination: Option<BackendRef>,
    /// The rules, `to[].rules`.
    pub rules: Vec<RouteRule>,
}

/// An entry of `rules`.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteRule {
    /// The place of the entry.
    pub origin: Origin,
    /// Whether the rule matches every request.
    pub is_catch_all: bool,
    /// Whether the rule has filters, which change requests or answer them.
    pub has_filters: bool,
    /// `default.backendRefs` with a weight; if absent, requests go to their destination.
    pub backend_refs: Option<Vec<WeightedRef>>,
}

/// An entry of `backendRefs` with traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedRef {
    /// The share of requests, in relation to the sum of all weights beside it.
    pub weight: u32,
    /// The destination.
    pub reference: BackendRef,
}

impl RouteTo {
    /// Whether the destination is a service by tag, rather than a resource.
    #[must_use]
    pub fn is_by_tags(&self) -> bool {
        let kind = self.destination.as_ref().map_or("Mesh", |to| to.kind.value.as_str());
        matches!(kind, "Mesh" | "MeshSubset" | "MeshService" | "MeshServiceSubset")
    }

    /// Whether the entry applies to every service by its tag.
    #[must_use]
    pub fn is_for_any_service(&self) -> bool {
        let is_mesh = |to: &BackendRef| matches!(to.kind.value.as_str(), "Mesh" | "MeshSubset");
        self.destination.as_ref().is_none_or(is_mesh)
    }
}

/// Decodes either kind. Matches and filters of requests are not checked.
pub(in crate::resource) fn decode(
    decoder: &mut Decoder,
    context: &Context,
    header: Header,
    body: &Body,
) -> Option<MeshRoute> {
    let spec = body.object(decoder, &["targetRef", "to"])?;
    let target = target_ref::shape(decoder, context, &spec, "targetRef");
    let target = target_ref::meaning(decoder, context, target, header.is_system())?;
    let mut to = Vec::new();
    for (path, node) in spec.list(decoder, "to") {
        let Some(entry) = Object::new(decoder, node, path, &["targetRef", "hostnames", "rules"]) else {
            continue;
        };
        // Findings in the unchecked parts are dropped.
        let unheard = &mut decoder.silent();
        let rules = entry.list(unheard, "rules").into_iter();
        to.push(RouteTo {
            destination: entry
                .open_object(unheard, "targetRef")
                .map(|to| lenient_backend_ref(unheard, &to)),
            rules: rules
                .filter_map(|(path, node)| {
                    let rule = Object::open(unheard, node, path)?;
                    Some(decode_rule(unheard, &rule))
                })
                .collect(),
        });
    }
    Some(MeshRoute { header, target, to })
}

fn decode_rule(unheard: &mut Decoder, rule: &Object) -> RouteRule {
    let matches = rule.list(unheard, "matches");
    // A rule of a MeshTCPRoute has no matches.
    let takes_all = matches.is_empty() && unheard.resource.kind == "MeshTCPRoute";
    let is_catch_all = takes_all
        || matches.into_iter().any(|(path, node)| {
            let Some(entry) = Object::open(unheard, node, path) else {
                return false;
            };
            let is_whole = |path: &Object, unheard: &mut Decoder| {
                let mut word = |key: &str| path.text(unheard, key).map(|text| text.value);
                word("type").as_deref() == Some("PathPrefix") && word("value").as_deref() == Some("/")
            };
            entry.len() == 1
                && entry
                    .open_object(unheard, "path")
                    .is_some_and(|path| is_whole(&path, unheard))
        });
    let default = rule.open_object(unheard, "default");
    let filters = (default.as_ref()).map_or_else(Vec::new, |default| default.list(unheard, "filters"));
    let items = default.map_or_else(Vec::new, |default| default.list(unheard, "backendRefs"));
    let is_led = !items.is_empty();
    let backend_refs = items.into_iter().filter_map(|(path, node)| {
        let entry = Object::open(unheard, node, path)?;
        let weight = entry.whole(unheard, "weight").map_or(1, |weight| weight.value);
        let reference = lenient_backend_ref(unheard, &entry);
        (weight > 0).then_some(WeightedRef { weight, reference })
    });
    let backend_refs = backend_refs.collect();
    RouteRule {
        origin: unheard.located((), &rule.path, rule.at).origin,
        is_catch_all,
        has_filters: !filters.is_empty(),
        backend_refs: is_led.then_some(backend_refs),
    }
}
