//! Adds what is published to the history, and removes what is too much in it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Counts, Generation, Manifest, Store, file_name};
use crate::apply::inventory::{Inventory, Known};
use crate::apply::publish::{self, Room};
use crate::apply::tree::{Content, Dir};
use crate::apply::{ApplyError, Result, Target, now, undo_name};
use crate::envoy::artifact::{Artifact, ProxyKey};
use crate::plan::digest::Digest;

/// A generation on its way, in the staging directory.
const STAGED: &str = "generation.json";
/// A text on its way.
const STAGED_OBJECT: &str = "object";
/// Lies there while the history changes: where it lies afterwards, something may be left over.
const UNDER_WAY: &str = "under-way";

/// A generation whose texts are kept, and which counts when [`Recording::finish`] has put it in place.
pub(in crate::apply) struct Recording {
    store: Store,
    id: u64,
}

/// Writes aside what makes a generation of what is published now, unless it is the last one.
///
/// `touched` says which proxies were published just now, and whether they came to the end. Of those that did not, the last
/// generation has the say: what they have is on its way.
pub(in crate::apply) fn record(
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
        mark(&store, room.target)?;
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
        time: now(),
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
fn only(known: &Known) -> Option<Digest> {
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
    // One that is damaged.
    store.objects.remove(digest.as_str())?;
    // Not every file system has links, and not every user may make them.
    if publish::link(&dir, artifact, &store.objects, digest.as_str()).is_err() {
        room.staging.remove(STAGED_OBJECT)?;
        room.staging.create(STAGED_OBJECT, &text, room.target.file())?;
        room.staging
            .move_to(STAGED_OBJECT, &store.objects, digest.as_str(), false)?;
    }
    Ok(())
}

impl Recording {
    /// Makes the generation count; what it consists of is on disk.
    pub(in crate::apply) fn finish(self, room: &Room) -> Result<u64> {
        room.staging
            .move_to(STAGED, &self.store.generations, &file_name(self.id), false)?;
        Ok(self.id)
    }
}

fn mark(store: &Store, target: &Target) -> Result<()> {
    store.top.open_or_create(UNDER_WAY, target.file()).map(drop)
}

/// Removes the generations that are too many, and the texts that none needs, if there may be some.
pub(in crate::apply) fn prune(target: &Target, meta: &Dir) -> Result<()> {
    let Some(store) = Store::open(meta)? else {
        return Ok(());
    };
    let ids = store.ids()?;
    let is_under_way = store.top.exists(UNDER_WAY)?;
    if ids.len() <= target.history && !is_under_way {
        return Ok(());
    }
    mark(&store, target)?;
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
    store.top.remove(UNDER_WAY)
}
