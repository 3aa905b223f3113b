//! An application behind a proxy, which echoes its request and may first call another one.
//!
//! `GET /call?url=URL` calls that URL; with a configured next hop, every request calls it. Either way, the headers
//! that join spans into one trace are passed on, as by any traced application. HTTP/1.1 and HTTP/2 on the same port;
//! a gRPC request gets its own message back, with `grpc-status: 0` in the trailers.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use serde_json::{Map, Value, json};

use super::http::{Answer, Body, Server, get};
use super::ports;

/// Prefixes of the headers that a traced application passes on: Envoy's, Zipkin's, the W3C's and Datadog's.
const TRACE_HEADERS: [&str; 6] = ["x-request-id", "x-b3-", "b3", "traceparent", "tracestate", "x-datadog-"];

/// The options of an application.
pub(crate) struct Plan {
    name: String,
    address: Option<SocketAddr>,
    next: Option<String>,
}

impl Plan {
    /// Sets the address; the default is one of its own.
    pub(crate) fn on(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Sets the URL to call for every request.
    pub(crate) fn calls(mut self, url: impl Into<String>) -> Self {
        self.next = Some(url.into());
        self
    }

    pub(crate) fn start(self) -> App {
        let Self { name, address, next } = self;
        let address = address.unwrap_or_else(|| ports::socket(8080));
        App {
            server: Server::start(address, move |request| answer(name.clone(), next.clone(), request)),
        }
    }
}

/// A running application.
pub(crate) struct App {
    server: Server,
}

impl App {
    pub(crate) fn named(name: &str) -> Plan {
        Plan {
            name: name.to_owned(),
            address: None,
            next: None,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }
}

async fn answer(name: String, next: Option<String>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if head
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"))
    {
        return grpc(body);
    }
    let called = match next.or_else(|| wanted(head.uri.query())) {
        Some(url) => called(get(url).headers(trace_headers(&head.headers)).answer().await),
        None => Value::Null,
    };
    let said = json!({
        "app": name,
        "method": head.method.as_str(),
        "path": head.uri.path_and_query().map(|p| p.as_str()),
        "version": format!("{:?}", head.version),
        "headers": listed(&head.headers),
        "body": String::from_utf8_lossy(&body),
        "called": called,
    });
    let mut response = Response::new(Full::from(said.to_string()).boxed());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn grpc(message: Bytes) -> Response<Body> {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))]);
    let body = Full::new(message)
        .with_trailers(std::future::ready(Some(Ok(trailers))))
        .boxed();
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// `url=` of a query: the rest of it, so that nothing in the URL needs an escape.
fn wanted(query: Option<&str>) -> Option<String> {
    query?.strip_prefix("url=").map(str::to_owned)
}

fn called(answer: Result<Answer, String>) -> Value {
    match answer {
        Ok(answer) => json!({
            "status": answer.status,
            "body": serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body)),
        }),
        Err(why) => json!({ "failed": why }),
    }
}

fn trace_headers(headers: &HeaderMap) -> HeaderMap {
    let passed = |name: &str| TRACE_HEADERS.iter().any(|prefix| name.starts_with(prefix));
    headers
        .iter()
        .filter(|(name, _)| passed(name.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect()
}

/// Headers as a JSON object; values of the same name are joined by commas.
fn listed(headers: &HeaderMap) -> Map<String, Value> {
    headers
        .keys()
        .map(|name| {
            let values = headers
                .get_all(name)
                .iter()
                .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
            (name.to_string(), Value::String(values.collect::<Vec<_>>().join(", ")))
        })
        .collect()
}
