//! A proxy and how it traces, with every default filled in.

use std::net::IpAddr;

use crate::resource::value::percent::Percent;
use crate::resource::value::protocol::Protocol;
use crate::resource::{Effective, Located, Origin};
use crate::source::Location;

/// A proxy and how it traces.
#[derive(Debug, Clone, PartialEq)]
pub struct Proxy {
    /// The mesh of the dataplane.
    pub mesh: String,
    /// The name of the dataplane in its mesh.
    pub name: String,
    /// Where it is declared.
    pub at: Location,
    /// The service it is known by: under this name Zipkin files its spans.
    pub service: String,
    /// Whether names of collectors may resolve to IPv6 addresses.
    pub ipv6: bool,
    /// Where its outbounds stand if only a control plane can know them.
    pub transparent: Option<Location>,
    /// Whether it is a built-in gateway, which reports its upstream requests as spans of their own.
    pub is_gateway: bool,
    /// Whether listeners and clusters are named after resources rather than addresses.
    pub unified_naming: bool,
    /// The `TrafficTrace` that governs it, whether spans come of it or not.
    pub traffic_trace: Option<Policy>,
    /// The `MeshTrace` policies for it, by increasing precedence.
    pub mesh_traces: Vec<Policy>,
    /// Where its spans go; `None` when it does not trace.
    pub tracer: Option<Tracer>,
    /// The tracer that a stronger policy displaced, and whose cluster a control plane keeps.
    pub idle_tracer: Option<Tracer>,
    /// The listeners; inbounds first, each in the order written.
    pub listeners: Vec<Listener>,
}

impl Proxy {
    /// The listeners that produce spans.
    pub fn traced(&self) -> impl Iterator<Item = &Listener> {
        self.listeners
            .iter()
            .filter(|listener| self.tracer.is_some() && listener.reports_as.is_some())
    }

    /// The policy that decides: the strongest `MeshTrace`, unless it leaves a `TrafficTrace` alone.
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

/// The policy that governs a proxy, and how it came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The name of the policy.
    pub name: String,
    /// Where it is.
    pub origin: Origin,
    /// How specific it is.
    pub specificity: Specificity,
}

/// The rank of a policy among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specificity {
    /// Of a `TrafficTrace`: the selector that matched.
    Tags {
        /// Number of its tags.
        tags: usize,
        /// How many of them name a value.
        exact: usize,
    },
    /// Of a `MeshTrace`: the kind of its target.
    Target(&'static str),
}

/// The kind of policy that a tracer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// `TrafficTrace`, with a backend of the `Mesh`.
    TrafficTrace,
    /// `MeshTrace`, with a backend of its own.
    MeshTrace,
}

/// Where spans go and in which form.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracer {
    /// The kind of policy it comes from.
    pub by: PolicyKind,
    /// The name of the backend, and what chose it. Where a backend has no name it is what tells one from another:
    /// its URL or endpoint.
    pub backend: Located<String>,
    /// Where the spans go; `None` where the policy names a collector that does not exist.
    pub export: Option<Export>,
    /// Share of requests that are traced.
    pub sampling: Sampling,
    /// Tags of every span, in their order.
    pub tags: Vec<Tag>,
}

/// The destination of spans, and their form.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// The name of the cluster of the collector, which listeners refer to.
    pub cluster_name: String,
    /// Whether Envoy keeps statistics of how near the cluster is to its limits, as Kuma asks for from 2.14 on.
    pub track_remaining: bool,
    /// The place that receives the spans.
    pub collector: Collector,
    /// The form of the spans.
    pub provider: Provider,
}

/// Shares of requests. What nobody wrote is all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Of those that may be traced after all other decisions.
    pub overall: Effective<Percent>,
    /// Of those that ask to be traced.
    pub client: Effective<Percent>,
    /// Of the others.
    pub random: Effective<Percent>,
}

/// A tag of every span.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// The name of the tag on spans.
    pub name: String,
    /// The source of the value.
    pub value: TagValue,
    /// Where the value is written; `None` for those that a control plane adds.
    pub origin: Option<Origin>,
}

/// Where the value of a tag comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagValue {
    /// Always this.
    Literal(String),
    /// A header of the request.
    Header {
        /// The name of the header.
        name: String,
        /// The value without that header.
        default: Option<String>,
    },
}

/// A place that takes spans.
#[derive(Debug, Clone, PartialEq)]
pub struct Collector {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// The port at which it receives spans.
    pub port: u16,
    /// Host and port as they go into the `Host` header.
    pub authority: String,
    /// How the connection is encrypted; `None` when it is not.
    pub tls: Option<Tls>,
    /// Where host and port were read.
    pub origin: Origin,
}

/// How a connection is encrypted.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// Whether the collector may ask for a new handshake.
    pub renegotiation: bool,
    /// Where it is asked that its certificate is verified; `None` means that none is, as in Kuma.
    pub verified: Option<Origin>,
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
    /// Path that takes the spans.
    pub path: String,
    /// How they are written.
    pub encoding: Effective<ZipkinEncoding>,
    /// Whether new trace ids have 128 bits.
    pub trace_id_128bit: Effective<bool>,
    /// Whether client and server share a span.
    pub shared_span_context: Effective<bool>,
    /// Whether the choice above is written for Envoy although it is the default.
    pub is_shared_span_context_explicit: bool,
    /// Whether requests of a gateway to its upstreams have spans of their own.
    pub split_spans: bool,
}

/// OpenTelemetry's protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenTelemetry {
    /// Over gRPC.
    Grpc,
    /// Over HTTP.
    Http {
        /// Where the spans are posted.
        uri: String,
    },
}

/// How Zipkin spans are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZipkinEncoding {
    /// JSON, version 2.
    Json,
    /// Protocol buffers.
    Proto,
}

/// Datadog's protocol, to an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Datadog {
    /// The `Host` header for the agent; `None` sends the name of the cluster, which a strict agent rejects.
    pub collector_hostname: Option<String>,
    /// Whether inbound and outbound spans are filed under names of their own.
    pub split_service: Effective<bool>,
}

/// Which way requests go through a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To the local application.
    Inbound,
    /// From the local application.
    Outbound,
    /// From outside of the mesh, through a built-in gateway.
    Gateway,
}

/// The source of the name of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerNaming {
    /// The direction, the port and the address, which is here as it was written.
    Address(String),
    /// The section of the dataplane that declares it.
    Section(String),
    /// The identifier of the resource it leads to.
    Resource(String),
    /// The gateway that declares it, with protocol and port.
    Gateway(String),
}

/// One port of a proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Which way.
    pub direction: Direction,
    /// The source of the name.
    pub named: ListenerNaming,
    /// Where it is declared.
    pub at: Location,
    /// The path of its declaration in the dataplane.
    pub path: String,
    /// The address it binds, in its usual form; a name where the dataplane has one.
    pub address: String,
    /// The port it binds.
    pub port: u16,
    /// The protocol of requests.
    pub protocol: Effective<Protocol>,
    /// The service its requests are for.
    pub service: String,
    /// The name of where its requests go, which tells two places of one service apart.
    pub destination: String,
    /// Where its requests go.
    pub upstream: Vec<Endpoint>,
    /// The name under which its spans are filed where the provider takes one per listener; `None` when it is
    /// not traced.
    pub reports_as: Option<String>,
    /// Why it is not traced, in a few words; `None` when it is.
    pub untraced_reason: Option<String>,
}

impl Listener {
    /// The address, if it is one that can be bound as it stands.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }
}

/// One place that requests go to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Host name or IP address.
    pub host: String,
    /// The port at which requests are taken.
    pub port: u16,
}
