//! What was published before, kept so that it can be published again.
//!
//! Each publication that changed something is a generation: which proxies had which files, as digests. The texts lie
//! beside, named by their digests, each once however many generations share it, mostly as second names of the published
//! files, which take no room. Somebody who edits such a file in place edits the copy too; so each text is compared with
//! its digest when it is loaded.
//!
//! To bring a generation back, plan from what is applied to what [`load`] gives, and apply that plan; it becomes the next
//! generation.

mod recording;

pub(super) use recording::{prune, record};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::inventory::{by_artifact, by_path};
use super::tree::{Content, Dir};
use super::{ApplyError, Result, Target, open};
use crate::envoy::artifact::{Artifact, Fragments, ProxyKey};
use crate::plan::digest::Digest;

const HISTORY: &str = "history";
const GENERATIONS: &str = "generations";
const OBJECTS: &str = "objects";
/// Says which form a generation has.
const FORMAT: u32 = 1;

/// Everything that was published at one moment, as digests.
pub type Manifest = BTreeMap<ProxyKey, BTreeMap<Artifact, Digest>>;

/// One publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its number; later ones have greater numbers.
    pub id: u64,
    /// When it was published; RFC 3339, in UTC.
    pub time: String,
    /// The revision of the policies, as the publisher named it.
    pub revision: String,
    /// What it changed against the one before.
    pub counts: Counts,
    /// What was published.
    pub manifest: Manifest,
}

/// How many proxies a generation changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Those that are new in it.
    pub added: usize,
    /// Those of which some file is another.
    pub changed: usize,
    /// Those that it has no more.
    pub removed: usize,
}

