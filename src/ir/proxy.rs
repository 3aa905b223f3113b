//! A proxy and its tracing, with every default filled in.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::additions::Additions;
use super::proxy_key::ProxyKey;
use super::tag::Tag;
use crate::collectors::{ClientCertificate, Headers, TrustedCa};
use crate::diag::ResourceId;
use crate::keep::Text;
use crate::resource::value::collector_url;
use crate::resource::value::feature::Feature;
use crate::resource::value::percent::Percent;
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::Tags;
use crate::resource::{Effective, Located, Origin, Provenance};
use crate::select::destination::Endpoint;
use crate::source::Location;
use crate::spans::Sampler;

/// A proxy and its tracing.
#[derive(Debug, Clone, PartialEq)]
pub struct Proxy {
    /// The mesh and the name of the dataplane.
    pub key: ProxyKey,
    /// The place of the declaration.
    pub at: Location,
    /// The service that identifies the proxy.
    pub service: Text,
    /// Whether host names of collectors may resolve to IPv6 addresses.
    pub ipv6: bool,
    /// The place of the transparent proxying section, with which only a control plane knows the outbounds.
    pub transparent: Option<Location>,
    /// Whether the proxy is a built-in gateway, which has spans of its own for upstream requests.
    pub is_gateway: bool,
    /// Whether listeners and clusters are named after resources rather than addresses.
    pub unified_naming: bool,
    /// The `TrafficTrace` that governs the proxy, whether or not the proxy has spans.
    pub traffic_trace: Option<Policy>,
    /// The ids of all `TrafficTrace` policies that match the proxy, in lists that proxies share.
    pub matching: Vec<Arc<[Arc<ResourceId>]>>,
    /// The `MeshTrace` policies for the proxy, by increasing precedence.
    pub mesh_traces: Arc<[Policy]>,
    /// The tracer, which proxies share; `None` when the proxy is not traced.
    pub tracer: Option<Arc<Tracer>>,
    /// The tracer that a stronger policy displaced; a control plane keeps its cluster.
    pub idle_tracer: Option<Arc<Tracer>>,
    /// The additions of the settings to its tracing.
    pub additions: Arc<Additions>,
    /// The cluster of its node in Envoy's terms, which is the service name in its Zipkin spans.
    pub node_cluster: Text,
    /// The listeners, inbounds first, each in the order of declaration.
    pub listeners: Vec<Listener>,
    /// The features that a control plane gives to the proxy, beside its listeners, destinations and tracing.
    pub left_out: AllLeftOut,
}

/// The features that are left out of a proxy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AllLeftOut {
    /// The features that its mesh and other policies ask for, which proxies share.
    pub by_policies: Arc<[LeftOut]>,
    /// The features that the dataplane itself and its destinations ask for.
    pub alone: BTreeSet<LeftOut>,
}

impl AllLeftOut {
    /// All features, those of policies first.
    pub fn iter(&self) -> impl Iterator<Item = &LeftOut> {
        self.by_policies.iter().chain(&self.alone)
    }
}

/// A feature that a control plane gives to a proxy, and that is left out here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// The group of the feature.
    pub feature: Feature,
    /// The place that asks for it.
    pub origin: Origin,
}

impl Proxy {
    /// The tags of its spans: those of the policies, then those of the settings under other names. Tags that a control plane adds give way to
    /// both.
    pub fn tags(&self) -> impl Iterator<Item = &Tag> {
        let of_policies = self.tracer.iter().flat_map(|tracer| &tracer.tags);
        let added = &self.additions.tags;
        let is_promised = |name: &str| {
            let mut written = self.tracer.iter().flat_map(|tracer| &tracer.tags);
            written.any(|tag| tag.name == name && tag.source != Provenance::Default)
        };
        let stays = |tag: &&Tag| tag.source != Provenance::Default || added.iter().all(|other| other.name != tag.name);
        let added = added.iter().filter(move |tag| !is_promised(&tag.name));
        of_policies.filter(stays).chain(added)
    }

    /// The sampler of its tracer, where that is OpenTelemetry's; the percentage of the policies is then the sampler's.
    #[must_use]
    pub fn sampler(&self) -> Option<&Effective<Sampler>> {
        let export = self.tracer.as_ref()?.export.as_ref()?;
        let is_able = matches!(export.provider, Provider::OpenTelemetry(_));
        self.additions.sampler.as_ref().filter(|_| is_able)
    }

    /// The listeners that produce spans.
    pub fn traced(&self) -> impl Iterator<Item = &Listener> {
        self.listeners
            .iter()
            .filter(|listener| self.tracer.is_some() && listener.reports_as.is_some())
    }

