//! The status of the daemon: one value, from which `meshtraced status`, the metrics and systemd's status line are
//! made.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::envoy::secrets::KeyHolders;
use crate::reconcile::Stage;
use crate::words::plural;

/// The status of a daemon.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Version of meshtraced.
    pub version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// Time of the start.
    pub started: DateTime<Utc>,
    /// The sources of the policies, and how they are read.
    pub policies: String,
    /// The output directory.
    pub out: String,
    /// The last revision that each stage has reached.
    pub revisions: Revisions,
    /// The numbers of proxies by the state of their Envoy.
    pub proxies: Proxies,
    /// The meshes that are held because of errors.
    pub held: Vec<Held>,
    /// The numbers of errors and warnings in the policies.
    pub findings: Findings,
    /// The numbers of policies that decide, lose or match nothing.
    pub outcomes: Outcomes,
    /// The proxies that hold each of the keys of collectors.
    pub keys: Vec<KeyHolders>,
    /// The error that ended the last reconciliation; published files stay.
    pub failure: Option<Condition>,
    /// Set while a Git operation keeps the policies from being read.
    pub waiting: Option<Condition>,
    /// Set while the settings on disk are invalid, so that older ones are in use.
    pub settings_error: Option<Condition>,
    /// Set while an operator's freeze keeps everything from being published.
    pub frozen: Option<Frozen>,
    /// A change that waits for `meshtraced approve`.
    pub guarded: Option<Guarded>,
    /// Proxies that do not run with the desired files.
    pub troubles: Vec<Trouble>,
    /// Published files that somebody else changed.
    pub drift: Vec<Drifted>,
    /// Reloads that failed and will be retried.
    pub reloads: Vec<Reload>,
    /// The watch on the policies.
    pub watch: Watch,
    /// Duration of each stage of the last reconciliation, in seconds.
    pub stages: BTreeMap<Stage, f64>,
}

/// The last revision that each stage has reached; `None` until the first does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Revisions {
    /// The last revision that was read.
    pub seen: Option<Revision>,
    /// The last revision without an error.
    pub compiled: Option<Revision>,
    /// The last revision whose files are all in place.
    pub published: Option<Revision>,
    /// The last revision that was acked by every Envoy that runs and can be asked.
    pub confirmed: Option<Revision>,
}

/// A revision of the policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The name for people: `main@3f2c1ab`, or a hash of the content.
    pub name: String,
    /// The commit, where Git knows one.
    pub commit: Option<String>,
    /// The first line of the commit's message.
    pub subject: Option<String>,
    /// A hash of all files that were read.
    pub content: String,
    /// Time at which the stage was reached.
    pub at: DateTime<Utc>,
}

impl Revision {
    /// The same revision, reaching a stage at another time.
    #[must_use]
    pub fn at(&self, at: DateTime<Utc>) -> Self {
        Self { at, ..self.clone() }
    }

    /// Whether both revisions hold the same policies.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.content) == (&other.name, &other.content)
    }
}

/// The numbers of proxies by the state of their Envoy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Proxies {
    /// The number of proxies that have files.
    pub published: usize,
    /// The number of proxies whose Envoy runs with the published files.
    pub active: usize,
    /// The number of proxies whose Envoy does not run.
    pub not_running: usize,
    /// The number of proxies whose Envoy rejected the files, and runs with older ones.
    pub rejected: usize,
    /// The number of proxies whose Envoy does not answer.
    pub unreachable: usize,
    /// The number of proxies whose Envoy cannot be asked.
    pub unknown: usize,
    /// The number of proxies whose files could not be written.
    pub failed: usize,
}

/// A held mesh, some of its proxies, or all meshes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The mesh; `None` means every mesh.
    pub mesh: Option<String>,
    /// The number of proxies that are held without their mesh; 0 for a whole mesh.
    #[serde(default)]
    pub proxies: usize,
    /// The number of errors that hold it.
    pub errors: usize,
    /// The first of these errors, with its location.
    pub why: String,
    /// Time of the first error.
    pub since: DateTime<Utc>,
    /// The revision that stays published.
    pub keeps: Option<String>,
}

/// The numbers of errors and warnings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Findings {
    /// The number of errors.
    pub errors: usize,
    /// The number of warnings.
    pub warnings: usize,
}

/// The numbers of policies that decide, lose or match nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcomes {
    /// The number of policies that decide for a dataplane.
    pub decide: usize,
    /// The number of policies that lose or are merged wherever they match.
    pub lose: usize,
    /// The number of policies that match no dataplane.
    pub match_nothing: usize,
}

