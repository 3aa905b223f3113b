//! A collector for OpenTelemetry: takes OTLP over gRPC and over HTTP at one port, and shows the spans to the test.
//!
//! The messages are decoded with OpenTelemetry's own definitions of its protocol.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use prost::Message;

use super::http::{Body, Server};
use super::inbox::Inbox;
use super::ports;

const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A span, ids in hexadecimal.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace_id: String,
    pub(crate) id: String,
    /// Empty for the first one of a trace.
    pub(crate) parent_id: String,
    pub(crate) service: String,
    /// As in the protocol: 2 is a server's, 3 a client's.
    pub(crate) kind: i32,
    pub(crate) attributes: Vec<(String, String)>,
}

/// One request of a tracer.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) path: String,
    pub(crate) version: String,
}

/// A running collector.
pub(crate) struct Otlp {
    server: Server,
    inbox: Inbox<Report, Span>,
}

impl Otlp {
    /// Listens on an address of its own.
    pub(crate) fn start() -> Self {
        let inbox = Inbox::new();
        let shared = inbox.clone();
        let server = Server::start(ports::socket(4317), move |request| receive(shared.clone(), request));
        Self { server, inbox }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// All requests so far, in order of arrival.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.inbox.reports()
    }

    /// Waits until `find` finds what it looks for among all spans so far.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, find: impl FnMut(&[Span]) -> Option<T>) -> T {
        self.inbox.wait_for(find)
    }
}

async fn receive(inbox: Inbox<Report, Span>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let is_grpc = head.uri.path() == GRPC_PATH;
    let decoded = if is_grpc {
        messages(&body)
    } else {
        decode(&body).map(|spans| vec![spans])
    };
    let report = Report {
        path: head.uri.path().to_owned(),
        version: format!("{:?}", head.version),
    };
    let status = match &decoded {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::BAD_REQUEST,
    };
    inbox.put(report, decoded.map(|spans| spans.into_iter().flatten().collect()));
    if is_grpc { grpc_answer() } else { http_answer(status) }
}

/// The spans of the messages of a gRPC call: each has a flag and its length before it.
fn messages(mut body: &[u8]) -> Result<Vec<Vec<Span>>, String> {
    let mut all = Vec::new();
    while let Some((head, rest)) = body.split_at_checked(5) {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (message, rest) = rest.split_at_checked(length).ok_or("a message is cut off")?;
        all.push(decode(message)?);
        body = rest;
    }
    Ok(all)
}

fn decode(message: &[u8]) -> Result<Vec<Span>, String> {
    let request = ExportTraceServiceRequest::decode(message).map_err(|why| why.to_string())?;
    let of_resource = |spans: opentelemetry_proto::tonic::trace::v1::ResourceSpans| {
        let attributes = spans.resource.map(|resource| resource.attributes).unwrap_or_default();
        let service = texts(&attributes).into_iter().find(|(key, _)| key == "service.name");
        let service = service.map(|(_, service)| service).unwrap_or_default();
        let inner = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
        inner.map(|span| of_span(span, &service)).collect::<Vec<_>>()
    };
    Ok(request.resource_spans.into_iter().flat_map(of_resource).collect())
}

fn of_span(span: opentelemetry_proto::tonic::trace::v1::Span, service: &str) -> Span {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Span {
        trace_id: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent_id: hex(&span.parent_span_id),
        service: service.to_owned(),
        kind: span.kind,
        attributes: texts(&span.attributes),
    }
}

/// The attributes that are text.
fn texts(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some((attribute.key.clone(), text.clone())),
        _ => None,
    };
    attributes.iter().filter_map(text).collect()
}

/// An empty answer, and that all went well.
fn grpc_answer() -> Response<Body> {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(body.boxed());
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn http_answer(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::new()).boxed());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/x-protobuf");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
