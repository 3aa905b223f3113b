//! What was published before, kept so that it can be published again.
//!
//! Each publication that changed something is a generation: which proxies had which files, as digests. The texts lie
//! beside, named by their digests, each once however many generations share it, mostly as second names of the published
//! files, which take no room. Somebody who edits such a file in place edits the copy too; so each text is compared with
//! its digest when it is loaded.
//!
//! To bring a generation back, plan from what is applied to what [`load`] gives, and apply that plan; it becomes the next
//! generation.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::inventory::{Inventory, by_artifact, by_path};
use super::publish::Room;
use super::tree::{Content, Dir};
use super::{ApplyError, Result, Target, open, publish, undo_name};
use crate::envoy::artifact::{Artifact, Fragments, ProxyKey};
use crate::plan::digest::Digest;

const HISTORY: &str = "history";
const GENERATIONS: &str = "generations";
const OBJECTS: &str = "objects";
/// A generation on its way, in the staging directory.
const STAGED: &str = "generation.json";
/// A text on its way.
const STAGED_OBJECT: &str = "object";
/// Lies in the staging directory while the history changes: where it lies after a kill, something may be left over.
const UNDER_WAY: &str = "history-under-way";

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
    generations: Dir,
    objects: Dir,
}

impl Store {
    fn open(meta: &Dir) -> Result<Option<Self>> {
        let Some(history) = meta.child(HISTORY)? else {
            return Ok(None);
        };
        let children = history.child(GENERATIONS)?.zip(history.child(OBJECTS)?);
        Ok(children.map(|(generations, objects)| Self { generations, objects }))
    }

