//! The admin interface of an Envoy: whether it runs, and which versions of its files it accepted.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::envoy::ADMIN_SOCKET;
use crate::envoy::artifact::{Artifact, ProxyKey};
use crate::settings::Admin;
use crate::system::http_client::Connection;

const STATS: &str = "/stats?filter=(lds%7Ccds%7C%5Eruntime)%5C.(version_text%7Cupdate_)";
const LISTENERS: &str = "/config_dump?resource=dynamic_listeners";
/// The longest dump of listeners that is read, in bytes: more than a large proxy has.
const MAX_LISTENERS: u64 = 64 << 20;
/// The longest other answer that is read, in bytes: far more than one has, and many are read at the same time.
const MAX_ANSWER: u64 = 1 << 20;

/// The time that a running Envoy may take to answer a first request, of many that are asked. It answers in a
/// millisecond, unless it is starting or has just been given very much to do.
const FIRST_ANSWER: Duration = Duration::from_millis(500);

/// The place and the time limits of the admin interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvoyAdmin {
    /// The place of the admin interfaces.
    pub address: Admin,
    /// The time in which an Envoy has to confirm one step.
    pub confirm_timeout: Duration,
    /// The time in which an Envoy has to answer at all. It gets little of that at first, and all of it when the
    /// others are done; a caller that comes back anyway sets it short.
    pub answer_timeout: Duration,
}

impl EnvoyAdmin {
    /// The time limit for the first request to one of many Envoys.
    pub(in crate::apply) fn first_timeout(&self) -> Duration {
        FIRST_ANSWER.min(self.answer_timeout)
    }

    /// Asks the Envoy of a proxy, whose directory is `directory`, and waits at most `timeout` for its answer.
    pub(in crate::apply) fn probe(&self, proxy: &ProxyKey, directory: &Path, timeout: Duration) -> AdminProbe {
        let (address, is_its_own) = match &self.address {
            Admin::Pipe => (Address::Unix(directory.join(ADMIN_SOCKET)), true),
            Admin::Unix(path) => (Address::Unix(path.clone()), false),
            Admin::Http(address) => (Address::Tcp(address.clone()), false),
            Admin::None => return AdminProbe::Unverifiable,
        };
        let envoy = Envoy {
            address,
            timeout: self.confirm_timeout,
        };
        let deadline = Instant::now() + timeout;
        if !is_its_own {
            match envoy.node(deadline) {
                Ok(node) if node == format!("{}.{}", proxy.mesh, proxy.dataplane) => {}
                // The Envoy of another proxy: of this one it says nothing.
                Ok(_) => return AdminProbe::Unverifiable,
                Err(error) => return envoy.without_answer(&error, timeout),
            }
        }
        match envoy.stats(deadline) {
            Ok(stats) => AdminProbe::Up(envoy, stats),
            Err(error) => envoy.without_answer(&error, timeout),
        }
    }
}

/// The answer of the admin interface of a proxy's Envoy.
#[derive(Debug)]
pub(in crate::apply) enum AdminProbe {
    /// Envoy runs, and answers.
    Up(Envoy, Stats),
    /// Envoy does not run: it reads the files on disk when it starts.
    Down,
    /// Envoy does not answer, with the reason.
    TimedOut(String),
    /// The admin interface cannot tell whether this Envoy runs, so that steps are paced instead.
    Unverifiable,
}

/// The admin interface of one Envoy.
#[derive(Debug)]
pub(in crate::apply) struct Envoy {
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

/// The statistics of the clusters, the listeners and the runtime that an Envoy reads from files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::apply) struct Stats {
    cds: XdsStats,
    lds: XdsStats,
    rtds: XdsStats,
}

/// The statistics of one xDS type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::apply) struct XdsStats {
    /// The `version_info` of the last update that was accepted as a whole.
    pub(in crate::apply) version: String,
    /// The number of updates that were accepted.
    accepted: u64,
    /// The number of updates that were rejected or could not be read.
    rejected: u64,
}

/// The state of an update of one file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::apply) enum Ack {
    /// Envoy accepted the update.
    Acked,
    /// Envoy rejected the update.
    Nacked,
    /// Envoy has done neither in time.
    Pending,
    /// Envoy does not run any more.
    Disconnected,
}

impl Stats {
    /// Whether Envoy reads its runtime from a file: its bootstrap said so when it started.
    pub(in crate::apply) fn has_runtime(&self) -> bool {
        self.rtds != XdsStats::default()
    }

