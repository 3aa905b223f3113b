//! Which files each Envoy was told to read last, remembered beside the published files.
//!
//! An entry is open from before a reload begins until it went well, so that one that was cut off by a crash, or failed in
//! the middle, is made again even when the files are what they were before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::apply::lock::held;
use crate::apply::tree::Content;
use crate::apply::{Lock, Result, Target, check_format, open, replace};
use crate::envoy::artifact::{Artifact, ProxyKey};
use crate::plan::digest::Digest;

const NAME: &str = "reloads.json";

/// Says which form the file has.
const FORMAT: u32 = 1;

/// Files of a proxy by their digests; `None` for one that is not there.
pub(super) type Loaded = BTreeMap<Artifact, Option<Digest>>;

/// What is known of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// What was there when it was reloaded last, or seen first.
    pub(super) files: Loaded,
    /// Whether a reload is due or under way.
    pub(super) is_open: bool,
}

/// What is known of all proxies.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) proxies: BTreeMap<ProxyKey, Entry>,
    /// As it is on disk.
    written: BTreeMap<ProxyKey, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    proxies: Vec<WrittenEntry>,
}

#[derive(Serialize, Deserialize)]
struct WrittenEntry {
    mesh: String,
    dataplane: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    open: bool,
    files: BTreeMap<String, Option<Digest>>,
}

impl Memory {
    /// What was remembered last.
    ///
    /// # Errors
    /// When it is there and cannot be read or understood, in words.
    pub(super) fn read(target: &Target) -> std::result::Result<Self, String> {
        let text = match open(target).and_then(|dirs| dirs.map(|(_, meta)| meta.read(NAME)).transpose()) {
            Ok(Some(Content::Text(text))) => text,
            Ok(None | Some(Content::Missing)) => return Ok(Self::default()),
            Ok(Some(Content::Binary | Content::Other)) => return Err("it is no readable text file".to_owned()),
            Err(error) => return Err(crate::words::with_causes(&error)),
        };
        let proxies = parse(&text)?;
        Ok(Self {
            written: proxies.clone(),
            proxies,
        })
    }

    /// Writes it if it changed; durable when it returns.
    ///
    /// # Errors
    /// When it cannot be written; what was remembered before then is still there.
    pub(super) fn write(&mut self, target: &Target, lock: &Lock) -> Result<()> {
        if self.proxies == self.written {
            return Ok(());
        }
        let (_, meta) = held(target, lock)?;
        replace(target, &meta, NAME, &text(&self.proxies))?;
        self.written = self.proxies.clone();
        Ok(())
    }

    /// Whether a proxy whose files are these has to be reloaded; its entry is open then. Of one that is not known
    /// yet, what was there `before` is taken for what it has read.
    pub(super) fn is_due(&mut self, proxy: &ProxyKey, wanted: &Loaded, before: &Loaded) -> bool {
        let entry = self.proxies.entry(proxy.clone()).or_insert_with(|| Entry {
            files: before.clone(),
            is_open: false,
        });
        entry.files.retain(|artifact, _| wanted.contains_key(artifact));
        for (artifact, digest) in wanted {
            // One that did not count until now, or was never seen.
            entry.files.entry(*artifact).or_insert_with(|| digest.clone());
        }
        entry.is_open |= entry.files != *wanted;
        entry.is_open
    }

    /// A reload went well; `is_open` says whether there is another one to come.
    pub(super) fn loaded(&mut self, proxy: &ProxyKey, files: &Loaded, is_open: bool) {
        if let Some(entry) = self.proxies.get_mut(proxy) {
            entry.files.clone_from(files);
            entry.is_open = is_open;
        }
    }

    /// Forgets all others.
    pub(super) fn retain(&mut self, proxies: &BTreeSet<&ProxyKey>) {
        self.proxies.retain(|proxy, _| proxies.contains(proxy));
    }
}

fn parse(text: &str) -> std::result::Result<BTreeMap<ProxyKey, Entry>, String> {
    check_format(text, FORMAT)?;
    let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let entries = written.proxies.into_iter().map(|entry| {
        let artifact = |path: &str| Artifact::ALL.into_iter().find(|artifact| artifact.path() == path);
        let files = entry.files.into_iter();
        let known = Entry {
            files: files
                .filter_map(|(path, digest)| Some((artifact(&path)?, digest)))
                .collect(),
            is_open: entry.open,
        };
        (ProxyKey::new(entry.mesh, entry.dataplane), known)
    });
    Ok(entries.collect())
}

fn text(proxies: &BTreeMap<ProxyKey, Entry>) -> String {
    let entries = proxies.iter().map(|(proxy, entry)| WrittenEntry {
        mesh: proxy.mesh.clone(),
        dataplane: proxy.dataplane.clone(),
        open: entry.is_open,
        files: (entry.files.iter())
            .map(|(artifact, digest)| (artifact.path().to_owned(), digest.clone()))
            .collect(),
    });
    let written = Written {
        format: FORMAT,
        proxies: entries.collect(),
    };
    serde_json::to_string_pretty(&written).expect("plain data always is JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> Loaded {
        Loaded::from([(Artifact::Bootstrap, Some(Digest::of(text)))])
    }

    #[test]
    fn it_is_due_until_it_went_well() {
        let mut memory = Memory::default();
        let proxy = ProxyKey::new("default", "web-01");
        let (old, new, nothing) = (files("old"), files("new"), Loaded::new());
        assert!(!memory.is_due(&proxy, &old, &nothing), "seen for the first time");
        assert!(memory.is_due(&proxy, &new, &nothing));
        assert!(memory.is_due(&proxy, &old, &nothing), "it may have begun");
        memory.loaded(&proxy, &old, false);
        assert!(!memory.is_due(&proxy, &old, &nothing));
        assert_eq!(parse(&text(&memory.proxies)), Ok(memory.proxies.clone()));
        memory.retain(&BTreeSet::new());
        assert!(memory.is_due(&proxy, &new, &old), "it changes when it is seen first");
        assert_eq!(parse(&text(&memory.proxies)), Ok(memory.proxies));
    }

    #[test]
    fn another_file_that_counts_is_no_change() {
        let mut memory = Memory::default();
        let proxy = ProxyKey::new("default", "web-01");
        assert!(!memory.is_due(&proxy, &files("a"), &Loaded::new()));
        let mut more = files("a");
        more.insert(Artifact::Fragment, None);
        assert!(!memory.is_due(&proxy, &more, &Loaded::new()));
        more.insert(Artifact::Fragment, Some(Digest::of("b")));
        assert!(memory.is_due(&proxy, &more, &Loaded::new()));
    }
}
