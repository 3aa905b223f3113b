//! The inbounds that receive the requests of services, by what selects them.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use foldhash::HashMap;

use crate::keep::Shared;
use crate::keep::Text;
use crate::resource::Effective;
use crate::resource::kinds::dataplane::{Dataplane, Inbound};
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::Tags;

/// An address and a port that receive requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Host name or IP address.
    pub host: Text,
    /// The port that receives requests.
    pub port: u16,
}

/// The endpoints, sorted and each once.
pub(super) fn sorted(found: impl Iterator<Item = Endpoint>) -> Arc<[Endpoint]> {
    let endpoints: BTreeSet<Endpoint> = found.collect();
    endpoints.into_iter().collect()
}

/// One inbound that receives the requests of a service.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    pub(super) dataplane: Arc<Dataplane>,
    /// The position of the inbound in the dataplane.
    pub(super) position: usize,
}

impl Instance {
    /// The inbounds of a dataplane that are ready.
    pub(super) fn all_of(dataplane: &Arc<Dataplane>) -> impl Iterator<Item = Self> {
        let inbounds = dataplane.inbounds.iter().enumerate();
        let ready = inbounds.filter(|(_, inbound)| inbound.ready);
        ready.map(|(position, _)| Self {
            dataplane: Arc::clone(dataplane),
            position,
        })
    }

    pub(super) fn inbound(&self) -> &Inbound {
        &self.dataplane.inbounds[self.position]
    }

    /// Whether dataplanes that call the one find what those find that call the other.
    fn is_seen_as(&self, other: &Self) -> bool {
        let (protocol, theirs) = (self.protocol(), other.protocol());
        let is_shown_as = match (protocol.source.origin(), theirs.source.origin()) {
            (Some(own), Some(theirs)) => own.at.is_shown_as(&theirs.at),
            _ => true,
        };
        let is_tagged_as = self.inbound().tags == other.inbound().tags;
        is_tagged_as && self.endpoint() == other.endpoint() && protocol == theirs && is_shown_as
    }

    /// The protocol by the tag of the inbound.
    pub(super) fn protocol(&self) -> Effective<Protocol> {
        Effective::of(
            self.inbound().located_tag(&self.dataplane.header).as_ref(),
            Protocol::Unknown,
        )
    }

    /// Address and port for other dataplanes.
    pub(super) fn endpoint(&self) -> Endpoint {
        let inbound = self.inbound();
        let own = || {
            inbound
                .rare(|rare| rare.address.as_ref())
                .map(|address| address.canonical())
        };
        let advertised = self.dataplane.advertised_address.clone();
        let host = advertised.or_else(own);
        Endpoint {
            host: host.unwrap_or_else(|| self.dataplane.address.clone()),
            port: inbound.port,
        }
    }
}

/// The identity of instances as others see them: where they are called, what they speak, and their tags.
#[derive(Debug, Clone, Default)]
pub(super) struct Identity(Arc<()>);

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The instances of one service.
#[derive(Debug)]
pub(super) struct Instances {
    pub(super) identity: Identity,
    /// All instances, in the order of their dataplanes.
    pub(super) all: Vec<Instance>,
    /// Their common protocol.
    pub(super) protocol: Effective<Protocol>,
    by_tag: OnceLock<ByPair<Instance>>,
    /// The common protocol of those with several tags; `None` when no instance has all of them.
    narrowed: Shared<Tags, Option<Effective<Protocol>>>,
    /// The endpoints of those with several tags, which all that call them share.
    endpoints: Shared<Tags, Arc<[Endpoint]>>,
}

impl Instances {
    /// The given instances; `None` without any. Their identity is that of the `known` ones if others see the same.
    pub(super) fn of(all: Vec<Instance>, known: Option<&Self>) -> Option<Self> {
        let is_seen_as = |known: &&Self| {
            let mut pairs = known.all.iter().zip(&all);
            known.all.len() == all.len() && pairs.all(|(known, new)| known.is_seen_as(new))
        };
        let identity = known.filter(is_seen_as).map(|known| known.identity.clone());
        Some(Self {
            identity: identity.unwrap_or_default(),
            protocol: common(all.iter())?,
            all,
            by_tag: OnceLock::new(),
            narrowed: Shared::default(),
            endpoints: Shared::default(),
        })
    }

    /// The instances that can have all of the tags: those with the rarest of them, in the order of their dataplanes.
    pub(super) fn candidates<'s>(&'s self, tags: &'s Tags) -> &'s [Instance] {
        if tags.is_empty() {
            return &self.all;
        }
        let by_tag = self.by_tag.get_or_init(|| {
            let mut by_tag = ByPair::default();
            let tagged = self.all.iter();
            tagged.for_each(|instance| by_tag.add(&instance.inbound().tags, instance));
            by_tag
        });
        by_tag.rarest(pairs(tags)).unwrap_or_default()
    }

