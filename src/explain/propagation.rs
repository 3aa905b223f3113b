//! The headers that carry a trace, by tracer, as `tests/it/propagation.rs` measures them on a real Envoy.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::compilation::Compilation;
use crate::ir::{Direction, Listener, Proxy};

/// The headers of one tracer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers {
    /// The headers from which the tracer continues a trace; the first header of each set.
    pub reads: &'static [&'static str],
    /// The headers that the tracer writes for the next proxy.
    pub writes: &'static [&'static str],
}

/// The headers of a provider's tracer.
#[must_use]
pub fn of_provider(provider: &str) -> Headers {
    match provider {
        "zipkin" => Headers {
            reads: &["x-b3-traceid", "b3"],
            writes: &["x-b3-traceid", "x-b3-spanid", "x-b3-sampled"],
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
    let mut found = Vec::new();
    for other in compilation
        .proxies
        .iter()
        .filter(|other| other.mesh == proxy.mesh && other.name != proxy.name)
    {
        let Some(theirs) = provider(other) else { continue };
        let neighbour = |called| Neighbour {
            dataplane: other.name.clone(),
            called,
            provider: theirs.to_owned(),
        };
        if calls(proxy, other) && !continues(own, theirs) {
            found.push(neighbour(true));
        }
        if calls(other, proxy) && !continues(theirs, own) {
            found.push(neighbour(false));
        }
    }
    found.sort();
    found
}

/// The provider of a proxy that makes spans.
#[must_use]
pub fn provider(proxy: &Proxy) -> Option<&'static str> {
    proxy.traced().next()?;
    Some(proxy.tracer.as_ref()?.export.as_ref()?.provider.name())
}

/// Whether an HTTP outbound of `caller` leads to an HTTP inbound of `called`.
#[must_use]
pub fn calls(caller: &Proxy, called: &Proxy) -> bool {
    let outbounds = caller
        .listeners
        .iter()
        .filter(|listener| listener.direction == Direction::Outbound);
    let targets: BTreeSet<(&str, u16)> = outbounds
        .filter(|listener| listener.protocol.value.is_http())
        .flat_map(Listener::endpoints)
        .map(|endpoint| (endpoint.host.as_str(), endpoint.port))
        .collect();
    let mut inbounds = called
        .listeners
        .iter()
        .filter(|listener| listener.direction == Direction::Inbound);
    inbounds.any(|listener| targets.contains(&(listener.address.as_str(), listener.port)))
}
