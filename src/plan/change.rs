//! A [`Plan`]: the changes that are to be carried out.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::envoy::artifact::{Artifact, Files, ProxyKey};

/// The changes that are to be carried out, at most one for each proxy, sorted by proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// One entry for each proxy that changes.
    pub changes: Vec<Change>,
}

impl Plan {
    /// The part of the plan for which `holds` is true.
    #[must_use]
    pub fn only(&self, holds: impl Fn(&Change) -> bool) -> Self {
        Self {
            changes: self.changes.iter().filter(|change| holds(change)).cloned().collect(),
        }
    }

    /// The change of a proxy; `None` if the proxy stays as it is.
    #[must_use]
    pub fn change(&self, proxy: &ProxyKey) -> Option<&Change> {
        let index = self.changes.binary_search_by(|change| change.proxy.cmp(proxy));
        self.changes.get(index.ok()?)
    }
}

/// The change of one proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The proxy that changes.
    pub proxy: ProxyKey,
    /// The kind of change, for people.
    pub action: Action,
    /// The texts of the files before the change. A published file that is gone, or holds no text, and is not desired
    /// either has an empty text, so that the change removes it from what is published.
    pub before: Files,
    /// The texts of the files after the change.
    pub after: Files,
    /// The published files that the change does not touch although they are not as they were published: somebody
    /// edited them, or they cannot be restored.
    pub left: BTreeSet<Artifact>,
}

impl Change {
    /// The files that get another text, or are added or removed.
    pub fn changed(&self) -> impl Iterator<Item = Artifact> {
        let all: BTreeSet<Artifact> = self.before.keys().chain(self.after.keys()).copied().collect();
        let differs = |artifact: &Artifact| self.before.get(artifact) != self.after.get(artifact);
        all.into_iter().filter(differs)
    }
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The proxy had no files.
    Add,
    /// The proxy keeps some of its files, and others change.
    Change,
    /// The proxy loses its files.
    Remove,
}
