//! What to change: a [`Plan`] is a value that `diff` prints and `run` carries out.
//!
//! [`plan`] compares what is applied with what is desired. How a step is carried out is not known here.

pub mod summary;

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Diagnostic, Holds};
use crate::envoy::artifact::{Files, Fragments, ProxyKey};

/// What is on disk and ours.
pub type Applied = BTreeMap<ProxyKey, Files>;

/// Meshes that must keep what is applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// All of them.
    pub all: bool,
    /// Those by name.
    pub meshes: BTreeSet<String>,
}

impl Held {
    /// What these findings hold.
    #[must_use]
    pub fn by<'d>(findings: impl IntoIterator<Item = &'d Diagnostic>) -> Self {
        let mut held = Self::default();
        for finding in findings {
            match &finding.holds {
                Holds::Nothing => {}
                Holds::Meshes(meshes) => held.meshes.extend(meshes.iter().cloned()),
                Holds::All => held.all = true,
            }
        }
        held
    }

    /// The same, or everything if anything at all is held.
    #[must_use]
    pub fn all_or_nothing(self) -> Self {
        Self {
            all: !self.is_empty(),
            meshes: self.meshes,
        }
    }

    /// Whether a mesh must keep what is applied.
    #[must_use]
    pub fn contains(&self, mesh: &str) -> bool {
        self.all || self.meshes.contains(mesh)
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && self.meshes.is_empty()
    }
}

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

/// What has to change so that `desired` is applied; held meshes stay as they are.
#[must_use]
pub fn plan(applied: &Applied, desired: &Fragments, held: &Held) -> Plan {
    let proxies: BTreeSet<&ProxyKey> = applied.keys().chain(desired.keys()).collect();
    let changes = proxies
        .into_iter()
        .filter(|proxy| !held.contains(&proxy.mesh))
        .filter_map(|proxy| {
            let (before, after) = (applied.get(proxy), desired.get(proxy));
            let action = match (before, after) {
                (None, Some(_)) => Action::Add,
                (Some(_), None) => Action::Remove,
                (before, after) if before == after => return None,
                _ => Action::Change,
            };
            let files = |files: Option<&Files>| files.cloned().unwrap_or_default();
            Some(Change {
                proxy: proxy.clone(),
                action,
                before: files(before),
                after: files(after),
            })
        });
    Plan {
        changes: changes.collect(),
    }
}
