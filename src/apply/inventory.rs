//! What is ours: the files of every proxy, and what its Envoy has refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ApplyError, Target, Word};
use crate::envoy::artifact::{Artifact, Files, ProxyKey};
use crate::plan::{Action, Change};

/// The files that meshtraced owns below the output directory.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inventory {
    proxies: Vec<Entry>,
}

/// What is ours of one proxy.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    mesh: String,
    dataplane: String,
    /// Paths below the directory of the proxy.
    files: BTreeSet<String>,
    /// What its Envoy has refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rejected: Option<Rejected>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rejected {
    /// Digest of the files that were refused.
    digest: String,
    /// Envoy's words.
    reason: String,
}

impl Inventory {
    pub(super) fn read(target: &Target) -> Result<Self, ApplyError> {
        let path = path(target);
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|_| ApplyError::Inventory(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ApplyError::new("read", &path, error)),
        }
    }

    /// Replaces the inventory on disk; durable when it returns.
    pub(super) fn write(&self, target: &Target) -> Result<(), ApplyError> {
        let path = path(target);
        let new = path.with_extension("json.new");
        let text = serde_json::to_string_pretty(self).expect("plain data always is JSON");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(target.private())?.sync_all()
        });
        written.map_err(|error| ApplyError::new("write", &path, error))
    }

    /// The proxies and which of their files are ours.
    pub(super) fn proxies(&self) -> BTreeMap<ProxyKey, Vec<Artifact>> {
        let owned = |entry: &Entry| {
            Artifact::ALL
                .into_iter()
                .filter(|artifact| entry.files.contains(artifact.path()))
                .collect()
        };
        self.proxies
            .iter()
            .map(|entry| (ProxyKey::new(&entry.mesh, &entry.dataplane), owned(entry)))
            .collect()
    }

    pub(super) fn owns(&self, proxy: &ProxyKey, artifact: Artifact) -> bool {
        self.entry(proxy)
            .is_some_and(|entry| entry.files.contains(artifact.path()))
    }

    /// What Envoy said when it refused just these files.
    pub(super) fn rejected(&self, proxy: &ProxyKey, files: &Files) -> Option<&str> {
        let rejected = self.entry(proxy)?.rejected.as_ref()?;
        (rejected.digest == digest(files)).then_some(&rejected.reason)
    }

    /// Takes files into possession.
    pub(super) fn own(&mut self, proxy: &ProxyKey, files: impl Iterator<Item = Artifact>) {
        let paths = files.map(|artifact| artifact.path().to_owned());
        match self.proxies.iter_mut().find(|entry| is_of(entry, proxy)) {
            Some(entry) => entry.files.extend(paths),
            None => self.proxies.push(Entry {
                mesh: proxy.mesh.clone(),
                dataplane: proxy.dataplane.clone(),
                files: paths.collect(),
                rejected: None,
            }),
        }
        self.proxies
            .sort_by(|a, b| (&a.mesh, &a.dataplane).cmp(&(&b.mesh, &b.dataplane)));
    }

    /// Notes what came of a change. What could not be removed stays ours.
    pub(super) fn settle(&mut self, change: &Change, result: &Result<Word, ApplyError>) {
        if change.action == Action::Remove && result.is_ok() {
            self.proxies.retain(|entry| !is_of(entry, &change.proxy));
            return;
        }
        let Some(entry) = self.proxies.iter_mut().find(|entry| is_of(entry, &change.proxy)) else {
            return;
        };
        entry.rejected = match result {
            Ok(Word::Rejected(reason)) => Some(Rejected {
                digest: digest(&change.after),
                reason: reason.clone(),
            }),
            _ => None,
        };
    }

    fn entry(&self, proxy: &ProxyKey) -> Option<&Entry> {
        self.proxies.iter().find(|entry| is_of(entry, proxy))
    }
}

fn is_of(entry: &Entry, proxy: &ProxyKey) -> bool {
    (&entry.mesh, &entry.dataplane) == (&proxy.mesh, &proxy.dataplane)
}

fn path(target: &Target) -> PathBuf {
    target.private().join("inventory.json")
}

/// A digest of what Envoy reads of the files.
fn digest(files: &Files) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in [Artifact::Cds, Artifact::Lds]
        .iter()
        .filter_map(|artifact| files.get(artifact))
    {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
