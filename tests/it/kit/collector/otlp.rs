//! OTLP over gRPC and HTTP, decoded with OpenTelemetry's own protocol definitions.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span as OtlpSpan};
use prost::Message;

use super::span::{Kind, Span};

/// The path of the call that exports spans.
pub(super) const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The spans of the messages of a gRPC call, each preceded by a flag and its length.
pub(super) fn decode_grpc(mut body: &[u8]) -> Result<Vec<Span>, String> {
    let mut all = Vec::new();
    while let Some((head, rest)) = body.split_at_checked(5) {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (message, rest) = rest.split_at_checked(length).ok_or("a message is cut off")?;
        all.extend(decode(message)?);
        body = rest;
    }
    Ok(all)
}

/// The spans of a message.
pub(super) fn decode(message: &[u8]) -> Result<Vec<Span>, String> {
    let request = ExportTraceServiceRequest::decode(message).map_err(|why| why.to_string())?;
    Ok(request.resource_spans.into_iter().flat_map(of_resource).collect())
}

fn of_resource(spans: ResourceSpans) -> Vec<Span> {
    let attributes = spans.resource.map(|resource| resource.attributes).unwrap_or_default();
    let resource = texts(&attributes);
    let inner = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
    inner.map(|span| of_span(span, &resource)).collect()
}

fn of_span(span: OtlpSpan, resource: &BTreeMap<String, String>) -> Span {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let kind = match span.kind() {
        SpanKind::Server => Some(Kind::Server),
        SpanKind::Client => Some(Kind::Client),
        SpanKind::Unspecified | SpanKind::Internal | SpanKind::Producer | SpanKind::Consumer => None,
    };
    Span {
        trace_id: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent_id: Some(hex(&span.parent_span_id)).filter(|id| !id.is_empty()),
        service: resource.get("service.name").cloned().unwrap_or_default(),
        resource: resource.clone(),
        kind,
        shared: false,
        tags: texts(&span.attributes),
        name: span.name,
    }
}

/// The attributes that are text.
fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some((attribute.key.clone(), text.clone())),
        _ => None,
    };
    attributes.iter().filter_map(text).collect()
}
