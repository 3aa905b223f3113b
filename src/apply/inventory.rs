//! Which files are ours, and which texts Envoy refused.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ApplyError;
use super::tree::{Access, Content, Dir};
use crate::envoy::artifact::{Artifact, Files, ProxyKey};

pub(super) const NAME: &str = "inventory.json";

/// Says which form the file has; a later one may mean something else.
const FORMAT: u32 = 1;

/// Texts that a proxy's Envoy refused, which are not tried on it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rejection {
    /// Hash of the texts.
    pub(super) digest: String,
    /// Why, in the words of Envoy.
    pub(super) reason: String,
}

/// What is known of one proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The files that are ours; none for one that left something behind which could not be removed yet.
    pub(super) files: BTreeSet<Artifact>,
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
    files: Vec<String>,
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
            Content::Other => Err(invalid("it is no readable text file".to_owned())),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if written.format != FORMAT {
            return Err(format!(
                "it has format {}, and this version of meshtraced knows {FORMAT}",
                written.format
            ));
        }
        let mut proxies = BTreeMap::new();
        for entry in written.proxies {
            let mut files = BTreeSet::new();
            for path in &entry.files {
                let artifact = Artifact::ALL.into_iter().find(|artifact| artifact.path() == path);
                files.insert(artifact.ok_or_else(|| format!("it lists `{path}`, which no proxy has"))?);
            }
            let rejection = entry.rejected;
            proxies.insert(ProxyKey::new(entry.mesh, entry.dataplane), Entry { files, rejection });
        }
        Ok(Self { proxies })
    }

    /// Replaces the inventory of a directory; what is read afterwards is the old or the new one, also after a crash.
    pub(super) fn write(&self, dir: &Dir, staging: &Dir, access: Access) -> Result<(), ApplyError> {
        staging.remove(NAME)?;
        let file = staging.create(NAME, &self.text(), access)?;
        file.sync_all()
            .map_err(|e| ApplyError::new("sync", &staging.path().join(NAME), e))?;
        staging.move_to(NAME, dir, NAME, true)
    }

    fn text(&self) -> String {
        let entry = |(proxy, entry): (&ProxyKey, &Entry)| WrittenEntry {
            mesh: proxy.mesh.clone(),
            dataplane: proxy.dataplane.clone(),
            files: entry.files.iter().map(|artifact| artifact.path().to_owned()).collect(),
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
        };
        let full = Entry {
            files: BTreeSet::from(Artifact::ALL),
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
        for (text, expected) in [
            ("", "EOF"),
            ("{}", "missing field"),
            (r#"{"format": 2, "proxies": []}"#, "format 2"),
            (
                r#"{"format": 1, "proxies": [{"mesh": "m", "dataplane": "d", "files": ["../x"]}]}"#,
                "`../x`",
            ),
        ] {
            let error = Inventory::parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
