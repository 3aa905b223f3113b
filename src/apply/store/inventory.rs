//! The inventory: the files that are ours, the digests of their texts, and the texts that Envoy rejected.
//!
//! Each file is listed with the digest of the text that we put there, so that somebody else's edit is seen. While a
//! publication is under way a file is listed with everything that a kill at any moment may leave: the text before,
//! those between, the text after, and nothing at all where the file comes or goes. So what a crash leaves is never
//! mistaken for an edit; the next publication that comes to its end lists one digest again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::dir::{Access, Content, Dir};
use super::document::{self, Document, Found};
use super::output::OutputDir;
use crate::apply::error::ApplyError;
use crate::envoy::artifact::{Artifact, Elsewhere, Files, ProxyKey};
use crate::plan::digest::Digest;

const NAME: &str = "inventory.json";

/// The possibilities for the text of a file of ours, as digests; `None` for no file.
pub(in crate::apply) type Known = BTreeSet<Option<Digest>>;

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

/// The entries of all proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::apply) struct Inventory {
    pub(in crate::apply) proxies: BTreeMap<ProxyKey, Entry>,
}

#[derive(Serialize, Deserialize)]
struct InventoryFile {
    proxies: Vec<ProxyEntry>,
}

impl Document for InventoryFile {
    const FORMAT: u32 = 2;
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
    Ok(match meta.read(NAME)? {
        Content::Text(text) => Some(blake3::hash(text.as_bytes()).to_hex().to_string()),
        Content::Missing | Content::Binary | Content::Other => None,
    })
}

/// The places of published files that are not below the output directory.
///
/// # Errors
/// When the inventory cannot be read.
pub fn published_places(out: &OutputDir) -> Result<BTreeMap<ProxyKey, Elsewhere>, ApplyError> {
    let Some((_, meta)) = out.open()? else {
        return Ok(BTreeMap::new());
    };
    let proxies = Inventory::read(&meta)?.proxies.into_iter();
    let places = proxies.map(|(proxy, entry)| (proxy, entry.elsewhere));
    Ok(places.filter(|(_, elsewhere)| !elsewhere.is_empty()).collect())
}

impl Inventory {
    /// The inventory in a directory; an empty one when there is none.
    pub(in crate::apply) fn read(dir: &Dir) -> Result<Self, ApplyError> {
        let invalid = |message: String| ApplyError::Inventory {
            path: dir.path().join(NAME),
            message,
        };
        match document::load(dir, NAME)? {
            Found::Missing => Ok(Self::default()),
            Found::Document(file) => Ok(Self::from_file(file)),
            Found::Invalid(message) => Err(invalid(message)),
        }
    }

    fn from_file(file: InventoryFile) -> Self {
        let entry = |entry: ProxyEntry| {
            let known = Entry {
                files: entry.files,
                elsewhere: entry.elsewhere,
                left: entry.left,
                nack: entry.rejected,
            };
            (ProxyKey::new(entry.mesh, entry.dataplane), known)
        };
        Self {
            proxies: file.proxies.into_iter().map(entry).collect(),
        }
    }

    /// Writes the inventory aside. It counts from [`Inventory::put`] on, before which it has to be on disk.
    pub(in crate::apply) fn stage(&self, staging: &Dir, access: Access) -> Result<(), ApplyError> {
        staging.remove(NAME)?;
        staging.create(NAME, &self.text(), access).map(drop)
    }

    /// Replaces the inventory, with a copy on disk before it is visible.
    pub(in crate::apply) fn replace(&self, out: &OutputDir, meta: &Dir) -> Result<(), ApplyError> {
        document::replace(out, meta, NAME, &self.to_file())
    }

    /// Makes the inventory that was written aside the one of a directory.
    pub(in crate::apply) fn put(staging: &Dir, dir: &Dir) -> Result<(), ApplyError> {
        staging.move_to(NAME, dir, NAME, true)
    }

    fn text(&self) -> String {
        document::text(&self.to_file())
    }

    fn to_file(&self) -> InventoryFile {
        let entry = |(proxy, entry): (&ProxyKey, &Entry)| ProxyEntry {
            mesh: proxy.mesh.clone(),
            dataplane: proxy.dataplane.clone(),
            files: entry.files.clone(),
            elsewhere: entry.elsewhere.clone(),
            left: entry.left.clone(),
            rejected: entry.nack.clone(),
        };
        InventoryFile {
            proxies: self.proxies.iter().map(entry).collect(),
        }
    }
}

/// A hash of the texts of a proxy.
pub(in crate::apply) fn digest(files: &Files) -> String {
    let mut hasher = blake3::Hasher::new();
    for (artifact, text) in files {
        for part in [&*artifact.path(), text] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Inventory, String> {
        document::parse(text).map(Inventory::from_file)
    }

    #[test]
    fn it_reads_what_it_writes() {
        let nack = Nack {
            digest: "d".to_owned(),
            reason: "\"quoted\"\nline".to_owned(),
            by: None,
        };
        let known = |artifact: Artifact| Known::from([None, Some(Digest::of(&artifact.path()))]);
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
        let inventory = Inventory {
            proxies: BTreeMap::from([
                (ProxyKey::new("m", "a/b"), full),
                (ProxyKey::new("ä", ""), Entry::default()),
            ]),
        };
        assert_eq!(parse(&inventory.text()), Ok(inventory));
    }

    #[test]
    fn what_it_does_not_understand_it_refuses() {
        let entry = |files: &str| {
            format!(r#"{{"format": 2, "proxies": [{{"mesh": "m", "dataplane": "d", "files": {files}}}]}}"#)
        };
        for (text, expected) in [
            (&entry(r#"{"../x": []}"#), "`../x`"),
            (&entry(r#"{"xds/cds.yaml": ["../x"]}"#), "`../x`"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
