//! The inventory: the files that are ours, the digests of their texts, and the texts that Envoy rejected.
//!
//! Each file is listed with the digest of the text that we put there, so that somebody else's edit is seen. While a
//! publication is under way a file is listed with everything that a kill at any moment may leave: the text before,
//! those between, the text after, and nothing at all where the file comes or goes. So what a crash leaves is never
//! mistaken for an edit; the next publication that comes to its end lists one digest again.
//!
//! It is a file for each [shard](super::shard), and a publication reads and writes those that it needs.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::dir::Dir;
use super::document::{self, Document, Found};
use super::known::Known;
use super::output::{OpenOutput, OutputDir};
use super::shard::{Shard, Shards};
use crate::apply::error::ApplyError;
use crate::envoy::artifact::{Artifact, Elsewhere, Files, ProxyKey};

/// The directory of the files.
const INVENTORY: &str = "inventory";

/// The files of a proxy that are ours.
pub(in crate::apply) type Owned = BTreeMap<Artifact, Known>;

/// The texts that the Envoy of a proxy or the validator rejected, and that are not tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::apply) struct Nack {
    /// The hash of the texts.
    pub(in crate::apply) digest: String,
    /// The reason, in the words of Envoy.
    pub(in crate::apply) reason: String,
    /// The validator that rejected them before they were published; `None` when the proxy's own Envoy did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::apply) by: Option<String>,
}

impl Nack {
    /// Whether these texts are not tried again. Texts that a validator rejected are tried with another one or without
    /// one.
    pub(in crate::apply) fn is_of(&self, files: &Files, validator: Option<&str>) -> bool {
        self.digest == digest(files) && (self.by.is_none() || self.by.as_deref() == validator)
    }
}

/// The entry of one proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::apply) struct Entry {
    /// The files that are ours; none for a proxy that left something behind which could not be removed yet, or was
    /// rejected before it had any.
    pub(in crate::apply) files: Owned,
    /// The places of those that are not below the directory of the proxy.
    pub(in crate::apply) elsewhere: Elsewhere,
    /// Files of ours at places where they do not belong any more, and that are removed once the new ones are there.
    pub(in crate::apply) left: BTreeMap<PathBuf, Left>,
    pub(in crate::apply) nack: Option<Nack>,
}

/// A file at a place where it does not belong any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::apply) struct Left {
    /// The file that it was.
    pub(in crate::apply) file: Artifact,
    pub(in crate::apply) known: Known,
}

/// The entries of all proxies of some shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::apply) struct Inventory {
    /// The shards that were read; what other shards have is not known.
    pub(in crate::apply) shards: Shards,
    pub(in crate::apply) proxies: BTreeMap<ProxyKey, Entry>,
}

#[derive(Serialize, Deserialize)]
struct InventoryFile {
    proxies: Vec<ProxyEntry>,
}

impl Document for InventoryFile {
    const FORMAT: u32 = 3;
}

#[derive(Serialize, Deserialize)]
struct ProxyEntry {
    mesh: String,
    dataplane: String,
    files: Owned,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    elsewhere: Elsewhere,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    left: BTreeMap<PathBuf, Left>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rejected: Option<Nack>,
}

/// A hash of the inventory as it is on disk; `None` when there is none.
///
/// # Errors
/// When it cannot be read.
pub fn inventory_seal(out: &OutputDir) -> Result<Option<String>, ApplyError> {
    let Some((_, meta)) = out.open()? else {
        return Ok(None);
    };
    let Some(dir) = meta.child(INVENTORY)? else {
        return Ok(None);
    };
    dir.seal(shards_in(&dir)?.into_iter().map(file_name))
}

/// The places of published files that are not below the output directory.
///
/// # Errors
/// When the inventory cannot be read.
pub fn published_places(out: &OutputDir) -> Result<BTreeMap<ProxyKey, Elsewhere>, ApplyError> {
    let Some((_, meta)) = out.open()? else {
        return Ok(BTreeMap::new());
    };
    let proxies = Inventory::read(&meta, Shards::All)?.proxies.into_iter();
    let places = proxies.map(|(proxy, entry)| (proxy, entry.elsewhere));
    Ok(places.filter(|(_, elsewhere)| !elsewhere.is_empty()).collect())
}

