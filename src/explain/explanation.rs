//! The explanation of one proxy.

use std::collections::BTreeSet;

use serde::Serialize;

use super::place::Place;
use super::policies::{self, Candidate};
use super::propagation::{self, Neighbour};
use super::values::{self, ValueOf};
use crate::compilation::Compilation;
use crate::envoy::layout::listener_name;
use crate::ir::{Direction, LeftOut, Listener, PolicyKind, Proxy, Tracer, Upstream};
use crate::resource::value::feature::Feature;
use crate::resource::value::tags::Tags;
use crate::select::Governed;

/// The reasons for the tracing of one proxy.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The mesh of the dataplane.
    pub mesh: String,
    /// The name of the dataplane.
    pub name: String,
    /// Whether a listener of the proxy makes spans.
    pub traced: bool,
    /// The policy that decides, as `TYPE NAME`.
    pub policy: Option<String>,
    /// The provider, and the backend or collector that receives the spans.
    pub backend: Option<String>,
    /// The reason why no listener is traced.
    pub not_traced: Option<String>,
    /// The tracing of each listener.
    pub listeners: Vec<ListenerOf>,
    /// Every value of the tracing, with its origin.
    pub values: Vec<ValueOf>,
    /// Every policy of the mesh, the strongest first.
    pub policies: Vec<Candidate>,
    /// The headers from which the proxy continues a trace.
    pub reads: Vec<String>,
    /// The headers that the proxy sends on, for the next proxy to continue the trace.
    pub writes: Vec<String>,
    /// The features of a control plane's proxy that a sidecar lacks.
    pub left_out: Vec<LeftOutOf>,
    /// The callers and called proxies between which and this proxy traces break.
    pub breaks: Vec<Neighbour>,
}

/// A feature of a control plane's proxy that a sidecar lacks.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOutOf {
    /// The group of the feature, as the setting `sidecar.without` names it.
    pub feature: Feature,
    /// The resource that asks for it, as `TYPE NAME`.
    pub resource: String,
    /// The path of the field in the resource.
    pub path: String,
    /// The place of the field.
    pub at: Place,
}

/// The tracing of one listener.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerOf {
    /// The name of the listener in Envoy.
    pub name: String,
    /// The protocol of the listener.
    pub protocol: String,
    /// The place that sets the protocol; absent for a default.
    pub protocol_from: Option<Place>,
    /// The destinations of an outbound. Without any, a control plane closes the connections.
    pub to: Option<Vec<DestinationOf>>,
    /// The service name in the spans; absent when the listener is not traced.
    pub reports_as: Option<String>,
    /// The reason why the listener is not traced.
    pub not_traced: Option<String>,
}

/// One of the destinations among which the requests of an outbound are split.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationOf {
    /// The service that receives the requests.
    pub service: String,
    /// The tags that narrow down its endpoints.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// The share of requests, in percent.
    pub percent: f64,
}

/// Explains one dataplane. `root` is the prefix of every file path.
#[must_use]
pub fn explain(compilation: &Compilation, governed: &Governed, proxy: &Proxy, root: &str) -> Explanation {
    let traced = proxy.traced().next().is_some();
    let headers = propagation::provider(proxy).map(propagation::of_provider);
    let listed = |names: fn(propagation::Headers) -> &'static [&'static str]| {
        let names = headers.map_or(&[][..], names);
        names.iter().map(|name| (*name).to_owned()).collect()
    };
    let same_reason = || {
        let mut reasons = proxy
            .listeners
            .iter()
            .map(|listener| listener.untraced_reason.as_deref());
        let first = reasons.next().flatten()?;
        reasons.all(|reason| reason == Some(first)).then(|| first.to_owned())
    };
    let nothing = "none of its listeners speaks HTTP";
    Explanation {
        mesh: proxy.key.mesh.clone(),
        name: proxy.key.dataplane.clone(),
        traced,
        policy: proxy
            .policy()
            .map(|policy| format!("{} {}", policy.origin.resource.kind, policy.name)),
        backend: proxy.tracer.as_deref().and_then(backend),
        not_traced: (!traced).then(|| same_reason().unwrap_or_else(|| nothing.to_owned())),
        listeners: proxy
            .listeners
            .iter()
            .map(|listener| of_listener(listener, root))
            .collect(),
        values: proxy
            .tracer
            .as_ref()
            .map(|tracer| values::of(proxy, tracer, root))
            .unwrap_or_default(),
        policies: policies::candidates(compilation, governed, root),
        reads: listed(|headers| headers.reads),
        writes: listed(|headers| headers.writes),
        left_out: BTreeSet::from_iter(proxy.left_out.iter())
            .into_iter()
            .map(|left_out| of_left_out(left_out, root))
            .collect(),
        breaks: propagation::breaks(compilation, proxy),
    }
}

/// The provider, and the name of the backend or, without one, of the collector. Equal words are given
/// once.
fn backend(tracer: &Tracer) -> Option<String> {
    let export = tracer.export.as_ref()?;
    let provider = export.provider.name();
    let name = match tracer.by {
        PolicyKind::TrafficTrace => tracer.backend.value.as_str(),
        PolicyKind::MeshTrace => &export.collector.authority,
    };
    Some(if name == provider {
        name.to_owned()
    } else {
        format!("{provider} {name}")
    })
}

fn of_left_out(LeftOut { feature, origin }: &LeftOut, root: &str) -> LeftOutOf {
    LeftOutOf {
        feature: *feature,
        resource: format!("{} {}", origin.resource.kind, origin.resource.name),
        path: origin.path.to_string(),
        at: Place::of(&origin.at, root),
    }
}

fn of_listener(listener: &Listener, root: &str) -> ListenerOf {
    let is_outbound = listener.direction == Direction::Outbound;
    ListenerOf {
        name: listener_name(listener),
        protocol: listener.protocol.value.to_string(),
        protocol_from: Place::of_effective(&listener.protocol, root),
        to: is_outbound.then(|| destinations(&listener.upstreams)),
        reports_as: listener.reports_as.as_ref().map(ToString::to_string),
        not_traced: listener.untraced_reason.as_ref().map(Into::into),
    }
}

fn destinations(upstreams: &[Upstream]) -> Vec<DestinationOf> {
    let total: u64 = upstreams.iter().map(|upstream| u64::from(upstream.weight)).sum();
    let of_upstream = |upstream: &Upstream| DestinationOf {
        service: upstream.destination.service.to_string(),
        tags: upstream.destination.tags.clone(),
        // Precise enough: shares are shown with at most two digits after the point.
        percent: (f64::from(upstream.weight) * 1e4 / total as f64).round() / 1e2,
    };
    upstreams.iter().map(of_upstream).collect()
}