impl Counts {
    fn between(before: &Manifest, after: &Manifest) -> Self {
        let changed = |(proxy, files): &(&ProxyKey, _)| before.get(*proxy).is_some_and(|old| old != *files);
        Self {
            added: after.keys().filter(|proxy| !before.contains_key(*proxy)).count(),
            changed: after.iter().filter(changed).count(),
            removed: before.keys().filter(|proxy| !after.contains_key(*proxy)).count(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    time: String,
    revision: String,
    counts: Counts,
    proxies: Vec<WrittenProxy>,
}

#[derive(Serialize, Deserialize)]
struct WrittenProxy {
    mesh: String,
    dataplane: String,
    files: BTreeMap<String, Digest>,
}

impl Generation {
    fn parse(id: u64, text: &str) -> std::result::Result<Self, String> {
        super::check_format(text, FORMAT)?;
        let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let entry = |proxy: WrittenProxy| Ok((ProxyKey::new(proxy.mesh, proxy.dataplane), by_artifact(proxy.files)?));
        Ok(Self {
            id,
            time: written.time,
            revision: written.revision,
            counts: written.counts,
            manifest: written
                .proxies
                .into_iter()
                .map(entry)
                .collect::<std::result::Result<_, String>>()?,
        })
    }

    fn text(&self) -> String {
        let proxy = |(proxy, files): (&ProxyKey, _)| WrittenProxy {
            mesh: proxy.mesh.clone(),
            dataplane: proxy.dataplane.clone(),
            files: by_path(files),
        };
        let written = Written {
            format: FORMAT,
            time: self.time.clone(),
            revision: self.revision.clone(),
            counts: self.counts,
            proxies: self.manifest.iter().map(proxy).collect(),
        };
        serde_json::to_string_pretty(&written).expect("plain data always is JSON") + "\n"
    }
}

/// The directories of the history.
struct Store {
    top: Dir,
    generations: Dir,
    objects: Dir,
}

impl Store {
    fn open(meta: &Dir) -> Result<Option<Self>> {
        let Some(history) = meta.child(HISTORY)? else {
            return Ok(None);
        };
        let children = history.child(GENERATIONS)?.zip(history.child(OBJECTS)?);
        Ok(children.map(|(generations, objects)| Self {
            top: history,
            generations,
            objects,
        }))
    }

    fn make(meta: &Dir, target: &Target) -> Result<Self> {
        let access = target.directory();
        let history = meta.make_child(HISTORY, access)?;
        Ok(Self {
            generations: history.make_child(GENERATIONS, access)?,
            objects: history.make_child(OBJECTS, access)?,
            top: history,
        })
    }

    /// The numbers of the generations, sorted.
    fn ids(&self) -> Result<Vec<u64>> {
        let names = self.generations.names()?;
        let mut ids: Vec<u64> = names
            .iter()
            .filter_map(|name| name.strip_suffix(".json")?.parse().ok())
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    fn read(&self, id: u64) -> Result<Generation> {
        let name = file_name(id);
        let damaged = |message| ApplyError::Damaged {
            path: self.generations.path().join(&name),
            message,
        };
        match self.generations.read(&name)? {
            Content::Text(text) => Generation::parse(id, &text).map_err(damaged),
            Content::Missing => Err(ApplyError::NoGeneration { id, kept: self.ids()? }),
            Content::Binary | Content::Other => Err(damaged("it is no readable text file".to_owned())),
        }
    }

    fn object(&self, digest: &Digest) -> Result<String> {
        let damaged = |message: &str| ApplyError::Damaged {
            path: self.objects.path().join(digest.as_str()),
            message: message.to_owned(),
        };
        match self.objects.read(digest.as_str())? {
            Content::Text(text) if Digest::of(&text) == *digest => Ok(text),
            Content::Missing => Err(damaged("it is gone, and was a file of a generation")),
            Content::Text(_) | Content::Binary | Content::Other => Err(damaged(
                "it does not hold the text that was published; somebody changed it",
            )),
        }
    }
}

fn file_name(id: u64) -> String {
    format!("{id}.json")
}

/// The generations that are kept, the oldest first, the last of which is what is published. One that is damaged is left out.
///
/// # Errors
/// When the history cannot be read.
pub fn list(target: &Target) -> Result<Vec<Generation>> {
    let Some((_, meta)) = open(target)? else {
        return Ok(Vec::new());
    };
    let Some(store) = Store::open(&meta)? else {
        return Ok(Vec::new());
    };
    let mut generations = Vec::new();
    for id in store.ids()? {
        match store.read(id) {
            Ok(generation) => generations.push(generation),
            // One that a running publisher removed meanwhile is as if it had not been there.
            Err(ApplyError::Damaged { .. } | ApplyError::NoGeneration { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(generations)
}

/// The texts of a generation.
///
/// # Errors
/// When it is not kept, or it or one of its texts is not what was published then.
pub fn load(target: &Target, id: u64) -> Result<Fragments> {
    let none = || ApplyError::NoGeneration { id, kept: Vec::new() };
    let (_, meta) = open(target)?.ok_or_else(none)?;
    let store = Store::open(&meta)?.ok_or_else(none)?;
    let mut fragments = Fragments::new();
    for (proxy, files) in store.read(id)?.manifest {
        let texts = files
            .into_iter()
            .map(|(artifact, digest)| Ok((artifact, store.object(&digest)?)));
        fragments.insert(proxy, texts.collect::<Result<_>>()?);
    }
    Ok(fragments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_reads_what_it_writes() {
        let files = |text: &str| BTreeMap::from([(Artifact::Lds, Digest::of(text))]);
        let before = Manifest::from([
            (ProxyKey::new("m", "a"), files("1")),
            (ProxyKey::new("m", "b"), files("1")),
        ]);
        let after = Manifest::from([
            (ProxyKey::new("m", "a"), files("2")),
            (ProxyKey::new("m", "c/d"), files("1")),
        ]);
        let generation = Generation {
            id: 7,
            time: "2026-01-02T03:04:05Z".to_owned(),
            revision: "9f2c1a".to_owned(),
            counts: Counts::between(&before, &after),
            manifest: after,
        };
        assert_eq!(
            (
                generation.counts.added,
                generation.counts.changed,
                generation.counts.removed
            ),
            (1, 1, 1)
        );
        assert_eq!(Generation::parse(7, &generation.text()), Ok(generation));
        assert!(Generation::parse(7, r#"{"format": 2}"#).is_err_and(|error| error.contains("format 2")));
        assert!(Generation::parse(7, "").is_err());
    }
}
