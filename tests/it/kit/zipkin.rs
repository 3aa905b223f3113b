//! A Zipkin collector: takes what Envoy sends and shows it to the test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use serde::Deserialize;

use super::http::{Body, Server};
use super::ports;
use super::wait::DEADLINE;

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

#[derive(Default)]
struct Received {
    reports: Vec<Report>,
    /// What was no list of spans, and why.
    refused: Vec<String>,
}

#[derive(Default)]
struct Inbox {
    received: Mutex<Received>,
    arrived: Condvar,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A running collector.
pub(crate) struct Zipkin {
    server: Server,
    inbox: Arc<Inbox>,
}

impl Zipkin {
    /// Listens on an address of its own.
    pub(crate) fn start() -> Self {
        Self::start_on(ports::socket(9411))
    }

    pub(crate) fn start_on(address: SocketAddr) -> Self {
        let inbox = Arc::new(Inbox::default());
        let shared = Arc::clone(&inbox);
        let server = Server::start(address, move |request| receive(Arc::clone(&shared), request));
        Self { server, inbox }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// All reports so far, in order of arrival.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.inbox.lock().reports.clone()
    }

    /// Waits until `find` finds what it looks for among all spans so far. Envoy sends them every five seconds.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, mut find: impl FnMut(&[Span]) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut received = self.inbox.lock();
        loop {
            assert!(
                received.refused.is_empty(),
                "the collector could not read: {:#?}",
                received.refused
            );
            let spans: Vec<Span> = received
                .reports
                .iter()
                .flat_map(|report| report.spans.clone())
                .collect();
            if let Some(found) = find(&spans) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "not among the spans that came within {DEADLINE:?}: {spans:#?}"
            );
            received = self
                .inbox
                .arrived
                .wait_timeout(received, left)
                .unwrap_or_else(|e| e.into_inner())
                .0;
        }
    }
}

async fn receive(inbox: Arc<Inbox>, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let host = request
        .headers()
        .get(HOST)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let post = request.method() == hyper::Method::POST;
    let read = match request.into_body().collect().await {
        Ok(_) if !post => Err("not a POST".to_owned()),
        Ok(body) => serde_json::from_slice(&body.to_bytes()).map_err(|e| e.to_string()),
        Err(e) => Err(e.to_string()),
    };
    let status = {
        let mut received = inbox.lock();
        match read {
            Ok(spans) => {
                received.reports.push(Report { path, host, spans });
                StatusCode::ACCEPTED
            }
            Err(why) => {
                received.refused.push(format!("{path}: {why}"));
                StatusCode::BAD_REQUEST
            }
        }
    };
    inbox.arrived.notify_all();
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = status;
    response
}
