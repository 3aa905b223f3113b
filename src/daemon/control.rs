//! The control socket: how people and programs look at the daemon and ask things of it.
//!
//! HTTP/1.1 on a Unix socket, and on a TCP port of the loopback interface where that is wanted. Everybody who reaches it
//! may look; only root and the daemon's own user may ask for a change, and only through the socket.

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

/// Name of the socket in the daemon's own directory, where no other is set.
pub const SOCKET: &str = "control.sock";

/// Connections at a time, for each listener.
const AT_ONCE: usize = 32;
/// How long a client may take to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest request, in bytes.
const LONGEST: usize = 64 << 10;

/// A request to the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do", deny_unknown_fields)]
pub enum Request {
    /// Publish a change that the guard keeps back.
    Approve {
        /// The id of the plan; without one, the plan that waits now.
        id: Option<String>,
    },
    /// Publish nothing from now on.
    Freeze {
        /// Why, for whoever asks later.
        why: Option<String>,
    },
    /// Follow the policies again.
    Thaw,
    /// Go back to what was published before, and stay there.
    Rollback {
        /// To which generation; the one before the last without it.
        to: Option<u64>,
    },
    /// Restore published files that somebody changed.
    Heal,
    /// Read the settings and the policies again.
    Reload,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Whether it did what was asked.
    pub done: bool,
    /// The result in words, or the reason why nothing was done.
    pub said: String,
}

/// A request on its way to the main loop.
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
    /// Requests arrive at the other end of `requests`.
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
    /// May ask for changes.
    Admin,
    /// May look.
    ReadOnly,
}

/// The socket file; removed when this is dropped.
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

/// Listens on a socket file from now on; one that nobody listens on any more is replaced.
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
    // Who may do what is decided by who it is.
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

/// Listens on a TCP port of the loopback interface from now on.
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

/// Answers whoever comes from now on, so many at a time.
fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut accept: impl FnMut(&mut Context) -> Poll<io::Result<S>> + Send + 'static,
    peer: fn(&S) -> Access,
    shared: &Arc<Shared>,
) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let room = Arc::new(Semaphore::new(AT_ONCE));
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

/// No file descriptor may be left for a connection: that passes.
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
            let said = "only root and the user of the daemon may ask for that, through its socket".to_owned();
            json(StatusCode::FORBIDDEN, &Reply { done: false, said })
        }
        (&Method::POST, "/request") => ask(request, shared).await,
        (_, "/status" | "/metrics" | "/request") => plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET /status and /metrics, POST /request\n",
        ),
        _ => plain(StatusCode::NOT_FOUND, "there are /status and /metrics\n"),
    }
}

async fn ask(request: hyper::Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let body = tokio::time::timeout(REQUEST_TIMEOUT, Limited::new(request.into_body(), LONGEST).collect()).await;
    let Ok(Ok(body)) = body else {
        return plain(StatusCode::BAD_REQUEST, "the request is too long, or did not come\n");
    };
    let request = match serde_json::from_slice(&body.to_bytes()) {
        Ok(request) => request,
        Err(error) => {
            return plain(
                StatusCode::BAD_REQUEST,
                &format!("the request is not understood: {error}\n"),
            );
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
