//! The other end of the control socket: how commands look at the daemon and ask it.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::control::{Reply, Request, SOCKET};
use super::status::Status;
use crate::apply::{ApplyError, Target, last_status};
use crate::settings::Settings;
use crate::system::http_client::{Connection, Response};

/// How long an answer to a look may take.
const LOOK: Duration = Duration::from_secs(10);
/// How long the daemon may take to do what it is asked; a publication waits for every Envoy.
const DO: Duration = Duration::from_secs(300);

/// The status of the daemon, as far as it is known.
#[derive(Debug)]
pub enum Seen {
    /// The daemon runs, and this is its status.
    Running(Box<Status>),
    /// The daemon does not run, and this is the status that it saved last.
    Ended(Box<Status>),
    /// No daemon has saved a status here.
    Never,
}

/// Why the daemon cannot be looked at or asked.
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
    /// The answer is not understood; the daemon may be of another version.
    #[error("the daemon on {} gives an answer that is not understood: {said}", .path.display())]
    Garbled {
        /// The socket.
        path: PathBuf,
        /// The answer, or what is wrong with it.
        said: String,
    },
    /// Something about the output directory.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Where the daemon with these settings listens.
///
/// # Errors
/// When the output directory cannot be made absolute.
pub fn socket(settings: &Settings) -> Result<PathBuf, ApplyError> {
    match &settings.control.socket {
        Some(path) => Ok(path.clone()),
        None => Ok(Target::from_settings(settings)?.out.own_directory().join(SOCKET)),
    }
}

/// How the daemon is, from itself or from what it left.
///
/// # Errors
/// When it runs and cannot be asked.
pub fn status(settings: &Settings) -> Result<Seen, ClientError> {
    let path = socket(settings)?;
    match send(&path, "GET", "/status", "", LOOK) {
        Ok(response) => Ok(Seen::Running(Box::new(understood(&path, &response)?))),
        Err(error) if is_absent(&error) => {
            let left = last_status::load(&Target::from_settings(settings)?.out)?;
            let status = left.and_then(|text| serde_json::from_str(&text).ok());
            Ok(status.map_or(Seen::Never, |status| Seen::Ended(Box::new(status))))
        }
        Err(source) => Err(ClientError::Unreachable { path, source }),
    }
}

/// Asks the daemon for something; `None` when none runs.
///
/// # Errors
/// When it runs and cannot be asked.
pub fn ask(settings: &Settings, request: &Request) -> Result<Option<Reply>, ClientError> {
    let path = socket(settings)?;
    let body = serde_json::to_string(request).expect("plain data always is JSON");
    match send(&path, "POST", "/request", &body, DO) {
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