    /// Whether a policy matches the proxy.
    #[must_use]
    pub fn is_matched_by(&self, policy: &ResourceId) -> bool {
        let traffic_traces = self.matching.iter().flat_map(|list| list.iter());
        let mesh_traces = self.mesh_traces.iter().map(|policy| &policy.origin.resource);
        traffic_traces.chain(mesh_traces).any(|id| **id == *policy)
    }

    /// The policy that decides: the strongest `MeshTrace`, or the `TrafficTrace` that it does not displace.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        let by_traffic_trace = self
            .tracer
            .as_ref()
            .is_some_and(|tracer| tracer.by == PolicyKind::TrafficTrace);
        let strongest = self.mesh_traces.last().filter(|_| !by_traffic_trace);
        strongest.or(self.traffic_trace.as_ref())
    }
}

/// A policy that governs a proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The name of the policy.
    pub name: String,
    /// The place of the policy.
    pub origin: Origin,
    /// The specificity with which the policy matches.
    pub specificity: Specificity,
}

/// The specificity of a policy among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specificity {
    /// The tags of the matching selector, for a `TrafficTrace`.
    Tags {
        /// The number of tags.
        tags: usize,
        /// The number of tags with an exact value.
        exact: usize,
    },
    /// The kind of the target, for a `MeshTrace`.
    Target(&'static str),
}

/// The kind of the policy that sets a tracer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// `TrafficTrace`, with a backend of the `Mesh`.
    TrafficTrace,
    /// `MeshTrace`, with a backend of its own.
    MeshTrace,
}

/// The tracer of a proxy: destination and form of spans, sampling and tags.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracer {
    /// The kind of the policy that sets the tracer.
    pub by: PolicyKind,
    /// The name of the backend, with the origin of the choice. A backend without a name is identified by
    /// its URL or endpoint.
    pub backend: Located<Text>,
    /// The destination of spans; `None` when the policy names a collector that does not exist.
    pub export: Option<Export>,
    /// The percentages of requests that are traced.
    pub sampling: Sampling,
    /// The tags of every span, in order.
    pub tags: Vec<Tag>,
}

/// The destination of spans, and their form.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// The name of the collector's cluster, for the references of listeners.
    pub cluster_name: String,
    /// Whether Envoy tracks the remaining capacity of the cluster's circuit breakers, as Kuma sets from 2.14 on.
    pub track_remaining: bool,
    /// The collector that receives the spans.
    pub collector: Collector,
    /// The form of the spans.
    pub provider: Provider,
}

/// Sampling percentages of requests, each 100 by default.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// The upper limit on all traced requests, applied after the other two.
    pub overall: Effective<Percent>,
    /// The percentage of requests with the header that asks for tracing.
    pub client: Effective<Percent>,
    /// The percentage of other requests.
    pub random: Effective<Percent>,
}

/// A collector of spans.
#[derive(Debug, Clone, PartialEq)]
pub struct Collector {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// The port that receives spans.
    pub port: u16,
    /// Host and port, in the form of the `Host` header.
    pub authority: String,
    /// The encryption of the connection; `None` for plain text.
    pub tls: Option<Tls>,
    /// The headers of requests to it, where the settings have any.
    pub headers: Option<Effective<Headers>>,
    /// The time in which an OpenTelemetry collector has to take spans, where the settings say so.
    pub timeout: Option<Effective<Duration>>,
    /// The origin of host and port.
    pub origin: Origin,
}

/// The encryption of a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// Whether the collector may renegotiate the handshake.
    pub renegotiation: bool,
    /// The certificates that are trusted, with the origin of the verification; `None` for no verification, as in Kuma.
    pub verified: Option<Effective<TrustedCa>>,
    /// The name that the certificate must have, and that is asked for; `None` for the host.
    pub name: Option<String>,
    /// The certificate of the proxy.
    pub certificate: Option<ClientCertificate>,
}

/// The form of the spans.
#[derive(Debug, Clone, PartialEq)]
pub enum Provider {
    /// Zipkin version 2.
    Zipkin(Zipkin),
    /// Datadog's protocol, to an agent.
    Datadog(Datadog),
    /// OpenTelemetry's protocol.
    OpenTelemetry(OpenTelemetry),
}

impl Provider {
    /// `zipkin`, `datadog` or `opentelemetry`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Zipkin(_) => "zipkin",
            Self::Datadog(_) => "datadog",
            Self::OpenTelemetry(_) => "opentelemetry",
        }
    }
}

