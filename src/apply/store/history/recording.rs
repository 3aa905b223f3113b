//! Adds what is published to the history, and removes what is too much in it.

use std::collections::{BTreeMap, BTreeSet};

use super::archive::Archive;
use super::generation::{Counts, Generation, Manifest, file_name};
use crate::apply::clock::now;
use crate::apply::error::{ApplyError, Result};
use crate::apply::store::dir::Content;
use crate::apply::store::files::PlacedFiles;
use crate::apply::store::inventory::{Inventory, Known};
use crate::apply::store::output::{OpenOutput, OutputDir, undo_name, undo_names};
use crate::envoy::artifact::{Artifact, Elsewhere, ProxyKey};
use crate::plan::digest::Digest;

/// A generation on its way, in the staging directory.
const STAGED: &str = "generation.json";
/// A text on its way.
const STAGED_OBJECT: &str = "object";
/// Lies there while the history changes: where it lies afterwards, something may be left over.
const UNDER_WAY: &str = "under-way";

/// A generation whose texts are kept, and which counts when [`Recording::finish`] has put it in place.
pub(in crate::apply) struct Recording {
    archive: Archive,
    id: u64,
}

/// Writes aside what makes a generation of what is published now, unless it is the last one.
///
/// `touched` says which proxies were published just now, and whether they came to the end. Of those that did not, the
/// last generation has the say: what they have is on its way.
pub(in crate::apply) fn record(
    output: &OpenOutput,
    inventory: &Inventory,
    touched: &BTreeMap<&ProxyKey, bool>,
    revision: &str,
    limit: usize,
) -> Result<Option<Recording>> {
    if limit == 0 {
        return Ok(None);
    }
    let last = match Archive::open(&output.meta)? {
        Some(archive) => archive.ids()?.last().map(|&id| (id, archive.read(id).ok())),
        None => None,
    };
    let before = last.as_ref().and_then(|(_, last)| Some(&last.as_ref()?.manifest));
    let manifest = manifest(output, inventory, before, touched);
    let is_new = before != Some(&manifest) && (last.is_some() || !manifest.is_empty());
    if !is_new && !touched.values().any(|is_done| *is_done) {
        return Ok(None);
    }
    let archive = Archive::make(&output.meta, output.out)?;
    if is_new {
        mark(&archive, output.out)?;
    }
    let empty = Manifest::new();
    let before = before.unwrap_or(&empty);
    let kept: BTreeSet<&Digest> = before.values().flat_map(BTreeMap::values).collect();
    let nowhere = Elsewhere::new();
    for (proxy, files) in &manifest {
        // What was published again may be in place of a text that somebody edited, here as there.
        let is_touched = touched.get(proxy) == Some(&true);
        for (artifact, digest) in files.iter().filter(|(_, digest)| is_touched || !kept.contains(digest)) {
            if archive.object(digest).is_ok() {
                continue;
            }
            let entry = inventory.proxies.get(proxy);
            let files = PlacedFiles::of(&output.root, proxy, entry.map_or(&nowhere, |entry| &entry.elsewhere))?;
            keep(output, &archive, &files, *artifact, digest)?;
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
    output.staging.create(STAGED, &generation.text(), output.out.file())?;
    let id = generation.id;
    Ok(Some(Recording { archive, id }))
}

fn manifest(
    output: &OpenOutput,
    inventory: &Inventory,
    before: Option<&Manifest>,
    touched: &BTreeMap<&ProxyKey, bool>,
) -> Manifest {
    let is_done = |proxy: &ProxyKey| touched.get(proxy) != Some(&false);
    let waiting = undo_names(&output.undo);
    let is_judged = |proxy: &ProxyKey| match &waiting {
        Some(waiting) => waiting.is_empty() || !waiting.contains(&undo_name(proxy)),
        None => false,
    };
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
fn keep(
    output: &OpenOutput,
    archive: &Archive,
    files: &PlacedFiles,
    artifact: Artifact,
    digest: &Digest,
) -> Result<()> {
    let changed = || ApplyError::Damaged {
        path: files.path_of(artifact),
        message: "it does not hold what was published, and cannot be kept for rollback".to_owned(),
    };
    let text = match files.read(artifact)? {
        Content::Text(text) if Digest::of(&text) == *digest => text,
        Content::Text(_) | Content::Missing | Content::Binary | Content::Other => return Err(changed()),
    };
    // One that is damaged.
    archive.objects.remove(digest.as_str())?;
    // Not every file system has links, and not every user may make them.
    if files.link(artifact, &archive.objects, digest.as_str()).is_err() {
        output.staging.remove(STAGED_OBJECT)?;
        output.staging.create(STAGED_OBJECT, &text, output.out.file())?;
        output
            .staging
            .move_to(STAGED_OBJECT, &archive.objects, digest.as_str(), false)?;
    }
    Ok(())
}

impl Recording {
    /// Makes the generation count; what it consists of is on disk.
    pub(in crate::apply) fn finish(self, output: &OpenOutput) -> Result<u64> {
        output
            .staging
            .move_to(STAGED, &self.archive.generations, &file_name(self.id), false)?;
        Ok(self.id)
    }
}

fn mark(archive: &Archive, out: &OutputDir) -> Result<()> {
    archive.top.open_or_create(UNDER_WAY, out.file()).map(drop)
}

/// Removes the generations that are too many, and the texts that none needs, if there may be some.
pub(in crate::apply) fn prune(output: &OpenOutput, limit: usize) -> Result<()> {
    let Some(archive) = Archive::open(&output.meta)? else {
        return Ok(());
    };
    let ids = archive.ids()?;
    let is_under_way = archive.top.exists(UNDER_WAY)?;
    if ids.len() <= limit && !is_under_way {
        return Ok(());
    }
    mark(&archive, output.out)?;
    let (old, kept) = ids.split_at(ids.len().saturating_sub(limit));
    for id in old {
        archive.generations.remove(&file_name(*id))?;
    }
    let mut needed = BTreeSet::new();
    for id in kept {
        match archive.read(*id) {
            Ok(generation) => needed.extend(generation.manifest.into_values().flat_map(BTreeMap::into_values)),
            // It cannot be brought back, and says nothing of what it needs.
            Err(ApplyError::Damaged { .. }) => archive.generations.remove(&file_name(*id))?,
            Err(error) => return Err(error),
        }
    }
    let needed: BTreeSet<&str> = needed.iter().map(Digest::as_str).collect();
    for name in archive
        .objects
        .names()?
        .iter()
        .filter(|name| !needed.contains(name.as_str()))
    {
        archive.objects.remove(name)?;
    }
    archive.top.remove(UNDER_WAY)
}
