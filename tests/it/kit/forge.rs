//! A code host that keeps the comments of one pull request, as GitHub and GitLab answer for theirs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::{Value, json};

use super::http::{Body, Server};

/// The number of comments on one page, fewer than are asked for.
const PAGE: usize = 2;

/// The comments by their ids.
type Comments = BTreeMap<u64, String>;

/// A running code host.
pub(crate) struct Forge {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    comments: Comments,
    last: u64,
    /// The requests, each as its method and path.
    asked: Vec<String>,
    /// The header that must be there, and its value.
    token: (String, String),
}

impl Forge {
    /// A code host at which other people have commented; requests without the token are refused.
    pub(crate) fn start(header: &str, token: &str) -> Self {
        let mut state = State {
            token: (header.to_owned(), token.to_owned()),
            ..State::default()
        };
        for text in ["Looks good.", "Why?", "<!-- another bot -->"] {
            state.last += 1;
            state.comments.insert(state.last, text.to_owned());
        }
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let server = Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), move |request| {
            answer(Arc::clone(&shared), request)
        });
        Self { server, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// The comments, except those of other people.
    pub(crate) fn ours(&self) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.comments.values().skip(3).cloned().collect()
    }

    /// The requests that changed something since the last call.
    pub(crate) fn changes(&self) -> Vec<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = std::mem::take(&mut state.asked);
        asked.into_iter().filter(|line| !line.starts_with("GET ")).collect()
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.asked.push(format!("{} {}", head.method, head.uri.path()));
    let (header, token) = &state.token;
    if head.headers.get(header).is_none_or(|value| value != token.as_str()) {
        return respond(403, &json!({"message": "Resource not accessible by integration"}));
    }
    let text = || {
        serde_json::from_slice::<Value>(&body).ok()?["body"]
            .as_str()
            .map(str::to_owned)
    };
    let id = head.uri.path().rsplit('/').next().and_then(|id| id.parse::<u64>().ok());
    let comment = |id: u64, body: &str| json!({"id": id, "body": body});
    match (head.method, id, text()) {
        (Method::GET, None, _) => {
            let query = head.uri.query().unwrap_or_default();
            let page = query
                .split('&')
                .find_map(|part| part.strip_prefix("page=")?.parse::<usize>().ok());
            let skipped = (page.unwrap_or(1) - 1) * PAGE;
            let found = state.comments.iter().skip(skipped).take(PAGE);
            respond(200, &found.map(|(id, body)| comment(*id, body)).collect())
        }
        (Method::POST, None, Some(text)) => {
            state.last += 1;
            let id = state.last;
            state.comments.insert(id, text.clone());
            respond(201, &comment(id, &text))
        }
        (Method::PATCH | Method::PUT, Some(id), Some(text)) if state.comments.contains_key(&id) => {
            state.comments.insert(id, text.clone());
            respond(200, &comment(id, &text))
        }
        (Method::DELETE, Some(id), _) if state.comments.remove(&id).is_some() => respond(204, &Value::Null),
        _ => respond(404, &json!({"message": "Not Found"})),
    }
}

fn respond(status: u16, body: &Value) -> Response<Body> {
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let body = Full::new(text.into()).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = hyper::StatusCode::from_u16(status).expect("a status");
    response
}
