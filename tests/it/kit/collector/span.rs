//! A span, in the same form whatever protocol it came by.

use std::collections::BTreeMap;

/// A span of an Envoy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    /// As the protocol writes it: in hexadecimal, of Datadog in decimal.
    pub(crate) trace_id: String,
    /// As the protocol writes it.
    pub(crate) id: String,
    /// `None` for the first span of a trace.
    pub(crate) parent_id: Option<String>,
    pub(crate) service: String,
    /// The name of the operation; Datadog's resource.
    pub(crate) name: String,
    /// `None` where the protocol or Envoy has none.
    pub(crate) kind: Option<Kind>,
    /// The id is that of the caller's span: both sides report the same one. Of Zipkin only.
    pub(crate) shared: bool,
    /// Tags, attributes or meta that are text.
    pub(crate) tags: BTreeMap<String, String>,
}

/// The side of a call that a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Client,
    Server,
}

/// The spans of a trace, once there are so many.
pub(crate) fn of_trace(spans: &[Span], trace_id: &str, count: usize) -> Option<Vec<Span>> {
    let of_trace: Vec<Span> = spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect();
    (of_trace.len() == count).then_some(of_trace)
}