/// The shards of an inventory that have files, sorted.
fn shards_in(dir: &Dir) -> Result<BTreeSet<Shard>, ApplyError> {
    let shard = |name: &String| Shard::try_from(Cow::from(name.strip_suffix(".json")?)).ok();
    Ok(dir.names()?.iter().filter_map(shard).collect())
}

/// The name of the file of a shard.
fn file_name(shard: Shard) -> String {
    format!("{}.json", String::from(shard))
}

/// The name of such a file on its way.
fn staged_name(shard: Shard) -> String {
    format!("inventory-{}", file_name(shard))
}

impl Inventory {
    /// Some shards of the inventory below the directory of our own files; without entries when there is none.
    pub(in crate::apply) fn read(meta: &Dir, shards: Shards) -> Result<Self, ApplyError> {
        let mut proxies = BTreeMap::new();
        if let Some(dir) = meta.child(INVENTORY)? {
            let wanted = match &shards {
                Shards::All => shards_in(&dir)?,
                Shards::Some(shards) => shards.clone(),
            };
            for shard in wanted {
                let name = file_name(shard);
                let invalid = |message: String| ApplyError::Inventory {
                    path: dir.path().join(&name),
                    message,
                };
                match document::load(&dir, &name)? {
                    Found::Missing => {}
                    Found::Document(file) => proxies.extend(entries(file, shard).map_err(invalid)?),
                    Found::Invalid(message) => return Err(invalid(message)),
                }
            }
        }
        Ok(Self { shards, proxies })
    }

    /// The shards in which another inventory has other entries. Both have the same shards.
    fn changes(&self, other: &Self) -> BTreeSet<Shard> {
        let differs = |(proxy, entry): &(&ProxyKey, &Entry), other: &Self| other.proxies.get(*proxy) != Some(*entry);
        let new = self.proxies.iter().filter(|entry| differs(entry, other));
        let old = other.proxies.iter().filter(|entry| differs(entry, self));
        new.chain(old).map(|(proxy, _)| Shard::of(proxy)).collect()
    }

    /// Writes aside the shards that are not as in `on_disk`; `None` if all are. They count from [`Staged::put`] on, before which
    /// they have to be on disk.
    pub(in crate::apply) fn stage(&self, on_disk: &Self, output: &OpenOutput) -> Result<Option<Staged>, ApplyError> {
        let changed = self.changes(on_disk);
        if changed.is_empty() {
            return Ok(None);
        }
        let mut shards: BTreeMap<Shard, Vec<ProxyEntry>> =
            changed.into_iter().map(|shard| (shard, Vec::new())).collect();
        for (proxy, entry) in &self.proxies {
            if let Some(entries) = shards.get_mut(&Shard::of(proxy)) {
                entries.push(ProxyEntry::of(proxy, entry));
            }
        }
        let dir = output.meta.make_child(INVENTORY, output.out.directory())?;
        let mut staged = Staged {
            dir,
            files: BTreeMap::new(),
        };
        for (shard, proxies) in shards {
            let has_entries = !proxies.is_empty();
            if has_entries {
                let (name, text) = (staged_name(shard), document::text(&InventoryFile { proxies }));
                output.staging.remove(&name)?;
                output.staging.create(&name, &text, output.out.file())?;
            }
            staged.files.insert(shard, has_entries);
        }
        Ok(Some(staged))
    }

    /// Replaces the inventory where it is not as in `on_disk`, with copies on disk before they are visible.
    pub(in crate::apply) fn replace(&self, on_disk: &Self, output: &OpenOutput) -> Result<(), ApplyError> {
        let Some(staged) = self.stage(on_disk, output)? else {
            return Ok(());
        };
        output.root.sync_all()?;
        staged.put(output)?.sync()
    }
}

