//! Removes what is too much in the history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::archive::{Archive, name};
use super::generation::{Generation, file_name};
use super::opened::History;
use crate::apply::error::{ApplyError, Result};
use crate::apply::store::shard::Shard;
use crate::keep::Digest;

/// Removes the generations that are too many with what they alone need, and if it is thorough, all that no generation needs.
pub(in crate::apply) fn prune(history: &History, limit: usize, is_thorough: bool) -> Result<()> {
    let Some(archive) = &history.archive else {
        return Ok(());
    };
    let ids = archive.ids()?;
    if ids.len() <= limit && !is_thorough {
        return archive.unmark();
    }
    archive.mark(history.output.out)?;
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
    history.known.forget_others(kept);
    let of = |ids: &[u64]| -> Vec<&Generation> { ids.iter().filter_map(|id| all.get(id)).map(Arc::as_ref).collect() };
    let kept = of(kept);
    if is_thorough || all.len() < ids.len() {
        remove_all_but(archive, &kept)?;
    } else {
        remove_dropped(archive, &of(too_many), &kept)?;
    }
    archive.unmark()
}

/// Removes the manifests that are in no kept generation, and the texts of these that no other manifest of the same shard needs.
///
/// A kept generation mostly has the same manifests as the one before it, so that few are looked into.
fn remove_dropped(archive: &Archive, dropped: &[&Generation], kept: &[&Generation]) -> Result<()> {
    let is_kept = |shard: &Shard, digest: &Digest| {
        kept.iter()
            .any(|generation| generation.manifests.get(shard) == Some(digest))
    };
    let all = dropped.iter().flat_map(|generation| &generation.manifests);
    let gone: BTreeSet<(Shard, Digest)> = all
        .filter(|(shard, digest)| !is_kept(shard, digest))
        .map(|(shard, digest)| (*shard, *digest))
        .collect();
    for (shard, manifest) in gone {
        let mut texts = archive.texts(shard, manifest)?;
        let needed = kept.iter().filter_map(|generation| generation.manifests.get(&shard));
        for needed in needed.copied().collect::<BTreeSet<Digest>>() {
            if texts.is_empty() {
                break;
            }
            for text in archive.texts(shard, needed)? {
                texts.remove(&text);
            }
        }
        for text in texts {
            archive.objects.remove(&name(shard, text))?;
        }
        archive.manifests.remove(&name(shard, manifest))?;
    }
    Ok(())
}

/// Removes all manifests and texts but those that the kept generations need.
fn remove_all_but(archive: &Archive, kept: &[&Generation]) -> Result<()> {
    let mut names = [BTreeSet::new(), BTreeSet::new()];
    let all = kept.iter().flat_map(|generation| &generation.manifests);
    let needed: BTreeSet<(&Shard, &Digest)> = all.collect();
    for (shard, manifest) in needed {
        names[0].insert(name(*shard, *manifest));
        let texts = archive.texts(*shard, *manifest)?;
        names[1].extend(texts.iter().map(|digest| name(*shard, *digest)));
    }
    for (dir, needed) in [&archive.manifests, &archive.objects].into_iter().zip(names) {
        for name in dir.names()?.iter().filter(|name| !needed.contains(*name)) {
            dir.remove(name)?;
        }
    }
    Ok(())
}