    /// The statistics of the file of clusters, of that of the runtime, or of that of listeners.
    pub(in crate::apply) fn of(&self, artifact: Artifact) -> &XdsStats {
        match artifact {
            Artifact::Cds => &self.cds,
            Artifact::Rtds => &self.rtds,
            Artifact::Lds | Artifact::Bootstrap | Artifact::Fragment | Artifact::Tracing(_) | Artifact::Effective => {
                &self.lds
            }
        }
    }

    fn parse(text: &str) -> Self {
        let mut stats = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once(": ")) {
            let (xds, name) = match name.rsplit_once('.') {
                Some(("cluster_manager.cds", name)) => (&mut stats.cds, name),
                Some(("listener_manager.lds", name)) => (&mut stats.lds, name),
                Some(("runtime", name)) => (&mut stats.rtds, name),
                _ => continue,
            };
            match name {
                "version_text" => xds.version = value.trim_matches('"').to_owned(),
                "update_success" => xds.accepted = value.parse().unwrap_or(0),
                "update_rejected" | "update_failure" => xds.rejected += value.parse().unwrap_or(0),
                _ => {}
            }
        }
        stats
    }
}

impl XdsStats {
    /// The state of an update to a version, with the statistics from `before` it was put in place.
    fn ack(&self, version: Option<&str>, before: &Self) -> Ack {
        // Counters that went back are those of another process, which has read the file that is there now.
        let before = if self.accepted < before.accepted || self.rejected < before.rejected {
            &Self::default()
        } else {
            before
        };
        let has_read = self.accepted > before.accepted;
        match version {
            _ if self.rejected > before.rejected => Ack::Nacked,
            Some(version) if self.version == version && (has_read || before.version != version) => Ack::Acked,
            None if has_read => Ack::Acked,
            _ => Ack::Pending,
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

    fn without_answer(&self, error: &io::Error, timeout: Duration) -> AdminProbe {
        match (&self.address, error.kind()) {
            (_, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => AdminProbe::Down,
            // A path that cannot be a socket's, or that this process may not use.
            (_, io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename) => {
                AdminProbe::Unverifiable
            }
            (address, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                AdminProbe::TimedOut(format!("Envoy does not answer on {address} within {timeout:?}"))
            }
            (address, _) => AdminProbe::TimedOut(format!("Envoy does not answer on {address}: {error}")),
        }
    }

    /// Waits until Envoy accepts or rejects a file that was just put in place. The `stats` are those from before, and
    /// then the last ones.
    pub(in crate::apply) fn wait_for_ack(&self, artifact: Artifact, version: Option<&str>, stats: &mut Stats) -> Ack {
        let deadline = Instant::now() + self.timeout;
        let before = stats.of(artifact).clone();
        let mut pause = Duration::from_millis(1);
        loop {
            match self.stats(deadline) {
                Ok(now) => {
                    let ack = now.of(artifact).ack(version, &before);
                    *stats = now;
                    if ack != Ack::Pending {
                        return ack;
                    }
                }
                Err(error) if matches!(self.without_answer(&error, self.timeout), AdminProbe::Down) => {
                    return Ack::Disconnected;
                }
                Err(_) => {}
            }
            if Instant::now() + pause >= deadline {
                return Ack::Pending;
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// The reasons why listeners were rejected, in the words of Envoy.
    pub(in crate::apply) fn rejection(&self) -> Option<String> {
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
        let xds = |version: &str, accepted, rejected| XdsStats {
            version: version.to_owned(),
            accepted,
            rejected,
        };
        assert_eq!(stats.cds, xds("r-1", 3, 0));
        assert_eq!(stats.lds, xds("", 0, 3));
    }

    #[test]
    fn an_ack_needs_a_sign_of_the_new_file() {
        let xds = |version: &str, accepted, rejected| XdsStats {
            version: version.to_owned(),
            accepted,
            rejected,
        };
        let before = xds("r-1", 5, 1);
        for (now, version, expected) in [
            (xds("r-2", 6, 1), Some("r-2"), Ack::Acked),
            (xds("r-1", 5, 1), Some("r-2"), Ack::Pending),
            (xds("r-1", 5, 2), Some("r-2"), Ack::Nacked),
            // The same version again says nothing until it was read again.
            (xds("r-1", 5, 1), Some("r-1"), Ack::Pending),
            (xds("r-1", 6, 1), Some("r-1"), Ack::Acked),
            // A text without a version.
            (xds("", 5, 1), None, Ack::Pending),
            (xds("", 6, 1), None, Ack::Acked),
            // Another process since.
            (xds("r-2", 1, 0), Some("r-2"), Ack::Acked),
            (xds("", 0, 1), Some("r-2"), Ack::Nacked),
            (xds("", 0, 0), Some("r-2"), Ack::Pending),
        ] {
            assert_eq!(now.ack(version, &before), expected, "{now:?} {version:?}");
        }
    }
}
