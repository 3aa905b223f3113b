//! Effective tracing per proxy.
//!
//! [`lower()`] turns the selection into values with every default filled in: one [`Proxy`] per dataplane, one
//! [`Listener`] per port. Names of clusters and choices that depend on the kind of policy are resolved here; how
//! Envoy spells them is not known.

mod tag;

mod additions;

mod proxy_key;

mod proxy;

mod added;

mod tracer;

mod left_out;

mod naming;

mod destinations;

mod adding;

mod cache;

mod lower;

pub use crate::select::destination::Endpoint;
pub use added::Added;
pub use additions::Additions;
pub use cache::Cache;
pub use lower::lower;
pub use proxy::{
    AllLeftOut, Collector, Datadog, Destination, Direction, Export, LeftOut, Listener, ListenerNaming, OpenTelemetry,
    Policy, PolicyKind, Provider, Proxy, Sampling, Specificity, Tls, Tracer, Upstream, Zipkin, ZipkinEncoding,
};
pub use proxy_key::{DataplaneName, ProxyKey};
pub use tag::{Tag, TagValue};