/// Zipkin version 2.
#[derive(Debug, Clone, PartialEq)]
pub struct Zipkin {
    /// The path of the collector's URL, with its query if that is sent.
    pub path: String,
    /// The encoding of spans.
    pub encoding: Effective<ZipkinEncoding>,
    /// Whether new trace ids have 128 bits.
    pub trace_id_128bit: Effective<bool>,
    /// Whether client and server share a span.
    pub shared_span_context: Effective<bool>,
    /// Whether `shared_span_context` is written for Envoy even if it has the default.
    pub is_shared_span_context_explicit: bool,
    /// Whether upstream requests have spans of their own, as on gateways.
    pub split_spans: bool,
}

/// OpenTelemetry's protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenTelemetry {
    /// Over gRPC.
    Grpc,
    /// Over HTTP.
    Http {
        /// The URI that receives the spans.
        uri: String,
    },
}

/// The encoding of Zipkin spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZipkinEncoding {
    /// JSON, version 2.
    Json,
    /// JSON, version 2, where version 1 is written: Envoy cannot send that.
    JsonForV1,
    /// Protocol buffers.
    Proto,
}

/// Datadog's protocol, to an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Datadog {
    /// The `Host` header for the agent. With `None`, Envoy sends the name of the cluster, which a strict agent
    /// rejects.
    pub collector_hostname: Option<String>,
    /// Whether inbound and outbound spans have service names of their own.
    pub split_service: Effective<bool>,
}

/// The direction of requests through a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To the local application.
    Inbound,
    /// From the local application.
    Outbound,
    /// From outside of the mesh, through a built-in gateway.
    Gateway,
}

impl Direction {
    /// All directions.
    pub const ALL: [Self; 3] = [Self::Inbound, Self::Outbound, Self::Gateway];

    /// The word for the direction: `inbound`, `outbound` or `gateway`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Gateway => "gateway",
        }
    }
}

/// The source of the name of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerNaming {
    /// Direction, port and address. The address is the text of the declaration.
    Address(Text),
    /// The section of the dataplane that declares the listener.
    Section(Text),
    /// The identifier of the destination resource.
    Resource(Text),
    /// The gateway that declares the listener, with protocol and port.
    Gateway(Text),
}

/// One port of a proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// The direction of requests.
    pub direction: Direction,
    /// The source of the name.
    pub named: ListenerNaming,
    /// The place of the declaration.
    pub at: Location,
    /// The path of the declaration in the dataplane.
    pub path: Text,
    /// The bound address in canonical form, or a host name if the dataplane has one.
    pub address: Text,
    /// The address that the declaration has of its own; `None` if it has none.
    pub own_address: Option<IpAddr>,
    /// The bound port.
    pub port: u16,
    /// The protocol of requests.
    pub protocol: Effective<Protocol>,
    /// The destination service of requests, as declared.
    pub service: Text,
    /// The destinations among which the requests are split: one, unless a route names others. Without any, connections
    /// are closed.
    pub upstreams: Vec<Upstream>,
    /// The service name in the spans, for providers with one name per listener; `None` when the listener is
    /// not traced.
    pub reports_as: Option<Text>,
    /// The reason why the listener is not traced; `None` when it is.
    pub untraced_reason: Option<Text>,
}

impl Listener {
    /// The endpoints of all destinations.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        let destinations = self.upstreams.iter().map(|upstream| &upstream.destination);
        destinations.flat_map(|destination| destination.endpoints.iter())
    }

    /// The bound address, if it is an IP address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }
}

/// One of the destinations among which the requests of a listener are split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The destination, which the proxies that call it share.
    pub destination: Arc<Destination>,
    /// The share of requests, in relation to the sum of all weights beside it.
    pub weight: u32,
    /// The protocol of the destination.
    pub protocol: Protocol,
}

/// A destination of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The service that receives the requests.
    pub service: Text,
    /// The tags that narrow down its endpoints.
    pub tags: Tags,
    /// Kuma's name of its cluster.
    pub cluster: String,
    /// The endpoints, sorted.
    pub endpoints: Arc<[Endpoint]>,
    /// Whether some of the endpoints are host names, which Envoy must resolve.
    pub has_names: bool,
}

impl Destination {
    /// The destination with these endpoints.
    #[must_use]
    pub fn new(service: Text, tags: Tags, cluster: String, endpoints: Arc<[Endpoint]>) -> Self {
        Self {
            has_names: endpoints.iter().any(|endpoint| !collector_url::is_ip(&endpoint.host)),
            service,
            tags,
            cluster,
            endpoints,
        }
    }
}
