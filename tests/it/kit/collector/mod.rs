//! Collectors for all protocols of Envoy's tracers, with spans in one form.
//!
//! [`Collector`] receives Zipkin's JSON and OTLP, over gRPC and HTTP, on one port. [`DatadogAgent`] is Datadog's own
//! test agent, which also checks the traces.

mod datadog;
mod inbox;
mod otlp;
mod span;
mod zipkin;

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use self::inbox::Inbox;
use super::http::{Body, Server};
use super::ports;

pub(crate) use datadog::DatadogAgent;
pub(crate) use span::{Kind, Span, of_trace};

/// One request of a tracer.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) version: String,
    pub(crate) headers: HeaderMap,
    /// The number of spans in the request.
    pub(crate) spans: usize,
}

/// A running collector for Zipkin and OpenTelemetry.
pub(crate) struct Collector {
    server: Server,
    inbox: Inbox,
}

impl Collector {
    /// A collector at an address of its own.
    pub(crate) fn start() -> Self {
        // No protocol usually has this port, so that no finding warns of another one.
        Self::start_on(ports::socket(19_411))
    }

    pub(crate) fn start_on(address: SocketAddr) -> Self {
        let inbox = Inbox::new();
        let shared = inbox.clone();
        let server = Server::start(address, move |request| receive(shared.clone(), request));
        Self { server, inbox }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// All requests so far, in order of arrival.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.inbox.reports()
    }

    /// Waits until `find` returns a value for all spans received so far. Envoy sends spans every five seconds.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, find: impl FnMut(&[Span]) -> Option<T>) -> T {
        self.inbox.wait_for(find)
    }
}

/// The forms of spans, by the names that scenarios have for them.
pub(crate) const FORMS: [&str; 4] = ["Zipkin", "Datadog", "OTLP over gRPC", "OTLP over HTTP"];

/// A collector for one of the forms.
pub(crate) enum Store {
    Of(Collector),
    Datadog(DatadogAgent),
}

impl Store {
    pub(crate) fn for_form(form: &str) -> Self {
        match form {
            "Datadog" => Self::Datadog(DatadogAgent::start()),
            _ => Self::Of(Collector::start()),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Of(collector) => collector.address(),
            Self::Datadog(agent) => agent.address(),
        }
    }

    /// Waits until `find` returns a value for all spans received so far.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, find: impl FnMut(&[Span]) -> Option<T>) -> T {
        match self {
            Self::Of(collector) => collector.wait_for(find),
            Self::Datadog(agent) => agent.wait_for(find),
        }
    }
}

/// The protocol of a request.
#[derive(Clone, Copy)]
enum Protocol {
    Zipkin,
    OtlpGrpc,
    OtlpHttp,
}

impl Protocol {
    fn of(head: &Parts) -> Self {
        let is_json = |value: &HeaderValue| value.as_bytes().starts_with(b"application/json");
        if head.uri.path() == otlp::GRPC_PATH {
            Self::OtlpGrpc
        } else if head.headers.get(CONTENT_TYPE).is_none_or(is_json) {
            Self::Zipkin
        } else {
            Self::OtlpHttp
        }
    }
}

async fn receive(inbox: Inbox, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let protocol = Protocol::of(&head);
    let path = head.uri.path();
    let body = body.collect().await.map(|body| body.to_bytes());
    let decoded = match (&head.method, body) {
        (&Method::POST, Ok(body)) => match protocol {
            Protocol::Zipkin => zipkin::decode(&body),
            Protocol::OtlpGrpc => otlp::decode_grpc(&body),
            Protocol::OtlpHttp => otlp::decode(&body),
        },
        (_, Ok(_)) => Err("not a POST".to_owned()),
        (_, Err(error)) => Err(error.to_string()),
    };
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let report = Report {
        path: head
            .uri
            .path_and_query()
            .map_or(path, |whole| whole.as_str())
            .to_owned(),
        host: host.unwrap_or_default().to_owned(),
        version: format!("{:?}", head.version),
        headers: head.headers.clone(),
        spans: decoded.as_ref().map_or(0, Vec::len),
    };
    let status = match (&decoded, protocol) {
        (Err(_), _) => StatusCode::BAD_REQUEST,
        (Ok(_), Protocol::Zipkin) => StatusCode::ACCEPTED,
        (Ok(_), Protocol::OtlpGrpc | Protocol::OtlpHttp) => StatusCode::OK,
    };
    inbox.put(report, decoded.map_err(|why| format!("{path}: {why}")));
    match protocol {
        Protocol::Zipkin => response(status, "text/plain", Full::default().boxed()),
        Protocol::OtlpHttp => response(status, "application/x-protobuf", Full::default().boxed()),
        Protocol::OtlpGrpc => response(StatusCode::OK, "application/grpc", grpc_success()),
    }
}

fn response(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// An empty message with the status of success.
fn grpc_success() -> Body {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))]);
    let message = Full::new(Bytes::from_static(&[0; 5]));
    message.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed()
}
