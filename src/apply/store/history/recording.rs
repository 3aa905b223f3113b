//! Adds what is published to the history.

use std::collections::{BTreeMap, BTreeSet};

use super::archive::{Archive, name};
use super::generation::{Counts, Digests, Generation, Manifest, file_name, manifest_text};
use super::opened::History;
use crate::apply::clock::now;
use crate::apply::error::{ApplyError, Result};
use crate::apply::store::dir::Content;
use crate::apply::store::files::PlacedFiles;
use crate::apply::store::inventory::Inventory;
use crate::apply::store::known::Known;
use crate::apply::store::output::{OpenOutput, undo_name, undo_names};
use crate::apply::store::shard::{Shard, Shards};
use crate::envoy::artifact::{Artifact, Elsewhere, ProxyKey};
use crate::keep::Digest;
use crate::system::parallel;

/// A generation on its way, in the staging directory.
const STAGED: &str = "generation.json";

/// A generation whose texts are kept, and which counts when [`Recording::finish`] has put it in place.
pub(in crate::apply) struct Recording<'h> {
    output: &'h OpenOutput<'h>,
    archive: &'h Archive,
    id: u64,
}

/// Writes aside what makes a generation of what is published now, unless it is the last one. Without a last one, the inventory
/// has all shards; of those that it has not, nothing has changed.
///
/// `touched` says which proxies were published just now, and whether they came to the end. Of those that did not, the
/// last generation has the say: what they have is on its way.
pub(in crate::apply) fn record<'h>(
    history: &'h mut History,
    inventory: &Inventory,
    touched: &BTreeMap<&ProxyKey, bool>,
    revision: &str,
    limit: usize,
) -> Result<Option<Recording<'h>>> {
    if limit == 0 {
        return Ok(None);
    }
    let output = history.output;
    let (last_id, last) = match &history.last {
        Some((id, last)) => (Some(*id), last.as_deref()),
        None => (None, None),
    };
    let waiting = undo_names(&output.undo);
    let changes = changes(inventory, history.archive.as_ref(), last, &|proxy| {
        let is_judged = waiting
            .as_ref()
            .is_some_and(|names| names.is_empty() || !names.contains(&undo_name(proxy)));
        is_judged && touched.get(proxy) != Some(&false)
    });
    let is_new = changes.iter().any(|change| change.is_new) || (last.is_none() && last_id.is_some());
    if !is_new && !touched.values().any(|is_done| *is_done) {
        return Ok(None);
    }
    let archive = match &mut history.archive {
        Some(archive) => archive,
        none => none.insert(Archive::make(&output.meta, output.out, history.known)?),
    };
    if is_new {
        archive.mark(output.out)?;
    }
    let keeper = Keeper { output, archive };
    keeper.keep_all_texts(inventory, &changes, touched)?;
    if !is_new {
        return Ok(None);
    }
    let counts = counts(&changes);
    let generation = Generation {
        id: last_id.unwrap_or(0) + 1,
        time: now(),
        revision: revision.to_owned(),
        proxies: match (&inventory.shards, last) {
            (Shards::Some(_), Some(last)) => (last.proxies + counts.added).saturating_sub(counts.removed),
            (Shards::All | Shards::Some(_), _) => changes.iter().map(|change| change.after.len()).sum(),
        },
        counts,
        manifests: keeper.keep_manifests(&changes, last)?,
    };
    output.staging.create(STAGED, &generation.text(), output.out.file())?;
    Ok(Some(Recording {
        output,
        archive,
        id: generation.id,
    }))
}

/// The manifests of a shard.
struct ShardChange {
    shard: Shard,
    /// In the last generation.
    before: Manifest,
    /// In a generation of what is published now.
    after: Manifest,
    /// Whether the last generation has another one.
    is_new: bool,
}

/// The files of a proxy as they are published; `None` while that is not settled.
type Settled<'p> = (&'p ProxyKey, Option<Digests>);

/// The manifests of all shards of an inventory. Of a proxy for which `is_settled` is false, the last generation has the say.
fn changes(
    inventory: &Inventory,
    archive: Option<&Archive>,
    last: Option<&Generation>,
    is_settled: &dyn Fn(&ProxyKey) -> bool,
) -> Vec<ShardChange> {
    let mut settled: BTreeMap<Shard, Vec<Settled>> = BTreeMap::new();
    for (proxy, entry) in &inventory.proxies {
        let files: Option<Digests> = (entry.files.iter())
            .map(|(artifact, known)| Some((*artifact, only(known)?)))
            .collect();
        let files = files.filter(|files| !files.is_empty() && is_settled(proxy));
        settled.entry(Shard::of(proxy)).or_default().push((proxy, files));
    }
    let known = last.map(|last| &last.manifests);
    let gone = known
        .into_iter()
        .flat_map(BTreeMap::keys)
        .filter(|shard| inventory.shards.has(**shard));
    for shard in gone {
        settled.entry(*shard).or_default();
    }
    let change = |(shard, proxies): (Shard, Vec<Settled>)| {
        let digest = known.and_then(|known| known.get(&shard));
        let before = archive
            .zip(digest)
            .and_then(|(archive, digest)| archive.manifest(shard, *digest).ok());
        // One that is damaged is written anew.
        let is_damaged = digest.is_some() && before.is_none();
        let before = before.unwrap_or_default();
        let files = |(proxy, files): Settled| Some((proxy.clone(), files.or_else(|| before.get(proxy).cloned())?));
        let after: Manifest = proxies.into_iter().filter_map(files).collect();
        let is_new = is_damaged || before != after;
        ShardChange {
            shard,
            before,
            after,
            is_new,
        }
    };
    settled.into_iter().map(change).collect()
}

