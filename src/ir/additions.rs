//! The additions of the settings to the tracing of a proxy.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tag::Tag;
use crate::resource::{Effective, Provenance};
use crate::spans::{RequestId, Sampler, Template, Untraced};

/// The additions of the settings to the tracing of a proxy, whichever policy asks for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Additions {
    /// The service name in spans, which the dataplane has all tags for.
    pub service_name: Option<Effective<Template>>,
    /// The attributes of the OpenTelemetry resource, by their names.
    pub resource_attributes: BTreeMap<String, Effective<String>>,
    /// The setting by which the environment of Envoy has more of them, if there is one.
    pub detects_environment: Option<Provenance>,
    /// The tags of spans, sorted by name.
    pub tags: Vec<Tag>,
    /// Whether Zipkin's tracer reads and writes W3C's header beside B3.
    pub w3c: Option<Effective<bool>>,
    /// The treatment of the header `x-request-id`.
    pub request_id: Option<Effective<RequestId>>,
    /// The sampler of OpenTelemetry's tracer.
    pub sampler: Option<Effective<Sampler>>,
    /// The requests that are not traced.
    pub untraced: Arc<[Untraced]>,
}