    /// The instances with all of the tags, in the order of their dataplanes.
    pub(super) fn with<'s>(&'s self, tags: &'s Tags) -> impl Iterator<Item = &'s Instance> {
        let candidates = self.candidates(tags).iter();
        candidates.filter(|instance| has(&instance.inbound().tags, tags))
    }

    /// The endpoints of the instances with all of the tags.
    pub(super) fn endpoints(&self, tags: &Tags) -> Arc<[Endpoint]> {
        (self.endpoints).get(tags, || sorted(self.with(tags).map(Instance::endpoint)))
    }

    /// The common protocol of the instances with all of the tags; `None` when there are none.
    pub(super) fn narrowed(&self, tags: &Tags) -> Option<Effective<Protocol>> {
        if tags.is_empty() {
            return Some(self.protocol.clone());
        }
        self.narrowed.get(tags, || common(self.with(tags)))
    }
}

/// Items by the tags or labels that they have, each a key with its value.
#[derive(Debug)]
pub(super) struct ByPair<T>(HashMap<Text, HashMap<Text, Vec<T>>>);

impl<T> Default for ByPair<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T: Clone> ByPair<T> {
    pub(super) fn add(&mut self, pairs: &Tags, item: &T) {
        for (key, value) in pairs {
            let of_key = self.0.entry(key.clone()).or_default();
            of_key.entry(value.clone()).or_default().push(item.clone());
        }
    }

    /// The items with the pair that the fewest have; `None` when no pair is wanted.
    pub(super) fn rarest<'w>(&self, wanted: impl Iterator<Item = (&'w str, &'w str)>) -> Option<&[T]> {
        let with = |(key, value)| self.0.get(key).and_then(|of_key| of_key.get(value));
        let with_each = wanted.map(|pair| with(pair).map_or(&[][..], Vec::as_slice));
        with_each.min_by_key(|with| with.len())
    }
}

/// Tags or labels as pairs of texts.
pub(super) fn pairs(tags: &Tags) -> impl Iterator<Item = (&str, &str)> + Clone {
    tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// The inbounds of a mesh that are ready, by what selects them.
#[derive(Debug, Default)]
pub(super) struct Inbounds {
    all: Vec<Instance>,
    by_tag: ByPair<Instance>,
    by_label: ByPair<Instance>,
    by_name: HashMap<Text, Vec<Instance>>,
}

impl Inbounds {
    pub(super) fn of(dataplanes: &[Arc<Dataplane>]) -> Self {
        let mut inbounds = Self::default();
        for instance in dataplanes.iter().flat_map(Instance::all_of) {
            let header = &instance.dataplane.header;
            inbounds.by_tag.add(&instance.inbound().tags, &instance);
            inbounds.by_label.add(&header.labels, &instance);
            let named = inbounds.by_name.entry(header.display_name.clone()).or_default();
            named.push(instance.clone());
            inbounds.all.push(instance);
        }
        inbounds
    }

    /// The inbounds that can have all of the tags, labels and the name: those with the rarest of them.
    pub(super) fn candidates<'s>(&'s self, tags: &'s Tags, labels: &'s Tags, name: Option<&str>) -> &'s [Instance] {
        let by_tag = self.by_tag.rarest(pairs(tags));
        let by_label = self.by_label.rarest(pairs(labels));
        let by_name = name.map(|name| self.by_name.get(name).map_or(&[][..], Vec::as_slice));
        let rarest = [by_tag, by_label, by_name]
            .into_iter()
            .flatten()
            .min_by_key(|with| with.len());
        rarest.unwrap_or(&self.all)
    }
}

/// The common protocol of instances, with the origin of the one that decides; `None` without any.
fn common<'i>(all: impl Iterator<Item = &'i Instance>) -> Option<Effective<Protocol>> {
    let all = all.map(|instance| (instance.inbound().protocol_of_service(), instance));
    let (value, deciding) = all.reduce(decided)?;
    Some(Effective {
        value,
        ..deciding.protocol()
    })
}

/// The common protocol of two, with the origin of the one that decides.
pub(super) fn common_of_two(a: Effective<Protocol>, b: Effective<Protocol>) -> Effective<Protocol> {
    let (value, source) = decided((a.value, a.source), (b.value, b.source));
    Effective { value, source }
}

/// The common protocol of two, with what belongs to the one that decides.
fn decided<T>(a: (Protocol, T), b: (Protocol, T)) -> (Protocol, T) {
    let value = a.0.common(b.0);
    let is_of_second = value != a.0 && value == b.0;
    (value, if is_of_second { b.1 } else { a.1 })
}

/// Whether `there` contains all `wanted` tags.
pub(super) fn has(there: &Tags, wanted: &Tags) -> bool {
    wanted.iter().all(|(key, value)| there.get(key) == Some(value))
}
