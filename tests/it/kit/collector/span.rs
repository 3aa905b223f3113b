//! A span, in one form for all protocols.

use std::collections::BTreeMap;

/// A span of an Envoy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    /// The trace id in the form of the protocol: hexadecimal, for Datadog decimal.
    pub(crate) trace_id: String,
    /// The id in the form of the protocol.
    pub(crate) id: String,
    /// `None` for the first span of a trace.
    pub(crate) parent_id: Option<String>,
    pub(crate) service: String,
    /// The name of the operation; Datadog's resource.
    pub(crate) name: String,
    /// The side of the call; `None` if the protocol or Envoy does not send it.
    pub(crate) kind: Option<Kind>,
    /// Whether the id is that of the caller's span, so that both sides report the same id; Zipkin only.
    pub(crate) shared: bool,
    /// The tags, attributes or meta with text values.
    pub(crate) tags: BTreeMap<String, String>,
    /// The attributes of the resource with text values; OpenTelemetry only.
    pub(crate) resource: BTreeMap<String, String>,
}

/// The side of a call that a span belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Client,
    Server,
}

/// The spans of a trace, once there are `count` of them.
pub(crate) fn of_trace(spans: &[Span], trace_id: &str, count: usize) -> Option<Vec<Span>> {
    let of_trace: Vec<Span> = spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect();
    (of_trace.len() == count).then_some(of_trace)
}
