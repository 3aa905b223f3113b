//! The other end of the control socket: how commands look at the daemon and ask it.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::control::{Reply, Request, SOCKET};
use super::status::Status;
use crate::apply::{ApplyError, Disposable, Target};
use crate::settings::Settings;
use crate::system::http_client::{Connection, Response};

/// Limit for the answer to a `GET`.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit for the answer to a request: a publication waits for every Envoy.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);

/// The status of a daemon, by where it comes from.
#[derive(Debug)]
pub enum Seen {
    /// Status of the daemon that runs.
    Running(Box<Status>),
    /// Status that the last daemon saved; none runs now.
    Ended(Box<Status>),
    /// No daemon runs, and none has saved a status here.
    Never,
}

/// The reasons why a running daemon cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The control socket refuses the connection, or does not answer.
    #[error("cannot reach the daemon on {}", .path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The answer is not in the expected form; the daemon may be of another version.
    #[error("the daemon on {} gave an unexpected answer: {said}", .path.display())]
    Garbled {
        /// The socket.
        path: PathBuf,
        /// The answer, or what is wrong with it.
        said: String,
    },
    /// The output directory cannot be used.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// The path of the control socket of a daemon with these settings.
///
/// # Errors
/// When the output directory cannot be made absolute.
pub fn socket(settings: &Settings) -> Result<PathBuf, ApplyError> {
    match &settings.control.socket {
        Some(path) => Ok(path.clone()),
        None => Ok(Target::from_settings(settings)?.out.own_directory().join(SOCKET)),
    }
}

/// The status of the daemon: its own answer, or the one that the last daemon saved.
///
/// # Errors
/// When a daemon runs and cannot be asked.
pub fn status(settings: &Settings) -> Result<Seen, ClientError> {
    let path = socket(settings)?;
    match send(&path, "GET", "/status", "", READ_TIMEOUT) {
        Ok(response) => Ok(Seen::Running(Box::new(understood(&path, &response)?))),
        Err(error) if is_absent(&error) => {
            let left = Disposable::Status.load(&Target::from_settings(settings)?.out)?;
            let status = left.and_then(|text| serde_json::from_str(&text).ok());
            Ok(status.map_or(Seen::Never, |status| Seen::Ended(Box::new(status))))
        }
        Err(source) => Err(ClientError::Unreachable { path, source }),
    }
}

/// The daemon's reply to a request; `None` when no daemon runs.
///
/// # Errors
/// When a daemon runs and cannot be asked.
pub fn ask(settings: &Settings, request: &Request) -> Result<Option<Reply>, ClientError> {
    let path = socket(settings)?;
    let body = serde_json::to_string(request).expect("plain data always is JSON");
    match send(&path, "POST", "/request", &body, REQUEST_TIMEOUT) {
        Ok(response) => understood(&path, &response).map(Some),
        Err(error) if is_absent(&error) => Ok(None),
        Err(source) => Err(ClientError::Unreachable { path, source }),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn send(path: &Path, method: &str, target: &str, body: &str, patience: Duration) -> io::Result<Response> {
    // The path of a socket may have 107 bytes at most, that of a directory more.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = std::fs::File::open(parent.unwrap_or(Path::new(".")))?;
    let short = Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(path.file_name().unwrap_or_default());
    Connection::unix(&short, Instant::now() + patience)?.send(method, target, body)
}

fn understood<T: serde::de::DeserializeOwned>(path: &Path, response: &Response) -> Result<T, ClientError> {
    serde_json::from_str(&response.body).map_err(|error| ClientError::Garbled {
        path: path.to_owned(),
        said: if response.body.starts_with('{') {
            error.to_string()
        } else {
            response.body.trim().to_owned()
        },
    })
}