/// A condition that lasts until its cause is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The reason, for people.
    pub why: String,
    /// Time at which the condition began.
    pub since: DateTime<Utc>,
}

/// A freeze by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// The reason, for people.
    pub why: String,
    /// Time at which the condition began.
    pub since: DateTime<Utc>,
    /// The generation that stays published after a rollback.
    pub generation: Option<u64>,
    /// The number of proxies that the policies would change.
    pub would_change: usize,
}

/// A plan that violates the guard and waits for approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    /// Id of the plan, for `meshtraced approve`.
    pub id: String,
    /// The reason, for people.
    pub why: String,
    /// Time at which the plan was first made.
    pub since: DateTime<Utc>,
}

/// A proxy that does not run with the desired files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The mesh of the dataplane.
    pub mesh: String,
    /// The name of the dataplane.
    pub dataplane: String,
    /// The kind of trouble.
    pub state: TroubleState,
    /// The reason, for people.
    pub why: String,
    /// Time at which the condition began.
    pub since: DateTime<Utc>,
}

/// The kind of trouble of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TroubleState {
    /// Envoy rejected the files.
    Rejected,
    /// Envoy does not answer.
    Unreachable,
    /// The files could not be written.
    Failed,
}

/// A published file that somebody else changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drifted {
    /// The file, below the output directory.
    pub path: String,
    /// The kind of drift, in words.
    pub what: String,
    /// Time at which the drift was first seen.
    pub since: DateTime<Utc>,
}

/// A reload that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// Mesh of the proxy.
    pub mesh: String,
    /// The name of the dataplane.
    pub dataplane: String,
    /// The process, unit or command of the reload.
    pub target: String,
    /// The last error.
    pub why: String,
    /// The number of attempts.
    pub attempts: u32,
}

/// The watch on the policies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// The number of files that were read.
    pub files: usize,
    /// The number of watched directories.
    pub directories: usize,
    /// Time of the last reconciliation that did not rely on events.
    pub last_full_scan: Option<DateTime<Utc>>,
    /// The number of times that events were lost.
    pub overflows: u64,
    /// The number of times that the watch was set up again.
    pub rearmed: u64,
    /// The reason why the watch is missing or may miss events; changes are then found at the next rescan.
    pub degraded_reason: Option<String>,
}

impl Status {
    /// The status in one line, for systemd.
    #[must_use]
    pub fn line(&self) -> String {
        let published = match &self.revisions.published {
            Some(revision) => revision.name.clone(),
            None => format!("nothing {}", self.nothing_since()),
        };
        let mut line = format!(
            "published {published}, {} of {} proxies active",
            self.proxies.active, self.proxies.published
        );
        let mut add = |is_so: bool, what: String| {
            if is_so {
                line.push_str("; ");
                line.push_str(&what);
            }
        };
        add(self.frozen.is_some(), "frozen".to_owned());
        add(self.guarded.is_some(), "a change waits for approval".to_owned());
        let held: Vec<&str> = (self.held.iter())
            .map(|held| held.mesh.as_deref().unwrap_or("everything"))
            .collect();
        add(!held.is_empty(), format!("held: {}", held.join(", ")));
        add(self.proxies.rejected > 0, format!("{} rejected", self.proxies.rejected));
        add(
            self.proxies.unreachable > 0,
            format!("{} do not answer", self.proxies.unreachable),
        );
        add(
            !self.drift.is_empty(),
            format!("{} changed by others", plural(self.drift.len(), "file")),
        );
        add(
            !self.reloads.is_empty(),
            format!("{} not reloaded", plural(self.reloads.len(), "proxy")),
        );
        if let Some(failure) = &self.failure {
            add(true, failure.why.clone());
        }
        if let Some(waiting) = &self.waiting {
            add(true, format!("waiting: {}", waiting.why));
        }
        if let Some(error) = &self.settings_error {
            add(true, error.why.clone());
        }
        line
    }

    /// The end of `nothing published …` for a stage without a revision: `yet`, or `since it started` when the files
    /// are those of an earlier daemon, whose revision is unknown.
    #[must_use]
    pub fn nothing_since(&self) -> &'static str {
        if self.proxies.published > 0 {
            "since it started"
        } else {
            "yet"
        }
    }

    /// Whether nothing wants a person's attention.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.held.is_empty()
            && self.failure.is_none()
            && self.waiting.is_none()
            && self.settings_error.is_none()
            && self.frozen.is_none()
            && self.guarded.is_none()
            && self.troubles.is_empty()
            && self.drift.is_empty()
            && self.reloads.is_empty()
    }
}
