//! How the daemon is: one value that `meshtraced status`, the metrics and the service manager are told from.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::reconcile::Stage;
use crate::words::plural;

/// How the daemon is, and everything that a person would want to know of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Version of meshtraced.
    pub version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// When it started.
    pub started: DateTime<Utc>,
    /// Where the policies are, and how they are read.
    pub policies: String,
    /// Where the files are published.
    pub out: String,
    /// How far each revision came.
    pub revisions: Revisions,
    /// How many proxies are how.
    pub proxies: Proxies,
    /// Meshes that keep what they have because of errors.
    pub held: Vec<Held>,
    /// Errors and warnings in the policies.
    pub findings: Findings,
    /// The numbers of policies that decide, lose or match nothing.
    pub outcomes: Outcomes,
    /// The error of the machine in the last reconciliation; published files stay.
    pub failure: Option<Since>,
    /// Why the policies are not read just now: somebody is changing them.
    pub waiting: Option<Since>,
    /// Why the settings on disk are not the ones in use.
    pub settings_error: Option<Since>,
    /// Set while nothing is published.
    pub frozen: Option<Frozen>,
    /// A change that waits for `meshtraced approve`.
    pub guarded: Option<Guarded>,
    /// Proxies whose files are not as desired, and why.
    pub troubles: Vec<Trouble>,
    /// Published files that somebody changed.
    pub drift: Vec<Drifted>,
    /// Reloads that failed and are tried again.
    pub reloads: Vec<Reload>,
    /// The watch on the policies.
    pub watch: Watch,
    /// How long the stages of the last reconciliation took, in seconds, in their order.
    pub stages: BTreeMap<Stage, f64>,
}

/// How far each revision of the policies came; `None` when none came so far yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Revisions {
    /// The last one that was read.
    pub seen: Option<Revision>,
    /// The last one without an error.
    pub compiled: Option<Revision>,
    /// The last one whose files are all in place.
    pub published: Option<Revision>,
    /// The last one that every Envoy that runs and can be asked has taken.
    pub confirmed: Option<Revision>,
}

/// A revision of the policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The name for people: `main@3f2c1ab`, or a hash of the content.
    pub name: String,
    /// The commit, where Git knows one.
    pub commit: Option<String>,
    /// The first line of its message.
    pub subject: Option<String>,
    /// A hash of all that was read.
    pub content: String,
    /// When it came so far.
    pub at: DateTime<Utc>,
}

impl Revision {
    /// The same revision at another time.
    #[must_use]
    pub fn at(&self, at: DateTime<Utc>) -> Self {
        Self { at, ..self.clone() }
    }

    /// Whether both are of the same policies.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.content) == (&other.name, &other.content)
    }
}

/// How many proxies are how.
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

/// A mesh, or everything, that keeps what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The mesh; `None` for all of them.
    pub mesh: Option<String>,
    /// How many errors hold it.
    pub errors: usize,
    /// The first of them, with its place.
    pub why: String,
    /// When that began.
    pub since: DateTime<Utc>,
    /// The revision that it keeps.
    pub keeps: Option<String>,
}

/// How much is wrong with the policies.
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

/// Something that is so since a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// In words.
    pub why: String,
    /// When it began.
    pub since: DateTime<Utc>,
}

/// A freeze by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// In words.
    pub why: String,
    /// When it began.
    pub since: DateTime<Utc>,
    /// The generation that is kept, after a rollback.
    pub generation: Option<u64>,
    /// How many proxies the policies would change.
    pub would_change: usize,
}

/// A change that is not published without somebody's approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    /// The id by which the plan is approved.
    pub id: String,
    /// In words.
    pub why: String,
    /// When it was refused first.
    pub since: DateTime<Utc>,
}

/// A proxy whose files are not as desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The mesh of the dataplane.
    pub mesh: String,
    /// The name of the dataplane.
    pub dataplane: String,
    /// The kind of trouble.
    pub state: TroubleState,
    /// In words.
    pub why: String,
    /// When it began.
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
    /// The machine refused to write them.
    Failed,
}

/// A published file that somebody changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drifted {
    /// The file, below the output directory.
    pub path: String,
    /// The kind of drift, in words.
    pub what: String,
    /// When that was seen first.
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
    /// Why it failed.
    pub why: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// The watch on the policies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Files that were read.
    pub files: usize,
    /// Directories that are watched.
    pub directories: usize,
    /// When everything was looked at last, events or not.
    pub last_full_scan: Option<DateTime<Utc>>,
    /// How often events were lost.
    pub overflows: u64,
    /// How often the watch was set up again.
    pub rearmed: u64,
    /// Why there is no watch, or none that can be relied on; changes are then found at the next rescan.
    pub degraded_reason: Option<String>,
}

impl Status {
    /// In one line, as the service manager shows it.
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
            format!("{} files changed by others", self.drift.len()),
        );
        add(
            !self.reloads.is_empty(),
            format!("{} not reloaded", plural(self.reloads.len(), "proxy")),
        );
        if let Some(failure) = &self.failure {
            add(true, failure.why.clone());
        }
        if let Some(waiting) = &self.waiting {
            add(true, format!("waits: {}", waiting.why));
        }
        if let Some(refused) = &self.settings_error {
            add(true, refused.why.clone());
        }
        line
    }

    /// How long a stage has been without a revision, in words: of what was published by an earlier daemon no revision is
    /// told.
    #[must_use]
    pub fn nothing_since(&self) -> &'static str {
        if self.proxies.published > 0 {
            "since it started"
        } else {
            "yet"
        }
    }

    /// Whether everything is as the policies want it.
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
