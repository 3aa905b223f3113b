//! A [`Plan`]: the changes that are to be carried out.

use crate::envoy::artifact::{Artifact, Files, ProxyKey};

/// What to change, sorted by proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// One entry per proxy that changes.
    pub changes: Vec<Change>,
}

/// What to change for one proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The proxy.
    pub proxy: ProxyKey,
    /// In one word.
    pub action: Action,
    /// Its files as they are.
    pub before: Files,
    /// Its files as they shall be.
    pub after: Files,
}

impl Change {
    /// The files that get another text, or come or go.
    pub fn changed(&self) -> impl Iterator<Item = Artifact> {
        let differs = |artifact: &Artifact| self.before.get(artifact) != self.after.get(artifact);
        Artifact::ALL.into_iter().filter(differs)
    }
}

/// What happens to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is new.
    Add,
    /// Some of its files change.
    Change,
    /// It goes.
    Remove,
}
