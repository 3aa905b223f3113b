//! Which files are ours, what we put into them, and which texts Envoy refused.
//!
//! Each file is listed with the digest of the text that we put there, so that somebody else's edit is seen. While a
//! publication is under way a file is listed with everything that a kill at any moment may leave: the text before, those
//! between, the text after, and nothing at all where the file comes or goes. So what a crash leaves is never mistaken for
//! an edit; the next publication that comes to its end lists one digest again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ApplyError;
use super::tree::{Access, Content, Dir};
use crate::envoy::artifact::{Artifact, Files, ProxyKey};
use crate::plan::digest::Digest;

pub(super) const NAME: &str = "inventory.json";

/// Says which form the file has; a later one may mean something else.
const FORMAT: u32 = 2;

/// What may stand at the place of a file of ours: texts by their digests, `None` for nothing at all.
pub(super) type Known = BTreeSet<Option<Digest>>;

/// The files of a proxy that are ours.
pub(super) type Owned = BTreeMap<Artifact, Known>;

/// Texts that a proxy's Envoy refused, which are not tried on it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rejection {
    /// Hash of the texts.
    pub(super) digest: String,
    /// Why, in the words of Envoy.
    pub(super) reason: String,
    /// Which validator refused them, before they were published; `None` when the proxy's own Envoy did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<String>,
}

impl Rejection {
    /// Whether these texts are not tried again. What a validator refused is, by another one or without one.
    pub(super) fn is_of(&self, files: &Files, validator: Option<&str>) -> bool {
        self.digest == digest(files) && (self.by.is_none() || self.by.as_deref() == validator)
    }
}

/// What is known of one proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The files that are ours; none for one that left something behind which could not be removed yet, or was refused
    /// before it had any.
    pub(super) files: Owned,
    pub(super) rejection: Option<Rejection>,
}

/// What is known of all proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inventory {
    pub(super) proxies: BTreeMap<ProxyKey, Entry>,
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
    files: BTreeMap<String, Known>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rejected: Option<Rejection>,
}

impl Inventory {
    /// Reads the inventory of a directory; it may be missing.
    pub(super) fn read(dir: &Dir) -> Result<Self, ApplyError> {
        let invalid = |message: String| ApplyError::Inventory {
            path: dir.path().join(NAME),
            message,
        };
        match dir.read(NAME)? {
            Content::Missing => Ok(Self::default()),
            Content::Text(text) => Self::parse(&text).map_err(invalid),
            Content::Binary | Content::Other => Err(invalid("it is no readable text file".to_owned())),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        super::check_format(text, FORMAT)?;
        let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut proxies = BTreeMap::new();
        for entry in written.proxies {
            let (files, rejection) = (by_artifact(entry.files)?, entry.rejected);
            proxies.insert(ProxyKey::new(entry.mesh, entry.dataplane), Entry { files, rejection });
        }
        Ok(Self { proxies })
    }

    /// Writes the inventory aside. It counts from [`Inventory::put`] on, before which it has to be on disk.
    pub(super) fn stage(&self, staging: &Dir, access: Access) -> Result<(), ApplyError> {
        staging.remove(NAME)?;
        staging.create(NAME, &self.text(), access).map(drop)
    }

    /// Makes the inventory that was written aside the one of a directory.
    pub(super) fn put(staging: &Dir, dir: &Dir) -> Result<(), ApplyError> {
        staging.move_to(NAME, dir, NAME, true)
    }

    pub(super) fn text(&self) -> String {
        let entry = |(proxy, entry): (&ProxyKey, &Entry)| WrittenEntry {
            mesh: proxy.mesh.clone(),
            dataplane: proxy.dataplane.clone(),
            files: by_path(&entry.files),
            rejected: entry.rejection.clone(),
        };
        let written = Written {
            format: FORMAT,
            proxies: self.proxies.iter().map(entry).collect(),
        };
        let text = serde_json::to_string_pretty(&written).expect("strings and numbers are JSON");
        text + "\n"
    }
}

/// What is known of files, by their paths.
pub(super) fn by_path<T: Clone>(files: &BTreeMap<Artifact, T>) -> BTreeMap<String, T> {
    files
        .iter()
        .map(|(artifact, known)| (artifact.path().to_owned(), known.clone()))
        .collect()
}

/// The way back.
pub(super) fn by_artifact<T>(files: BTreeMap<String, T>) -> Result<BTreeMap<Artifact, T>, String> {
    let known = |(path, known): (String, T)| {
        let artifact = Artifact::ALL.into_iter().find(|artifact| artifact.path() == path);
        Ok((
            artifact.ok_or_else(|| format!("it lists `{path}`, which no proxy has"))?,
            known,
        ))
    };
    files.into_iter().map(known).collect()
}

/// A hash of the texts of a proxy.
pub(super) fn digest(files: &Files) -> String {
    let mut hasher = blake3::Hasher::new();
    for (artifact, text) in files {
        for part in [artifact.path(), text] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_writes() {
        let rejection = Rejection {
            digest: "d".to_owned(),
            reason: "\"quoted\"\nline".to_owned(),
            by: None,
        };
        let known = |artifact: Artifact| Known::from([None, Some(Digest::of(artifact.path()))]);
        let full = Entry {
            files: Artifact::ALL.map(|artifact| (artifact, known(artifact))).into(),
            rejection: Some(rejection),
        };
        let inventory = Inventory {
            proxies: BTreeMap::from([
                (ProxyKey::new("m", "a/b"), full),
                (ProxyKey::new("ä", ""), Entry::default()),
            ]),
        };
        assert_eq!(Inventory::parse(&inventory.text()), Ok(inventory));
    }

    #[test]
    fn what_it_does_not_understand_it_refuses() {
        let entry = |files: &str| {
            format!(r#"{{"format": 2, "proxies": [{{"mesh": "m", "dataplane": "d", "files": {files}}}]}}"#)
        };
        for (text, expected) in [
            ("", "EOF"),
            ("{}", "missing field"),
            (r#"{"format": 3, "proxies": {}}"#, "format 3"),
            (r#"{"format": 1, "proxies": []}"#, "format 1"),
            (&entry(r#"{"../x": []}"#), "`../x`"),
            (&entry(r#"{"xds/cds.yaml": ["../x"]}"#), "`../x`"),
        ] {
            let error = Inventory::parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
