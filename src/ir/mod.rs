//! Effective tracing per proxy, in words of its own.
//!
//! [`lower`] turns what was selected into values with every default filled in: one [`Proxy`] per dataplane,
//! one [`Listener`] per port. How Envoy spells any of it is not known here.

mod lower;

pub use lower::lower;

use std::net::IpAddr;

use crate::resource::percent::Percent;
use crate::resource::protocol::Protocol;
use crate::resource::{Chosen, Located, Origin};
use crate::source::Location;

/// A proxy and how it traces.
#[derive(Debug, Clone, PartialEq)]
pub struct Proxy {
    /// Its mesh.
    pub mesh: String,
    /// Its name in the mesh.
    pub name: String,
    /// Where it is declared.
    pub at: Location,
    /// The service it is known by: under this name Zipkin files its spans.
    pub service: String,
    /// Whether names of collectors may resolve to IPv6 addresses.
    pub ipv6: bool,
    /// Where its outbounds stand if only a control plane can know them.
    pub transparent: Option<Location>,
    /// The policy that governs it, whether spans come of it or not.
    pub policy: Option<Policy>,
    /// Where its spans go; `None` when it does not trace.
    pub tracer: Option<Tracer>,
    /// What it listens to; inbounds first, each in the order written.
    pub listeners: Vec<Listener>,
}

impl Proxy {
    /// The listeners that produce spans.
    pub fn traced(&self) -> impl Iterator<Item = &Listener> {
        self.listeners
            .iter()
            .filter(|listener| self.tracer.is_some() && listener.reports_as.is_some())
    }
}

/// The policy that governs a proxy, and how it came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub origin: Origin,
    /// Tags of the selector that matched.
    pub tags: usize,
    /// How many of them name a value.
    pub exact: usize,
}

/// Where spans go and in which form.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracer {
    /// The name of the backend, and what chose it.
    pub backend: Located<String>,
    /// The place that takes the spans.
    pub collector: Collector,
    /// Their form.
    pub provider: Provider,
    /// Share of requests that are traced; the default is all.
    pub sampling: Chosen<Percent>,
}

/// A place that takes spans.
#[derive(Debug, Clone, PartialEq)]
pub struct Collector {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Host and port as they go into the `Host` header.
    pub authority: String,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Where host and port were read.
    pub origin: Origin,
}

/// The form of the spans.
#[derive(Debug, Clone, PartialEq)]
pub enum Provider {
    /// Zipkin version 2.
    Zipkin(Zipkin),
    /// Datadog.
    Datadog(Datadog),
}

impl Provider {
    /// `zipkin` or `datadog`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Zipkin(_) => "zipkin",
            Self::Datadog(_) => "datadog",
        }
    }
}

/// Zipkin version 2.
#[derive(Debug, Clone, PartialEq)]
pub struct Zipkin {
    /// Path that takes the spans.
    pub path: String,
    /// How they are written.
    pub encoding: Chosen<ZipkinEncoding>,
    /// Whether new trace ids have 128 bits.
    pub trace_id_128bit: Chosen<bool>,
    /// Whether client and server share a span.
    pub shared_span_context: Chosen<bool>,
}

/// How Zipkin spans are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZipkinEncoding {
    /// JSON.
    Json,
    /// Protocol buffers.
    Proto,
}

/// Datadog.
#[derive(Debug, Clone, PartialEq)]
pub struct Datadog {
    /// Whether inbound and outbound spans are filed under names of their own.
    pub split_service: Chosen<bool>,
}

/// Which way requests go through a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To the local application.
    Inbound,
    /// From the local application.
    Outbound,
}

/// One port of a proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Which way.
    pub direction: Direction,
    /// Where it is declared.
    pub at: Location,
    /// The path of its declaration in the dataplane.
    pub path: String,
    /// The address it binds, as it was written; a name where the dataplane has one.
    pub address: String,
    /// The port it binds.
    pub port: u16,
    /// What it speaks.
    pub protocol: Chosen<Protocol>,
    /// The service its requests are for.
    pub service: String,
    /// Where its requests go.
    pub upstream: Vec<Endpoint>,
    /// The name under which its spans are filed where the provider takes one per listener; `None` when it is
    /// not traced.
    pub reports_as: Option<String>,
    /// Why it is not traced, in a few words; `None` when it is.
    pub untraced_because: Option<String>,
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
    /// Port.
    pub port: u16,
}
