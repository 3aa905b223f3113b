//! The headers that carry a trace, by tracer, as `tests/it/propagation.rs` measures them on a real Envoy.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use serde::Serialize;

use crate::compilation::Compilation;
use crate::ir::{Destination, Direction, Endpoint, Provider, Proxy};

/// The headers of one tracer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers {
    /// The headers from which the tracer continues a trace; the first header of each set.
    pub reads: &'static [&'static str],
    /// The headers that the tracer writes for the next proxy.
    pub writes: &'static [&'static str],
}

/// The name of Zipkin's tracer where the settings ask for W3C's header beside B3.
pub const ZIPKIN_WITH_W3C: &str = "zipkin with w3c";

/// The headers of a provider's tracer.
#[must_use]
pub fn of_provider(provider: &str) -> Headers {
    match provider {
        "zipkin" => Headers {
            reads: &["x-b3-traceid", "b3"],
            writes: &["x-b3-traceid", "x-b3-spanid", "x-b3-sampled"],
        },
        ZIPKIN_WITH_W3C => Headers {
            reads: &["x-b3-traceid", "b3", "traceparent"],
            writes: &["x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "traceparent"],
        },
        "datadog" => Headers {
            reads: &["x-datadog-trace-id", "traceparent"],
            writes: &[
                "x-datadog-trace-id",
                "x-datadog-parent-id",
                "x-datadog-sampling-priority",
                "x-datadog-tags",
                "traceparent",
                "tracestate",
            ],
        },
        _ => Headers {
            reads: &["traceparent"],
            writes: &["traceparent", "tracestate"],
        },
    }
}

/// A caller or called proxy, between which and the explained proxy traces break.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Neighbour {
    /// The name of the neighbour.
    pub dataplane: String,
    /// Whether the neighbour is the called proxy, rather than the caller.
    pub called: bool,
    /// The provider of the neighbour's tracer.
    pub provider: String,
}

/// Whether a trace continues from one tracer to another: the second reads a header that the first writes.
#[must_use]
pub fn continues(from: &str, to: &str) -> bool {
    let (written, read) = (of_provider(from).writes, of_provider(to).reads);
    written.iter().any(|header| read.contains(header))
}

/// The callers and called proxies of a proxy at which traces break, sorted.
pub(super) fn breaks(compilation: &Compilation, proxy: &Proxy) -> Vec<Neighbour> {
    let Some(own) = provider(proxy) else { return Vec::new() };
    let called_by_own = called_places(proxy);
    let mut found = Vec::new();
    for other in compilation
        .proxies
        .iter()
        .filter(|other| other.key.mesh == proxy.key.mesh && other.key != proxy.key)
    {
        let Some(theirs) = provider(other) else { continue };
        let neighbour = |called| Neighbour {
            dataplane: other.key.dataplane.clone(),
            called,
            provider: theirs.to_owned(),
        };
        if !continues(own, theirs) && places(other).any(|place| called_by_own.contains(&place)) {
            found.push(neighbour(true));
        }
        let called = called_places(other);
        if !continues(theirs, own) && places(proxy).any(|place| called.contains(&place)) {
            found.push(neighbour(false));
        }
    }
    found.sort();
    found
}

/// The provider of a proxy that makes spans. Zipkin's with W3C's header is one of its own.
#[must_use]
pub fn provider(proxy: &Proxy) -> Option<&'static str> {
    proxy.traced().next()?;
    let provider = &proxy.tracer.as_ref()?.export.as_ref()?.provider;
    let is_w3c = proxy.additions.w3c.as_ref().is_some_and(|w3c| w3c.value);
    Some(match provider {
        Provider::Zipkin(_) if is_w3c => ZIPKIN_WITH_W3C,
        _ => provider.name(),
    })
}

/// Host and port at which a proxy is called.
type Place<'p> = (&'p str, u16);

/// The places of the inbounds of a proxy.
fn places(proxy: &Proxy) -> impl Iterator<Item = Place<'_>> {
    let inbounds = proxy.listeners.iter();
    let inbounds = inbounds.filter(|listener| listener.direction == Direction::Inbound);
    inbounds.map(|listener| (listener.address.as_str(), listener.port))
}

