//! The files that each Envoy was told to read last, remembered beside the published files.
//!
//! An entry is open from before a reload begins until it succeeded, so that a reload that was cut off by a crash, or
//! failed in the middle, is made again even when the files are the same as before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::apply::error::Result;
use crate::apply::store::OutputDir;
use crate::apply::store::document::{self, Document, Found};
use crate::apply::store::lock::{Lock, held};
use crate::envoy::artifact::{ArtifactKind, ProxyKey};
use crate::keep::Digest;
use crate::words::with_causes;

const NAME: &str = "reloads.json";

/// The files of a proxy as one digest for each kind of file; `None` where there is no file.
pub(super) type Loaded = BTreeMap<ArtifactKind, Option<Digest>>;

/// The entry of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The files at the last reload, or when the proxy was seen first.
    pub(super) files: Loaded,
    /// Whether a reload is due or under way.
    pub(super) is_open: bool,
}

/// The entries of all proxies.
#[derive(Debug, Default)]
pub(super) struct ReloadState {
    pub(super) proxies: BTreeMap<ProxyKey, Entry>,
    /// The entries as they are on disk.
    written: BTreeMap<ProxyKey, Entry>,
}

#[derive(Serialize, Deserialize)]
struct ReloadsFile {
    proxies: Vec<ProxyEntry>,
}

impl Document for ReloadsFile {
    const FORMAT: u32 = 1;
}

#[derive(Serialize, Deserialize)]
struct ProxyEntry {
    mesh: String,
    dataplane: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    open: bool,
    files: Loaded,
}

impl ReloadState {
    /// The entries as they were written last.
    ///
    /// # Errors
    /// In words, when the file is there and cannot be read or understood.
    pub(super) fn read(out: &OutputDir) -> std::result::Result<Self, String> {
        let dirs = out.open().map_err(|error| with_causes(&error))?;
        let Some((_, meta)) = dirs else {
            return Ok(Self::default());
        };
        match document::load::<ReloadsFile>(&meta, NAME).map_err(|error| with_causes(&error))? {
            Found::Missing => Ok(Self::default()),
            Found::Invalid(message) => Err(message),
            Found::Document(file) => {
                let proxies = from_file(file);
                Ok(Self {
                    written: proxies.clone(),
                    proxies,
                })
            }
        }
    }

    /// Writes the entries if they changed; they are on disk when this returns.
    ///
    /// # Errors
    /// When the file cannot be written; the entries before are then still there.
    pub(super) fn write(&mut self, out: &OutputDir, lock: &Lock) -> Result<()> {
        if self.proxies == self.written {
            return Ok(());
        }
        let (_, meta) = held(out, lock)?;
        document::replace(out, &meta, NAME, &to_file(&self.proxies))?;
        self.written = self.proxies.clone();
        Ok(())
    }

    /// Whether a proxy has to be reloaded to run with the files in `wanted`; its entry is open then. A proxy that is
    /// not known yet is assumed to have read the files in `before`.
    pub(super) fn is_due(&mut self, proxy: &ProxyKey, wanted: &Loaded, before: &Loaded) -> bool {
        let entry = self.proxies.entry(proxy.clone()).or_insert_with(|| Entry {
            files: before.clone(),
            is_open: false,
        });
        entry.files.retain(|kind, _| wanted.contains_key(kind));
        for (kind, digest) in wanted {
            // Files that did not count until now, or were never seen.
            entry.files.entry(*kind).or_insert(*digest);
        }
        entry.is_open |= entry.files != *wanted;
        entry.is_open
    }

    /// Notes that a reload succeeded; `is_open` says whether another one is to come.
    pub(super) fn loaded(&mut self, proxy: &ProxyKey, files: &Loaded, is_open: bool) {
        if let Some(entry) = self.proxies.get_mut(proxy) {
            entry.files.clone_from(files);
            entry.is_open = is_open;
        }
    }

    /// Forgets the entries of all other proxies.
    pub(super) fn retain(&mut self, proxies: &BTreeSet<&ProxyKey>) {
        self.proxies.retain(|proxy, _| proxies.contains(proxy));
    }
}

fn from_file(file: ReloadsFile) -> BTreeMap<ProxyKey, Entry> {
    let entries = file.proxies.into_iter().map(|entry| {
        let known = Entry {
            files: entry.files,
            is_open: entry.open,
        };
        (ProxyKey::new(entry.mesh, entry.dataplane), known)
    });
    entries.collect()
}

fn to_file(proxies: &BTreeMap<ProxyKey, Entry>) -> ReloadsFile {
    let entries = proxies.iter().map(|(proxy, entry)| ProxyEntry {
        mesh: proxy.mesh.clone(),
        dataplane: proxy.dataplane.clone(),
        open: entry.is_open,
        files: entry.files.clone(),
    });
    ReloadsFile {
        proxies: entries.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> Loaded {
        Loaded::from([(ArtifactKind::Bootstrap, Some(Digest::of(text)))])
    }

    fn written_and_read(state: &ReloadState) -> BTreeMap<ProxyKey, Entry> {
        from_file(document::parse(&document::text(&to_file(&state.proxies))).expect("a document"))
    }

    #[test]
    fn it_is_due_until_it_went_well() {
        let mut state = ReloadState::default();
        let proxy = ProxyKey::new("default", "web-01");
        let (old, new, nothing) = (files("old"), files("new"), Loaded::new());
        assert!(!state.is_due(&proxy, &old, &nothing), "seen for the first time");
        assert!(state.is_due(&proxy, &new, &nothing));
        assert!(state.is_due(&proxy, &old, &nothing), "it may have begun");
        state.loaded(&proxy, &old, false);
        assert!(!state.is_due(&proxy, &old, &nothing));
        assert_eq!(written_and_read(&state), state.proxies);
        state.retain(&BTreeSet::new());
        assert!(state.is_due(&proxy, &new, &old), "it changes when it is seen first");
        assert_eq!(written_and_read(&state), state.proxies);
    }

    #[test]
    fn another_file_that_counts_is_no_change() {
        let mut state = ReloadState::default();
        let proxy = ProxyKey::new("default", "web-01");
        assert!(!state.is_due(&proxy, &files("a"), &Loaded::new()));
        let mut more = files("a");
        more.insert(ArtifactKind::Fragment, None);
        assert!(!state.is_due(&proxy, &more, &Loaded::new()));
        more.insert(ArtifactKind::Fragment, Some(Digest::of("b")));
        assert!(state.is_due(&proxy, &more, &Loaded::new()));
    }
}
