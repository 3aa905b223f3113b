//! A Zipkin collector: takes what Envoy sends and shows it to the test.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use serde::Deserialize;

use super::http::{Body, Server};
use super::inbox::Inbox;
use super::ports;

/// A span in Zipkin's v2 JSON form, the fields Envoy writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Span {
    pub(crate) trace_id: String,
    pub(crate) id: String,
    pub(crate) parent_id: Option<String>,
    /// `CLIENT` or `SERVER`.
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) local_endpoint: Endpoint,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    /// The id is that of the caller's span: both sides report the same one.
    #[serde(default)]
    pub(crate) shared: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Endpoint {
    #[serde(default)]
    pub(crate) service_name: String,
}

/// One request of a tracer.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) spans: Vec<Span>,
}

/// A running collector.
pub(crate) struct Zipkin {
    server: Server,
    inbox: Inbox<Report, Span>,
}

impl Zipkin {
    /// Listens on an address of its own.
    pub(crate) fn start() -> Self {
        Self::start_on(ports::socket(9411))
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

    /// All reports so far, in order of arrival.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.inbox.reports()
    }

    /// Waits until `find` finds what it looks for among all spans so far. Envoy sends them every five seconds.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, find: impl FnMut(&[Span]) -> Option<T>) -> T {
        self.inbox.wait_for(find)
    }
}

async fn receive(inbox: Inbox<Report, Span>, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let host = request
        .headers()
        .get(HOST)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let post = request.method() == hyper::Method::POST;
    let read: Result<Vec<Span>, String> = match request.into_body().collect().await {
        Ok(_) if !post => Err("not a POST".to_owned()),
        Ok(body) => serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let status = match &read {
        Ok(_) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::BAD_REQUEST,
    };
    let spans = read.clone().unwrap_or_default();
    let read = read.map_err(|why| format!("{path}: {why}"));
    inbox.put(Report { path, host, spans }, read);
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = status;
    response
}
