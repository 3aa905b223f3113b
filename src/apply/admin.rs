//! What a running Envoy says of the files it reads.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Admin, Target};
use crate::envoy::ADMIN_SOCKET;
use crate::envoy::artifact::{Artifact, ProxyKey};
use crate::system::http_client::Connection;

const STATS: &str = "/stats?filter=(lds%7Ccds)%5C.(version_text%7Cupdate_)";
const LISTENERS: &str = "/config_dump?resource=dynamic_listeners";
/// Bytes of the listeners of a large proxy, and more.
const MAX_LISTENERS: u64 = 64 << 20;
/// Bytes of any other answer, and far more; many are read at the same time.
const MAX_ANSWER: u64 = 1 << 20;

/// How long a running Envoy may take to say that it is there. It says so in a millisecond, unless it is starting or has just
/// been given very much to do.
const FIRST_WORD: Duration = Duration::from_millis(500);

/// How long to wait for the answer to a first question: of many that are asked, some do not answer.
pub(super) fn first_patience(target: &Target) -> Duration {
    FIRST_WORD.min(target.patience)
}

/// How it is with the Envoy of a proxy.
#[derive(Debug)]
pub(super) enum Voice {
    /// It answers.
    Answers(Envoy, Stats),
    /// It does not run: whatever lies on disk is read when it starts.
    Absent,
    /// It is there and does not answer; why.
    Silent(String),
    /// Whether it runs cannot be known, so that steps are paced instead.
    Unknown,
}

/// The admin interface of one Envoy.
#[derive(Debug)]
pub(super) struct Envoy {
    address: Address,
    timeout: Duration,
}

#[derive(Debug)]
enum Address {
    Unix(PathBuf),
    Tcp(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

/// What Envoy tells of its clusters and its listeners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stats {
    cds: Source,
    lds: Source,
}

/// What Envoy tells of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Source {
    /// The version it took last, as a whole.
    pub(super) version: String,
    success: u64,
    /// Refused and unreadable ones.
    refused: u64,
}

/// What came of a change to a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Envoy has it.
    Taken,
    /// Envoy refused it.
    Refused,
    /// Envoy did not say so in time.
    Open,
    /// Envoy is gone.
    Gone,
}

impl Stats {
    /// What it tells of the file of clusters or of listeners.
    pub(super) fn of(&self, artifact: Artifact) -> &Source {
        match artifact {
            Artifact::Cds => &self.cds,
            Artifact::Lds | Artifact::Bootstrap | Artifact::Fragment | Artifact::Effective => &self.lds,
        }
    }

    fn parse(text: &str) -> Self {
        let mut stats = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once(": ")) {
            let (source, name) = match name.rsplit_once('.') {
                Some(("cluster_manager.cds", name)) => (&mut stats.cds, name),
                Some(("listener_manager.lds", name)) => (&mut stats.lds, name),
                _ => continue,
            };
            match name {
                "version_text" => source.version = value.trim_matches('"').to_owned(),
                "update_success" => source.success = value.parse().unwrap_or(0),
                "update_rejected" | "update_failure" => source.refused += value.parse().unwrap_or(0),
                _ => {}
            }
        }
        stats
    }
}

impl Source {
    /// What became of a file of that version, given what was told before it was put in place.
    fn verdict(&self, version: Option<&str>, before: &Self) -> Verdict {
        // Counters that went back are those of another process, which has read what lies there now.
        let before = if self.success < before.success || self.refused < before.refused {
            &Self::default()
        } else {
            before
        };
        let has_read = self.success > before.success;
        match version {
            _ if self.refused > before.refused => Verdict::Refused,
            Some(version) if self.version == version && (has_read || before.version != version) => Verdict::Taken,
            None if has_read => Verdict::Taken,
            _ => Verdict::Open,
        }
    }
}

impl Voice {
    /// Asks the Envoy of a proxy, whose directory is `directory`, and waits for its answer for so long.
    pub(super) fn of(target: &Target, proxy: &ProxyKey, directory: &Path, patience: Duration) -> Self {
        let (address, is_its_own) = match &target.admin {
            Admin::Pipe => (Address::Unix(directory.join(ADMIN_SOCKET)), true),
            Admin::Unix(path) => (Address::Unix(path.clone()), false),
            Admin::Http(address) => (Address::Tcp(address.clone()), false),
            Admin::None => return Self::Unknown,
        };
        let envoy = Envoy {
            address,
            timeout: target.confirm_timeout,
        };
        let deadline = Instant::now() + patience;
        if !is_its_own {
            match envoy.node(deadline) {
                Ok(node) if node == format!("{}.{}", proxy.mesh, proxy.dataplane) => {}
                // Somebody else's: of this proxy it says nothing.
                Ok(_) => return Self::Unknown,
                Err(error) => return envoy.without_answer(&error, patience),
            }
        }
        match envoy.stats(deadline) {
            Ok(stats) => Self::Answers(envoy, stats),
            Err(error) => envoy.without_answer(&error, patience),
        }
    }
}

