//! `TrafficRoute`: the destinations of a dataplane's outbounds.
//!
//! Its presence decides whether a control plane traces outbounds, and its destinations decide where requests go and
//! with which protocol. Matches and modifications of requests are not decoded.

use crate::diag::{Code, Diagnostic};
use crate::resource::decode::decoder::{Decoder, Phase};
use crate::resource::decode::object::Object;
use crate::resource::decode::origin::Origin;
use crate::resource::document::envelope::Body;
use crate::resource::document::header::Header;
use crate::resource::value::tags::{self, Selector, Service, Tags};

/// A route for outbounds, matched by source and destination.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficRoute {
    /// Type, mesh, name and labels.
    pub header: Header,
    /// `sources`: the dataplanes that the route applies to.
    pub sources: Vec<Selector>,
    /// `destinations`: the outbounds that the route applies to.
    pub destinations: Vec<Selector>,
    /// `conf.http`: the destinations of requests of HTTP that match.
    pub http: Vec<HttpRule>,
    /// `conf.loadBalancer`, if it is written.
    pub load_balancer: Option<Origin>,
    /// `conf.split` or `conf.destination`: the destinations of all other requests.
    pub targets: Vec<WeightedTags>,
}

/// An entry of `conf.http`.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRule {
    /// The place of the entry.
    pub origin: Origin,
    /// `split` or `destination`.
    pub targets: Vec<WeightedTags>,
}

/// A destination with traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedTags {
    /// The share of requests, in relation to the sum of all weights beside it.
    pub weight: u32,
    /// The tags that an endpoint must have. The value `*`, and a tag that is absent, stand for those of the outbound.
    pub tags: Tags,
}

impl WeightedTags {
    /// The tags of the endpoints for an outbound with the given tags.
    #[must_use]
    pub fn for_outbound(&self, outbound: &Tags) -> Tags {
        let own = self.tags.iter().filter(|(_, value)| *value != "*");
        let mut tags = outbound.clone();
        tags.extend(own.map(|(tag, value)| (tag.clone(), value.clone())));
        tags
    }
}

impl TrafficRoute {
    /// All destinations with traffic, those of `conf.http` first.
    pub fn all_targets(&self) -> impl Iterator<Item = &WeightedTags> {
        let of_http = self.http.iter().flat_map(|rule| &rule.targets);
        of_http.chain(&self.targets)
    }
}

pub(in crate::resource) fn decode(decoder: &mut Decoder, header: Header, body: &Body) -> Option<TrafficRoute> {
    let root = body.object(decoder, &["sources", "destinations", "conf"])?;
    let sources = tags::selectors(decoder, &root, "sources", Service::Required);
    let destinations = tags::selectors(decoder, &root, "destinations", Service::Alone);
    let Some(conf) = root.object(decoder, "conf", &["split", "destination", "http", "loadBalancer"]) else {
        if root.get("conf").is_none() {
            decoder.error(
                Code::EmptyField,
                root.at,
                &root.path_of("conf"),
                "`conf` must not be empty",
            );
        }
        return None;
    };
    let mut http = Vec::new();
    for (path, node) in conf.list(decoder, "http") {
        if let Some(rule) = Object::new(decoder, node, path, &["match", "modify", "split", "destination"]) {
            http.push(HttpRule {
                origin: decoder.located((), &rule.path, rule.at).origin,
                targets: decode_targets(decoder, &rule),
            });
        }
    }
    Some(TrafficRoute {
        header,
        sources,
        destinations,
        http,
        load_balancer: conf
            .get("loadBalancer")
            .map(|_| conf.origin_of(decoder, "loadBalancer")),
        targets: decode_targets(decoder, &conf),
    })
}

/// `destination`, or the entries of `split` with a weight.
fn decode_targets(decoder: &mut Decoder, object: &Object) -> Vec<WeightedTags> {
    let (destination, split) = (object.get("destination"), object.get("split"));
    if destination.is_some() && split.is_some() {
        let at = &split.map_or(object.at, |entry| &entry.key_at).clone();
        let message = "`split` and `destination` must not be used together";
        decoder.error(Code::NotAllowed, at, &object.path_of("split"), message);
        return Vec::new();
    }
    if split.is_none() && destination.is_none() {
        let message = "either `destination` or `split` is required";
        decoder.error(Code::MissingField, object.at, &object.path, message);
        return Vec::new();
    }
    if split.is_none() {
        let selector = tags::selector(decoder, object, "destination", Service::Required);
        return selector.iter().map(|selector| weighted(100, selector)).collect();
    }
    let mut targets = Vec::new();
    let mut total: u64 = 0;
    for (path, node) in object.list(decoder, "split") {
        let Some(entry) = Object::new(decoder, node, path, &["weight", "destination"]) else {
            continue;
        };
        let weight = entry.whole(decoder, "weight");
        if entry.get("weight").is_none() {
            decoder.error(
                Code::MissingField,
                entry.at,
                &entry.path_of("weight"),
                "`weight` is missing",
            );
        }
        let weight = weight.map_or(0, |weight| weight.value);
        total += u64::from(weight);
        let selector = tags::selector(decoder, &entry, "destination", Service::Required);
        targets.extend(
            selector
                .filter(|_| weight > 0)
                .map(|selector| weighted(weight, &selector)),
        );
    }
    if total == 0 && !decoder.failed_at(Phase::Schema) {
        let at = split.map_or(object.at, |entry| &entry.key_at);
        let message = "`split` must have at least one entry with a weight above 0";
        let finding = Diagnostic::error(Code::MissingField, at, message).path(object.path_of("split"));
        decoder.report_if(!decoder.failed(), finding);
    }
    targets
}

fn weighted(weight: u32, selector: &Selector) -> WeightedTags {
    WeightedTags {
        weight,
        tags: tags::plain(&selector.tags),
    }
}