/// The numbers of proxies in which the shards changed.
fn counts(changes: &[ShardChange]) -> Counts {
    let mut counts = Counts::default();
    for change in changes {
        counts.add(&change.before, &change.after);
    }
    counts
}

/// The history that gets new parts.
struct Keeper<'k> {
    output: &'k OpenOutput<'k>,
    archive: &'k Archive,
}

impl Keeper<'_> {
    /// Keeps the new manifests, and gives the digests of those of all shards.
    fn keep_manifests(&self, changes: &[ShardChange], last: Option<&Generation>) -> Result<BTreeMap<Shard, Digest>> {
        let mut manifests = last.map_or_else(BTreeMap::new, |last| last.manifests.clone());
        for change in changes.iter().filter(|change| change.is_new) {
            if change.after.is_empty() {
                manifests.remove(&change.shard);
            } else {
                manifests.insert(change.shard, self.keep_manifest(change.shard, &change.after)?);
            }
        }
        Ok(manifests)
    }

    /// Keeps a manifest, and gives its digest.
    fn keep_manifest(&self, shard: Shard, manifest: &Manifest) -> Result<Digest> {
        let text = manifest_text(manifest);
        let digest = Digest::of(&text);
        // An older generation may have the same one.
        if self.archive.manifest(shard, digest).is_err() {
            let name = name(shard, digest);
            self.archive.manifests.remove(&name)?;
            self.archive.manifests.create(&name, &text, self.output.out.file())?;
        }
        Ok(digest)
    }

    /// Keeps the texts of all manifests that are not kept yet.
    fn keep_all_texts(
        &self,
        inventory: &Inventory,
        changes: &[ShardChange],
        touched: &BTreeMap<&ProxyKey, bool>,
    ) -> Result<()> {
        // A proxy is a matter of microseconds, and a shard has a 256th of them.
        let threads = parallel::threads_for(inventory.proxies.len());
        let kept = parallel::map("keeping texts", changes, threads, |change| {
            self.keep_texts(inventory, change, touched)
        });
        kept.into_iter().collect()
    }

    /// Keeps the texts of a manifest that are not kept yet.
    fn keep_texts(
        &self,
        inventory: &Inventory,
        change: &ShardChange,
        touched: &BTreeMap<&ProxyKey, bool>,
    ) -> Result<()> {
        let kept: BTreeSet<&Digest> = change.before.values().flat_map(BTreeMap::values).collect();
        let nowhere = Elsewhere::new();
        for (proxy, files) in &change.after {
            // What was published again may be in place of a text that somebody edited, here as there.
            let is_touched = touched.get(proxy) == Some(&true);
            let missing = files.iter().filter(|(_, digest)| is_touched || !kept.contains(digest));
            let missing = missing.filter(|(_, digest)| self.archive.object(change.shard, **digest).is_err());
            let mut missing = missing.peekable();
            if missing.peek().is_none() {
                continue;
            }
            let entry = inventory.proxies.get(proxy);
            let elsewhere = entry.map_or(&nowhere, |entry| &entry.elsewhere);
            let files = PlacedFiles::of(&self.output.root, proxy, elsewhere)?;
            for (artifact, digest) in missing {
                self.keep_text(&files, *artifact, change.shard, *digest)?;
            }
        }
        Ok(())
    }

    /// Keeps the text of a published file.
    fn keep_text(&self, files: &PlacedFiles, artifact: Artifact, shard: Shard, digest: Digest) -> Result<()> {
        let changed = || ApplyError::Damaged {
            path: files.path_of(artifact),
            message: "it does not hold what was published, and cannot be kept for rollback".to_owned(),
        };
        let text = match files.read(artifact)? {
            Content::Text(text) if Digest::of(&text) == digest => text,
            Content::Text(_) | Content::Missing | Content::Binary | Content::Other => return Err(changed()),
        };
        let (objects, name) = (&self.archive.objects, name(shard, digest));
        // One that is damaged.
        objects.remove(&name)?;
        // Not every file system has links, and not every user may make them.
        if files.link(artifact, objects, &name).is_err() {
            let staging = &self.output.staging;
            staging.remove(&name)?;
            staging.create(&name, &text, self.output.out.file())?;
            staging.move_to(&name, objects, &name, false)?;
        }
        Ok(())
    }
}

/// The digest of a file of which only one thing is known.
fn only(known: &Known) -> Option<Digest> {
    match known.all() {
        [Some(digest)] => Some(*digest),
        _ => None,
    }
}

impl Recording<'_> {
    /// Makes the generation count; what it consists of is on disk.
    pub(in crate::apply) fn finish(self) -> Result<u64> {
        (self.output.staging).move_to(STAGED, &self.archive.generations, &file_name(self.id), false)?;
        Ok(self.id)
    }
}
