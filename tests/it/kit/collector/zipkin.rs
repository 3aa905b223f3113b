//! Zipkin's v2 JSON, with the fields that Envoy sets.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::span::{Kind, Span};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ZipkinSpan {
    trace_id: String,
    id: String,
    parent_id: Option<String>,
    kind: Option<ZipkinKind>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    local_endpoint: Endpoint,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    shared: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum ZipkinKind {
    Client,
    Server,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    #[serde(default)]
    service_name: String,
}

/// The spans of a request.
pub(super) fn decode(body: &[u8]) -> Result<Vec<Span>, String> {
    let spans: Vec<ZipkinSpan> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(spans.into_iter().map(Span::from).collect())
}

impl From<ZipkinSpan> for Span {
    fn from(span: ZipkinSpan) -> Self {
        Self {
            trace_id: span.trace_id,
            id: span.id,
            parent_id: span.parent_id,
            service: span.local_endpoint.service_name,
            name: span.name,
            kind: span.kind.map(|kind| match kind {
                ZipkinKind::Client => Kind::Client,
                ZipkinKind::Server => Kind::Server,
            }),
            shared: span.shared,
            tags: span.tags,
            resource: BTreeMap::new(),
        }
    }
}