    fn make(meta: &Dir, target: &Target) -> Result<Self> {
        let access = target.directory();
        let history = meta.make_child(HISTORY, access)?;
        Ok(Self {
            generations: history.make_child(GENERATIONS, access)?,
            objects: history.make_child(OBJECTS, access)?,
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

/// A generation whose texts are kept, and which counts when [`Recording::finish`] has put it in place.
pub(super) struct Recording {
    store: Store,
    id: u64,
}

/// Writes aside what makes a generation of what is published now, unless it is the last one.
///
/// `touched` says which proxies were published just now, and whether they came to the end. Of those that did not, the last
/// generation has the say: what they have is on its way.
pub(super) fn record(
    room: &Room,
    meta: &Dir,
    inventory: &Inventory,
    touched: &BTreeMap<&ProxyKey, bool>,
    revision: &str,
) -> Result<Option<Recording>> {
    if room.target.history == 0 {
        return Ok(None);
    }
    let last = match Store::open(meta)? {
        Some(store) => store.ids()?.last().map(|&id| (id, store.read(id).ok())),
        None => None,
    };
    let before = last.as_ref().and_then(|(_, last)| Some(&last.as_ref()?.manifest));
    let manifest = manifest(room, inventory, before, touched);
    let is_new = before != Some(&manifest) && (last.is_some() || !manifest.is_empty());
    if !is_new && !touched.values().any(|is_done| *is_done) {
        return Ok(None);
    }
    let store = Store::make(meta, room.target)?;
    if is_new {
        mark(&room.staging, room.target)?;
    }
    let empty = Manifest::new();
    let before = before.unwrap_or(&empty);
    let kept: BTreeSet<&Digest> = before.values().flat_map(BTreeMap::values).collect();
    for (proxy, files) in &manifest {
        // What was published again may be in place of a text that somebody edited, here as there.
        let is_touched = touched.get(proxy) == Some(&true);
        for (artifact, digest) in files.iter().filter(|(_, digest)| is_touched || !kept.contains(digest)) {
            keep(room, &store, proxy, *artifact, digest)?;
        }
    }
    if !is_new {
        return Ok(None);
    }
    let generation = Generation {
        id: last.as_ref().map_or(0, |(id, _)| *id) + 1,
        time: super::now(),
        revision: revision.to_owned(),
        counts: Counts::between(before, &manifest),
        manifest,
    };
    room.staging.create(STAGED, &generation.text(), room.target.file())?;
    let id = generation.id;
    Ok(Some(Recording { store, id }))
}

fn manifest(
    room: &Room,
    inventory: &Inventory,
    before: Option<&Manifest>,
    touched: &BTreeMap<&ProxyKey, bool>,
) -> Manifest {
    let is_done = |proxy: &ProxyKey| touched.get(proxy) != Some(&false);
    let is_judged = |proxy: &ProxyKey| !room.undo.exists(&undo_name(proxy)).unwrap_or(true);
    let mut manifest = Manifest::new();
    for (proxy, entry) in &inventory.proxies {
        let files: Option<BTreeMap<Artifact, Digest>> = entry
            .files
            .iter()
            .map(|(artifact, known)| Some((*artifact, only(known)?)))
            .collect();
        let settled = files.filter(|files| !files.is_empty() && is_done(proxy) && is_judged(proxy));
        let files = settled.or_else(|| before?.get(proxy).cloned());
        manifest.extend(files.map(|files| (proxy.clone(), files)));
    }
    manifest
}

/// The digest of a file of which only one thing is known.
fn only(known: &super::inventory::Known) -> Option<Digest> {
    match known.iter().collect::<Vec<_>>().as_slice() {
        [Some(digest)] => Some(digest.clone()),
        _ => None,
    }
}

/// Keeps the text of a published file.
fn keep(room: &Room, store: &Store, proxy: &ProxyKey, artifact: Artifact, digest: &Digest) -> Result<()> {
    let changed = || ApplyError::Damaged {
        path: room.root.path().join(proxy.directory()).join(artifact.path()),
        message: "it does not hold what was published, and cannot be kept for rollback".to_owned(),
    };
    if store.object(digest).is_ok() {
        return Ok(());
    }
    let dir = room.root.below(&proxy.directory())?.ok_or_else(changed)?;
    let text = match publish::read(&dir, artifact)? {
        Content::Text(text) if Digest::of(&text) == *digest => text,
        Content::Text(_) | Content::Missing | Content::Binary | Content::Other => return Err(changed()),
    };
    room.staging.remove(STAGED_OBJECT)?;
    // Not every file system has links, and not every user may make them.
    if publish::link(&dir, artifact, &room.staging, STAGED_OBJECT).is_err() {
        room.staging.create(STAGED_OBJECT, &text, room.target.file())?;
    }
    room.staging
        .move_to(STAGED_OBJECT, &store.objects, digest.as_str(), true)?;
    // Where both are names of one file already, moving does nothing.
    room.staging.remove(STAGED_OBJECT)
}

impl Recording {
    /// Makes the generation count; what it consists of is on disk.
    pub(super) fn finish(self, room: &Room) -> Result<u64> {
        room.staging
            .move_to(STAGED, &self.store.generations, &file_name(self.id), false)?;
        Ok(self.id)
    }
}

/// Removes what a run that was killed left in the history.
pub(super) fn tidy(target: &Target, meta: &Dir, staging: &Dir) -> Result<()> {
    if staging.exists(UNDER_WAY)? {
        prune(target, meta, staging)
    } else {
        Ok(())
    }
}

fn mark(staging: &Dir, target: &Target) -> Result<()> {
    if staging.exists(UNDER_WAY)? {
        return Ok(());
    }
    staging.create(UNDER_WAY, "", target.file()).map(drop)
}

/// Removes the generations that are too many, and the texts that none needs, if there may be some.
pub(super) fn prune(target: &Target, meta: &Dir, staging: &Dir) -> Result<()> {
    let Some(store) = Store::open(meta)? else {
        return Ok(());
    };
    let ids = store.ids()?;
    let is_under_way = staging.exists(UNDER_WAY)?;
    if ids.len() <= target.history && !is_under_way {
        return Ok(());
    }
    mark(staging, target)?;
    let (old, kept) = ids.split_at(ids.len().saturating_sub(target.history));
    for id in old {
        store.generations.remove(&file_name(*id))?;
    }
    let mut needed = BTreeSet::new();
    for id in kept {
        match store.read(*id) {
            Ok(generation) => needed.extend(generation.manifest.into_values().flat_map(BTreeMap::into_values)),
            // It cannot be brought back, and says nothing of what it needs.
            Err(ApplyError::Damaged { .. }) => store.generations.remove(&file_name(*id))?,
            Err(error) => return Err(error),
        }
    }
    let needed: BTreeSet<&str> = needed.iter().map(Digest::as_str).collect();
    for name in store
        .objects
        .names()?
        .iter()
        .filter(|name| !needed.contains(name.as_str()))
    {
        store.objects.remove(name)?;
    }
    staging.remove(UNDER_WAY)
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
