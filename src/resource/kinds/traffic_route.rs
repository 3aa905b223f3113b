//! `TrafficRoute`: the destinations of a dataplane's outbounds.
//!
//! Its presence decides whether a control plane traces outbounds, and its destinations decide the protocol. Matches
//! and modifications of requests do not affect tracing and are not decoded.

use crate::diag::{Code, Diagnostic};
use crate::resource::decode::decoder::{Decoder, Phase};
use crate::resource::decode::object::Object;
use crate::resource::document::envelope::Body;
use crate::resource::document::header::Header;
use crate::resource::value::tags::{self, SERVICE, Selector, Service, Tags};

/// A route for outbounds, matched by source and destination.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficRoute {
    /// Type, mesh, name and labels.
    pub header: Header,
    /// `sources`: the dataplanes that the route applies to.
    pub sources: Vec<Selector>,
    /// `destinations`: the outbounds that the route applies to.
    pub destinations: Vec<Selector>,
    /// The tags of all destinations with traffic, those of `conf.http` first.
    pub targets: Vec<Tags>,
}

impl TrafficRoute {
    /// The services that an outbound to `service` leads to; `*` stands for `service`.
    pub fn services<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a str> {
        self.targets
            .iter()
            .map(move |tags| match tags.get(SERVICE).map(String::as_str) {
                None | Some("*") => service,
                Some(other) => other,
            })
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
    let mut targets = Vec::new();
    for (path, node) in conf.list(decoder, "http") {
        if let Some(http) = Object::new(decoder, node, path, &["match", "modify", "split", "destination"]) {
            targets.extend(decode_targets(decoder, &http));
        }
    }
    targets.extend(decode_targets(decoder, &conf));
    Some(TrafficRoute {
        header,
        sources,
        destinations,
        targets,
    })
}

/// `destination`, or the entries of `split` with a weight.
fn decode_targets(decoder: &mut Decoder, object: &Object) -> Vec<Tags> {
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
        return selector.iter().map(|selector| tags::plain(&selector.tags)).collect();
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
                .map(|selector| tags::plain(&selector.tags)),
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
