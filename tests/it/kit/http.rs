//! HTTP for the tests: one small client and one small server, over HTTP/1.1 and HTTP/2 without TLS.
//!
//! `h2c://host:port/path` means HTTP/2 with prior knowledge. The server understands both on one port.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Uri, client};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::wait::{self, DEADLINE};

/// Runs every server and client of the tests; test threads only block on it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads and an event queue")
});

pub(crate) type Body = BoxBody<Bytes, Infallible>;
type Failure = Box<dyn Error + Send + Sync>;

/// The response of a server.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// The trailers, with the status of gRPC.
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }
}

/// A call of gRPC whose messages are sent one after another, over HTTP/2.
pub(crate) struct Call {
    messages: mpsc::UnboundedSender<Bytes>,
    answer: JoinHandle<Result<Answer, Failure>>,
}

/// The body of a call: what comes through a channel, until that is closed.
struct Messages(mpsc::UnboundedReceiver<Bytes>);

impl hyper::body::Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|message| message.map(|message| Ok(Frame::data(message))))
    }
}

impl Call {
    /// Begins a call at an address.
    pub(crate) fn begin(address: SocketAddr, path: &str) -> Self {
        let (messages, body) = mpsc::unbounded_channel();
        let request = Request::post(format!("http://{address}{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Messages(body))
            .expect("a request");
        let answer = async move {
            let stream = TokioIo::new(TcpStream::connect(address).await?);
            let (mut sender, connection) = client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            collect(sender.send_request(request).await?).await
        };
        let answer = RUNTIME.spawn(answer);
        Self { messages, answer }
    }

    /// Sends a message with the frame of gRPC.
    pub(crate) fn send(&self, message: &str) {
        let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
        let frame = [&[0], &length[..], message.as_bytes()].concat();
        self.messages.send(frame.into()).expect("the call goes on");
    }

    /// Whether the call goes on.
    pub(crate) fn is_open(&self) -> bool {
        !self.answer.is_finished()
    }

    /// Ends the messages, and returns the answer.
    pub(crate) fn end(self) -> Result<Answer, String> {
        drop(self.messages);
        let answer = RUNTIME.block_on(async { tokio::time::timeout(DEADLINE, self.answer).await });
        let answer = answer
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        answer.map_err(|error| error.to_string())
    }
}

/// A request before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
}

pub(crate) fn get(url: impl Into<String>) -> Ask {
    Ask {
        method: Method::GET,
        url: url.into(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
    }
}

pub(crate) fn post(url: impl Into<String>, body: impl Into<Bytes>) -> Ask {
    Ask {
        method: Method::POST,
        body: body.into(),
        ..get(url)
    }
}

impl Ask {
    #[track_caller]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).expect("a header name");
        self.headers
            .append(name, HeaderValue::try_from(value).expect("a header value"));
        self
    }

    pub(super) fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    /// The response; panics without one.
    #[track_caller]
    pub(crate) fn send(self) -> Answer {
        let url = self.url.clone();
        self.try_send().unwrap_or_else(|why| panic!("{url}: {why}"))
    }

    /// The response, or the reason why there is none.
    pub(crate) fn try_send(self) -> Result<Answer, String> {
        RUNTIME.block_on(self.answer())
    }

    /// The response over a Unix socket, with the path of the URL.
    pub(crate) fn try_send_through(self, socket: &Path) -> Result<Answer, String> {
        let socket = PathBuf::from(socket);
        RUNTIME.block_on(in_time(async move {
            self.exchange(UnixStream::connect(socket).await?).await
        }))
    }

    pub(super) async fn answer(self) -> Result<Answer, String> {
        in_time(async move {
            let uri: Uri = self.url.parse()?;
            let authority = uri.authority().ok_or("a URL without a host")?;
            self.exchange(TcpStream::connect(authority.as_str()).await?).await
        })
        .await
    }

    async fn exchange(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Answer, Failure> {
        let uri: Uri = self.url.parse()?;
        let host = uri.authority().map_or("localhost", |a| a.as_str()).to_owned();
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let http2 = uri.scheme_str() == Some("h2c");
        let target = if http2 { format!("http://{host}{path}") } else { path };
        let mut request = Request::builder()
            .method(self.method)
            .uri(target)
            .body(Full::new(self.body))?;
        *request.headers_mut() = self.headers;
        let io = TokioIo::new(stream);
        let response = if http2 {
            let (mut sender, connection) = client::conn::http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        } else {
            if !request.headers().contains_key(HOST) {
                request.headers_mut().insert(HOST, HeaderValue::try_from(host)?);
            }
            let (mut sender, connection) = client::conn::http1::handshake(io).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        };
        collect(response).await
    }
}

/// A whole response.
async fn collect(response: Response<Incoming>) -> Result<Answer, Failure> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
        trailers,
    })
}

async fn in_time(exchange: impl Future<Output = Result<Answer, Failure>>) -> Result<Answer, String> {
    match tokio::time::timeout(DEADLINE, exchange).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(failure)) => Err(failure.to_string()),
        Err(_) => Err(format!("no answer in {DEADLINE:?}")),
    }
}

/// A server, closed with its connections when dropped, so that its port is free again.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `handle` on `address`.
    pub(super) fn start<H, F>(address: SocketAddr, handle: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        // A child that another test is just starting may hold the socket of a previous server here until it executes.
        let listener = wait::until(&format!("{address} is free"), || {
            RUNTIME.block_on(TcpListener::bind(address)).map_err(|e| e.to_string())
        });
        let address = listener.local_addr().expect("a bound socket has an address");
        let accepting = RUNTIME.spawn(accept(listener, Arc::new(handle)));
        Self {
            address,
            accepting: Some(accepting),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let accepting = self.accepting.take().expect("dropped once");
        accepting.abort();
        let _ = RUNTIME.block_on(accepting); // cancelled, as asked
    }
}

async fn accept<H, F>(listener: TcpListener, handle: Arc<H>)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let mut connections = JoinSet::new(); // dropped, and so closed, with this task
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let handle = Arc::clone(&handle);
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let answer = handle(request);
                        async move { Ok::<_, Infallible>(answer.await) }
                    });
                    // A client that goes away is no failure of the test.
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await, // out of descriptors, perhaps
        }
        while connections.try_join_next().is_some() {}
    }
}