/// The destinations of the outbounds of a proxy that speak HTTP.
fn destinations(proxy: &Proxy) -> impl Iterator<Item = &Arc<Destination>> {
    let outbounds = proxy.listeners.iter();
    let outbounds = outbounds.filter(|listener| listener.direction == Direction::Outbound);
    let of_http = outbounds.filter(|listener| listener.protocol.value.is_http());
    of_http.flat_map(|listener| listener.upstreams.iter().map(|upstream| &upstream.destination))
}

/// The places that a proxy calls with HTTP.
fn called_places(proxy: &Proxy) -> BTreeSet<Place<'_>> {
    let endpoints = destinations(proxy).flat_map(|destination| destination.endpoints.iter());
    endpoints
        .map(|endpoint| (endpoint.host.as_str(), endpoint.port))
        .collect()
}

/// Whether two versions of a proxy make the same spans at the same places, and call the same ones.
#[must_use]
pub fn is_called_and_calls_as(proxy: &Proxy, other: &Proxy) -> bool {
    let endpoints = |proxy| destinations(proxy).map(|destination| &destination.endpoints);
    provider(proxy) == provider(other) && places(proxy).eq(places(other)) && endpoints(proxy).eq(endpoints(other))
}

/// The proxies with spans that are called by others, by provider.
///
/// The endpoints of a destination are looked at once, however many proxies call it.
pub struct Calls<'p> {
    proxies: &'p [Arc<Proxy>],
    inbounds: Vec<Inbound>,
    /// The last of the inbounds at each place of a mesh, as an index.
    last_at: HashMap<(&'p str, Place<'p>), usize>,
    /// The first proxy of each provider behind the endpoints of a destination in a mesh.
    behind: HashMap<(&'p str, *const Endpoint), FirstOf>,
}

/// An inbound of a proxy with spans.
struct Inbound {
    /// The index of the proxy.
    proxy: usize,
    provider: &'static str,
    /// The index of another inbound at the same place.
    other: Option<usize>,
}

/// The first proxy of each provider, as an index.
type FirstOf = BTreeMap<&'static str, usize>;

impl<'p> Calls<'p> {
    /// The calls among proxies.
    #[must_use]
    pub fn of(proxies: &'p [Arc<Proxy>]) -> Self {
        let mut calls = Self {
            proxies,
            inbounds: Vec::with_capacity(proxies.len()),
            last_at: HashMap::with_capacity(proxies.len()),
            behind: HashMap::default(),
        };
        for (proxy, i) in proxies.iter().zip(0..) {
            let Some(provider) = provider(proxy) else { continue };
            for place in places(proxy) {
                let place = (proxy.key.mesh.as_str(), place);
                let other = calls.last_at.insert(place, calls.inbounds.len());
                calls.inbounds.push(Inbound {
                    proxy: i,
                    provider,
                    other,
                });
            }
        }
        calls
    }

    /// The inbounds at a place of a mesh.
    fn at(&self, mesh: &'p str, place: Place<'p>) -> impl Iterator<Item = &Inbound> {
        let last = self.last_at.get(&(mesh, place));
        iter::successors(last.map(|i| &self.inbounds[*i]), |inbound| {
            inbound.other.map(|i| &self.inbounds[i])
        })
    }

    /// The first proxy of each provider that a proxy calls.
    pub fn by(&mut self, caller: &'p Proxy) -> BTreeMap<&'static str, &'p Proxy> {
        let mesh = caller.key.mesh.as_str();
        let mut called = FirstOf::new();
        for destination in destinations(caller) {
            let key = (mesh, destination.endpoints.as_ptr());
            if !self.behind.contains_key(&key) {
                let endpoints = destination.endpoints.iter();
                let there = endpoints.flat_map(|endpoint| self.at(mesh, (endpoint.host.as_str(), endpoint.port)));
                let first = first_of_each(there.map(|inbound| (inbound.provider, inbound.proxy)));
                self.behind.insert(key, first);
            }
            let behind = self.behind[&key].iter().map(|(name, i)| (*name, *i));
            called = first_of_each(called.into_iter().chain(behind));
        }
        let proxy = |(name, i): (&'static str, usize)| (name, &*self.proxies[i]);
        called.into_iter().map(proxy).collect()
    }
}

fn first_of_each(proxies: impl Iterator<Item = (&'static str, usize)>) -> FirstOf {
    let mut first = FirstOf::new();
    for (name, i) in proxies {
        let known = first.entry(name).or_insert(i);
        *known = i.min(*known);
    }
    first
}