impl Envoy {
    fn connect(&self, deadline: Instant) -> io::Result<Connection> {
        match &self.address {
            Address::Unix(path) => Connection::unix(path, deadline),
            Address::Tcp(address) => Connection::tcp(address, deadline),
        }
    }

    fn stats(&self, deadline: Instant) -> io::Result<Stats> {
        Ok(Stats::parse(&self.connect(deadline)?.up_to(MAX_ANSWER).get(STATS)?))
    }

    fn node(&self, deadline: Instant) -> io::Result<String> {
        let info: Value = serde_json::from_str(&self.connect(deadline)?.up_to(MAX_ANSWER).get("/server_info")?)?;
        Ok(info["node"]["id"].as_str().unwrap_or_default().to_owned())
    }

    fn without_answer(&self, error: &io::Error, patience: Duration) -> Voice {
        match (&self.address, error.kind()) {
            (_, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Voice::Absent,
            // A path that cannot be a socket's, or that we may not use.
            (_, io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename) => {
                Voice::Unknown
            }
            (address, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Voice::Silent(format!("Envoy does not answer on {address} within {patience:?}"))
            }
            (address, _) => Voice::Silent(format!("Envoy does not answer on {address}: {error}")),
        }
    }

    /// Waits for Envoy's word on a file that was just put in place; `stats` are those from before, and then the last.
    pub(super) fn verdict(&self, artifact: Artifact, version: Option<&str>, stats: &mut Stats) -> Verdict {
        let deadline = Instant::now() + self.timeout;
        let before = stats.of(artifact).clone();
        let mut pause = Duration::from_millis(1);
        loop {
            match self.stats(deadline) {
                Ok(now) => {
                    let verdict = now.of(artifact).verdict(version, &before);
                    *stats = now;
                    if verdict != Verdict::Open {
                        return verdict;
                    }
                }
                Err(error) if matches!(self.without_answer(&error, self.timeout), Voice::Absent) => {
                    return Verdict::Gone;
                }
                Err(_) => {}
            }
            if Instant::now() + pause >= deadline {
                return Verdict::Open;
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Why listeners were refused, in Envoy's words.
    pub(super) fn refusal(&self) -> Option<String> {
        let connection = self.connect(Instant::now() + self.timeout).ok()?;
        let dump: Value = serde_json::from_str(&connection.up_to(MAX_LISTENERS).get(LISTENERS).ok()?).ok()?;
        let mut reasons: Vec<&str> = dump["configs"]
            .as_array()?
            .iter()
            .filter_map(|listener| listener["error_state"]["details"].as_str())
            .map(str::trim)
            .collect();
        reasons.sort_unstable();
        reasons.dedup();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stats_of_both_files_are_read() {
        let stats = Stats::parse(
            "cluster_manager.cds.update_success: 3\ncluster_manager.cds.version_text: \"r-1\"\n\
             listener_manager.lds.update_failure: 1\nlistener_manager.lds.update_rejected: 2\n\
             listener_manager.lds.update_time: 5\nother.lds.update_success: 9\n",
        );
        let source = |version: &str, success, refused| Source {
            version: version.to_owned(),
            success,
            refused,
        };
        assert_eq!(stats.cds, source("r-1", 3, 0));
        assert_eq!(stats.lds, source("", 0, 3));
    }

    #[test]
    fn a_verdict_needs_a_sign_of_the_new_file() {
        let source = |version: &str, success, refused| Source {
            version: version.to_owned(),
            success,
            refused,
        };
        let before = source("r-1", 5, 1);
        for (now, version, expected) in [
            (source("r-2", 6, 1), Some("r-2"), Verdict::Taken),
            (source("r-1", 5, 1), Some("r-2"), Verdict::Open),
            (source("r-1", 5, 2), Some("r-2"), Verdict::Refused),
            // The same version again says nothing until it was read again.
            (source("r-1", 5, 1), Some("r-1"), Verdict::Open),
            (source("r-1", 6, 1), Some("r-1"), Verdict::Taken),
            // A text without a version.
            (source("", 5, 1), None, Verdict::Open),
            (source("", 6, 1), None, Verdict::Taken),
            // Another process since.
            (source("r-2", 1, 0), Some("r-2"), Verdict::Taken),
            (source("", 0, 1), Some("r-2"), Verdict::Refused),
            (source("", 0, 0), Some("r-2"), Verdict::Open),
        ] {
            assert_eq!(now.verdict(version, &before), expected, "{now:?} {version:?}");
        }
    }
}