/// Shards of the inventory on their way.
pub(in crate::apply) struct Staged {
    dir: Dir,
    /// The shards, and whether each has a file.
    files: BTreeMap<Shard, bool>,
}

impl Staged {
    /// Makes what was written aside the inventory, and gives its directory, which is not synced.
    pub(in crate::apply) fn put(self, output: &OpenOutput) -> Result<Dir, ApplyError> {
        for (shard, has_file) in self.files {
            let name = file_name(shard);
            match has_file {
                true => output.staging.move_to(&staged_name(shard), &self.dir, &name, true)?,
                false => self.dir.remove(&name)?,
            }
        }
        Ok(self.dir)
    }
}

impl ProxyEntry {
    fn of(proxy: &ProxyKey, entry: &Entry) -> Self {
        Self {
            mesh: proxy.mesh.clone(),
            dataplane: proxy.dataplane.clone(),
            files: entry.files.clone(),
            elsewhere: entry.elsewhere.clone(),
            left: entry.left.clone(),
            rejected: entry.nack.clone(),
        }
    }
}

/// The entries of the file of a shard.
fn entries(file: InventoryFile, shard: Shard) -> Result<Vec<(ProxyKey, Entry)>, String> {
    let entry = |entry: ProxyEntry| {
        let known = Entry {
            files: entry.files,
            elsewhere: entry.elsewhere,
            left: entry.left,
            nack: entry.rejected,
        };
        let proxy = ProxyKey::new(entry.mesh, entry.dataplane);
        if Shard::of(&proxy) == shard {
            Ok((proxy, known))
        } else {
            Err(format!("it lists {proxy}, which belongs to another file"))
        }
    };
    file.proxies.into_iter().map(entry).collect()
}

/// A hash of the texts of a proxy.
pub(in crate::apply) fn digest(files: &Files) -> String {
    let mut hasher = blake3::Hasher::new();
    for (artifact, text) in files {
        for part in [artifact.path(), text.text()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::Digest;

    fn parse(text: &str, shard: Shard) -> Result<BTreeMap<ProxyKey, Entry>, String> {
        Ok(entries(document::parse(text)?, shard)?.into_iter().collect())
    }

    #[test]
    fn it_reads_what_it_writes() {
        let nack = Nack {
            digest: "d".to_owned(),
            reason: "\"quoted\"\nline".to_owned(),
            by: None,
        };
        let known = |artifact: Artifact| Known::from(vec![None, Some(Digest::of(&artifact.path()))]);
        let full = Entry {
            files: Artifact::SINGLE.map(|artifact| (artifact, known(artifact))).into(),
            elsewhere: [(Artifact::Lds, "/etc/envoy/lds.yaml".into())].into(),
            left: BTreeMap::from([(
                "/etc/envoy/old.yaml".into(),
                Left {
                    file: Artifact::Lds,
                    known: known(Artifact::Lds),
                },
            )]),
            nack: Some(nack),
        };
        for (proxy, entry) in [
            (ProxyKey::new("m", "a/b"), full),
            (ProxyKey::new("ä", ""), Entry::default()),
        ] {
            let proxies = vec![ProxyEntry::of(&proxy, &entry)];
            let text = document::text(&InventoryFile { proxies });
            let shard = Shard::of(&proxy);
            assert_eq!(parse(&text, shard), Ok(BTreeMap::from([(proxy, entry)])));
        }
    }

    #[test]
    fn what_it_does_not_understand_it_refuses() {
        let entry = |files: &str| {
            format!(r#"{{"format": 3, "proxies": [{{"mesh": "m", "dataplane": "d", "files": {files}}}]}}"#)
        };
        for (text, expected) in [
            (&entry(r#"{"../x": []}"#), "`../x`"),
            (&entry(r#"{"xds/cds.yaml": ["../x"]}"#), "`../x`"),
            (&entry("{}"), "m/d, which belongs to another file"),
        ] {
            let error = parse(text, Shard::of(&ProxyKey::new("m", "e"))).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
