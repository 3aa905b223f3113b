//! The control socket, by which people and programs read the daemon's status and send it requests.
//!
//! HTTP/1.1 on a Unix socket and, where the settings ask for it, on a TCP port of the loopback interface. Everybody
//! who reaches either may read; only root and the daemon's own user may send requests, and only through the Unix
//! socket.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::metrics::{self, Metrics};
use super::status::Status;

/// Name of the socket in the daemon's own directory, unless the settings name another.
pub const SOCKET: &str = "control.sock";

/// Connections at a time, per listener.
const MAX_CONNECTIONS: usize = 32;
/// Limit for a client to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit for the body of a request, in bytes.
const MAX_REQUEST: usize = 64 << 10;

/// A request to the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do", deny_unknown_fields)]
pub enum Request {
    /// Publish the plan that violates the guard.
    Approve {
        /// Id of the plan; `None` means the plan that waits now.
        id: Option<String>,
    },
    /// Publish nothing from now on.
    Freeze {
        /// Reason, shown by `status`; `None` gives a default one.
        why: Option<String>,
    },
    /// Follow the policies again.
    Thaw,
    /// Publish an earlier generation, and freeze.
    Rollback {
        /// Number of the generation; `None` means the one before the last.
        to: Option<u64>,
    },
    /// Restore published files that drifted, and try nacked files again.
    Heal,
    /// Read the settings and the policies again.
    Reload,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Whether the request was carried out.
    pub done: bool,
    /// The result in words, or the reason for the failure.
    pub said: String,
}

/// A request that the main loop has not answered yet.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) request: Request,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// The state that the listeners and the main loop share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) metrics: Metrics,
    status: Mutex<Arc<Status>>,
    requests: mpsc::Sender<PendingRequest>,
}

impl Shared {
    /// Shared state that passes requests on to `requests`.
    pub(super) fn new(requests: mpsc::Sender<PendingRequest>) -> Arc<Self> {
        Arc::new(Self {
            metrics: Metrics::new(),
            status: Mutex::default(),
            requests,
        })
    }

    pub(super) fn show(&self, status: &Status) {
        self.metrics.show(status);
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(status.clone());
    }

    fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The rights of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// May read and send requests.
    Admin,
    /// May read.
    ReadOnly,
}

/// The socket file, which is removed on drop.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The next daemon replaces it anyway.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Starts to listen on a socket file. A file that a dead daemon left is replaced.
pub(super) fn listen_on_socket(path: &Path, shared: &Arc<Shared>) -> io::Result<Socket> {
    // The path of a socket may have 107 bytes at most, that of a directory more.
    let directory = std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?;
    let name = path.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(name);
    match std::os::unix::net::UnixStream::connect(&short) {
        Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(&short)?;
    // The kernel names the user at the other end.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    serve(
        move |context| listener.poll_accept(context).map_ok(|(stream, _)| stream),
        peer,
        shared,
    );
    Ok(Socket { path: path.to_owned() })
}

/// Starts to listen on a TCP port of the loopback interface.
pub(super) fn listen_on_port(address: SocketAddr, shared: &Arc<Shared>) -> io::Result<()> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    serve(
        move |context| listener.poll_accept(context).map_ok(|(stream, _)| stream),
        |_| Access::ReadOnly,
        shared,
    );
    Ok(())
}

/// Accepts connections forever, up to [`MAX_CONNECTIONS`] at a time.
fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut accept: impl FnMut(&mut Context) -> Poll<io::Result<S>> + Send + 'static,
    peer: fn(&S) -> Access,
    shared: &Arc<Shared>,
) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            match poll_fn(&mut accept).await {
                Ok(stream) => {
                    let (peer, shared) = (peer(&stream), Arc::clone(&shared));
                    tokio::spawn(async move {
                        converse(stream, peer, shared).await;
                        drop(permit);
                    });
                }
                Err(error) => pause_after(&error).await,
            }
        }
    });
}

/// Pauses after a failed `accept`: when file descriptors have run out, an immediate retry would spin.
async fn pause_after(error: &io::Error) {
    tracing::debug!("a connection to the control socket failed: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn peer(stream: &UnixStream) -> Access {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(credentials) if [0, own].contains(&credentials.uid()) => Access::Admin,
        _ => Access::ReadOnly,
    }
}

/// Answers the requests of one connection.
async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, peer: Access, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, peer, &shared).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!("a client of the control socket went away: {error}");
    }
}

async fn answer(request: hyper::Request<Incoming>, peer: Access, shared: &Shared) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/status") => json(StatusCode::OK, &*shared.status()),
        (&Method::GET, "/metrics") => with_type(StatusCode::OK, metrics::CONTENT_TYPE, shared.metrics.text()),
        (&Method::POST, "/request") if peer == Access::ReadOnly => {
            let said = "only root and the daemon's own user may send requests, through the socket".to_owned();
            json(StatusCode::FORBIDDEN, &Reply { done: false, said })
        }
        (&Method::POST, "/request") => ask(request, shared).await,
        (_, "/status" | "/metrics" | "/request") => plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET /status and /metrics, POST /request\n",
        ),
        _ => plain(StatusCode::NOT_FOUND, "not found; there are /status and /metrics\n"),
    }
}

async fn ask(request: hyper::Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let body = tokio::time::timeout(
        REQUEST_TIMEOUT,
        Limited::new(request.into_body(), MAX_REQUEST).collect(),
    )
    .await;
    let Ok(Ok(body)) = body else {
        return plain(StatusCode::BAD_REQUEST, "the request is too long or incomplete\n");
    };
    let request = match serde_json::from_slice(&body.to_bytes()) {
        Ok(request) => request,
        Err(error) => {
            return plain(StatusCode::BAD_REQUEST, &format!("not a request: {error}\n"));
        }
    };
    let (reply, answer) = oneshot::channel();
    let is_taken = shared.requests.send(PendingRequest { request, reply }).await.is_ok();
    match answer.await {
        Ok(reply) if is_taken => json(StatusCode::OK, &reply),
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "the daemon is ending\n"),
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let text = serde_json::to_string_pretty(value).expect("plain data always is JSON");
    with_type(status, "application/json", text + "\n")
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    with_type(status, "text/plain; charset=utf-8", text.to_owned())
}

fn with_type(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
