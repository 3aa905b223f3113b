//! The observed state: published files, and whether the Envoys run with them.

use std::collections::{BTreeMap, BTreeSet};

use super::drift::{Drift, DriftKind};
use crate::envoy::artifact::{Files, Fragments, ProxyKey};

/// The texts of published files.
pub type Applied = BTreeMap<ProxyKey, Files>;

/// The observed state: what is on disk, and what the Envoys say about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// The texts of published files as they are, also of files that somebody edited. A file that is missing or holds
    /// no text is left out, so that a plan writes it again; so are listeners that Envoy has neither acked nor nacked
    /// yet.
    pub applied: Applied,
    /// The files that are not as they were published, sorted by proxy and file.
    pub drift: Vec<Drift>,
    /// The proxies whose Envoy runs without the files that are applied, for instance because it lost its watch on
    /// them.
    pub out_of_sync: BTreeSet<ProxyKey>,
    /// The texts of the last generation, from which files are restored. They are needed only if
    /// [`needs_last_generation`](Self::needs_last_generation) says so.
    pub last_generation: Fragments,
}

impl Observed {
    /// Whether a published file is gone, so that the text it had is needed.
    #[must_use]
    pub fn needs_last_generation(&self) -> bool {
        self.drift.iter().any(|drift| drift.kind != DriftKind::Edited)
    }
}

impl From<Applied> for Observed {
    /// The observed state in which all files are as they were published, and every Envoy has them.
    fn from(applied: Applied) -> Self {
        Self {
            applied,
            ..Self::default()
        }
    }
}
