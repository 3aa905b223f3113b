//! Removes what is too much in the history.

use std::collections::{BTreeMap, BTreeSet};

use super::archive::{Archive, name};
use super::generation::{Generation, file_name};
use crate::apply::error::{ApplyError, Result};
use crate::apply::store::output::OpenOutput;
use crate::apply::store::shard::Shard;
use crate::plan::digest::Digest;

/// Whether a publication was interrupted while the history changed, so that something may be left over.
pub(in crate::apply) fn has_leftovers(output: &OpenOutput) -> Result<bool> {
    match Archive::open(&output.meta)? {
        Some(archive) => archive.is_marked(),
        None => Ok(false),
    }
}

/// Removes the generations that are too many with what they alone need, and if it is thorough, all that no generation needs.
pub(in crate::apply) fn prune(output: &OpenOutput, limit: usize, is_thorough: bool) -> Result<()> {
    let Some(archive) = Archive::open(&output.meta)? else {
        return Ok(());
    };
    let ids = archive.ids()?;
    if ids.len() <= limit && !is_thorough {
        return archive.unmark();
    }
    archive.mark(output.out)?;
    let (too_many, kept) = ids.split_at(ids.len().saturating_sub(limit));
    let mut all = BTreeMap::new();
    for id in ids.iter().copied() {
        match archive.read(id) {
            Ok(generation) => drop(all.insert(id, generation)),
            Err(ApplyError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    // One that is damaged cannot be brought back, and says nothing of what it needs.
    let damaged = kept.iter().filter(|id| !all.contains_key(id));
    for id in too_many.iter().chain(damaged) {
        archive.generations.remove(&file_name(*id))?;
    }
    let needed = manifests(kept.iter().filter_map(|id| all.get(id)));
    if is_thorough || all.len() < ids.len() {
        remove_all_but(&archive, &needed)?;
    } else {
        remove_dropped(
            &archive,
            &manifests(too_many.iter().filter_map(|id| all.get(id))),
            &needed,
        )?;
    }
    archive.unmark()
}

/// The manifests of some generations, by shard.
type Manifests<'g> = BTreeMap<Shard, BTreeSet<&'g Digest>>;

fn manifests<'g>(generations: impl Iterator<Item = &'g Generation>) -> Manifests<'g> {
    let mut manifests = Manifests::new();
    for (shard, digest) in generations.flat_map(|generation| &generation.manifests) {
        manifests.entry(*shard).or_default().insert(digest);
    }
    manifests
}

/// Removes the manifests that are not needed any more, and the texts of these that no other manifest of the same shard needs.
fn remove_dropped(archive: &Archive, dropped: &Manifests, needed: &Manifests) -> Result<()> {
    let nothing = BTreeSet::new();
    for (shard, dropped) in dropped {
        let needed = needed.get(shard).unwrap_or(&nothing);
        let dropped: BTreeSet<&Digest> = dropped.difference(needed).copied().collect();
        if dropped.is_empty() {
            continue;
        }
        let texts = archive.texts(*shard, needed)?;
        for text in archive.texts(*shard, &dropped)?.difference(&texts) {
            archive.objects.remove(&name(*shard, text))?;
        }
        for manifest in dropped {
            archive.manifests.remove(&name(*shard, manifest))?;
        }
    }
    Ok(())
}

/// Removes all manifests and texts but those that are needed.
fn remove_all_but(archive: &Archive, needed: &Manifests) -> Result<()> {
    let mut names = [BTreeSet::new(), BTreeSet::new()];
    for (shard, manifests) in needed {
        names[0].extend(manifests.iter().map(|digest| name(*shard, digest)));
        names[1].extend(
            archive
                .texts(*shard, manifests)?
                .iter()
                .map(|digest| name(*shard, digest)),
        );
    }
    for (dir, needed) in [&archive.manifests, &archive.objects].into_iter().zip(names) {
        for name in dir.names()?.iter().filter(|name| !needed.contains(*name)) {
            dir.remove(name)?;
        }
    }
    Ok(())
}
