//! The directories of the history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::generation::{Generation, Manifest, file_name, manifest};
use super::generations::Generations;
use crate::apply::error::{ApplyError, Result};
use crate::apply::store::dir::{Content, Dir};
use crate::apply::store::document::Found;
use crate::apply::store::output::OutputDir;
use crate::apply::store::shard::Shard;
use crate::keep::Digest;

const HISTORY: &str = "history";
const GENERATIONS: &str = "generations";
const MANIFESTS: &str = "manifests";
const OBJECTS: &str = "objects";
/// Lies there while the history changes: where it lies afterwards, something may be left over.
const UNDER_WAY: &str = "under-way";

/// The directories of the history, held open.
pub(super) struct Archive {
    top: Dir,
    pub(super) generations: Dir,
    /// The manifests, which generations share.
    pub(super) manifests: Dir,
    /// The texts. A text is kept once for each shard, so that it is known without the other shards whether it is needed.
    pub(super) objects: Dir,
    known: Generations,
}

impl Archive {
    pub(super) fn open(meta: &Dir, known: &Generations) -> Result<Option<Self>> {
        let Some(history) = meta.child(HISTORY)? else {
            return Ok(None);
        };
        let (generations, manifests) = (history.child(GENERATIONS)?, history.child(MANIFESTS)?);
        let children = generations.zip(manifests).zip(history.child(OBJECTS)?);
        Ok(children.map(|((generations, manifests), objects)| Self {
            top: history,
            generations,
            manifests,
            objects,
            known: known.clone(),
        }))
    }

    pub(super) fn make(meta: &Dir, out: &OutputDir, known: &Generations) -> Result<Self> {
        let access = out.directory();
        let history = meta.make_child(HISTORY, access)?;
        Ok(Self {
            generations: history.make_child(GENERATIONS, access)?,
            manifests: history.make_child(MANIFESTS, access)?,
            objects: history.make_child(OBJECTS, access)?,
            top: history,
            known: known.clone(),
        })
    }

    /// Notes that the history changes.
    pub(super) fn mark(&self, out: &OutputDir) -> Result<()> {
        self.top.open_or_create(UNDER_WAY, out.file()).map(drop)
    }

    /// Whether the history changes, or somebody was interrupted who changed it.
    pub(super) fn is_marked(&self) -> Result<bool> {
        self.top.exists(UNDER_WAY)
    }

    /// Notes that the history is complete.
    pub(super) fn unmark(&self) -> Result<()> {
        self.top.remove(UNDER_WAY)
    }

    /// The numbers of the generations, sorted.
    pub(super) fn ids(&self) -> Result<Vec<u64>> {
        let names = self.generations.names()?;
        let mut ids: Vec<u64> = names
            .iter()
            .filter_map(|name| name.strip_suffix(".json")?.parse().ok())
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// The number of the last generation, and what it is, if it can be read.
    pub(super) fn last(&self) -> Result<Option<(u64, Option<Arc<Generation>>)>> {
        Ok(self.ids()?.last().map(|id| (*id, self.read(*id).ok())))
    }

    pub(super) fn read(&self, id: u64) -> Result<Arc<Generation>> {
        let stamp = self.generations.stamp(&file_name(id))?;
        if let Some(known) = stamp.and_then(|stamp| self.known.get(id, stamp)) {
            return Ok(known);
        }
        match Generation::load(&self.generations, id)? {
            Found::Document(generation) => Ok(self.known.keep(stamp, generation)),
            Found::Missing => Err(ApplyError::NoGeneration { id, kept: self.ids()? }),
            Found::Invalid(message) => Err(ApplyError::Damaged {
                path: self.generations.path().join(file_name(id)),
                message,
            }),
        }
    }

    /// The manifest of a shard.
    pub(super) fn manifest(&self, shard: Shard, digest: Digest) -> Result<Manifest> {
        let text = text(&self.manifests, shard, digest)?;
        manifest(&text).map_err(|message| ApplyError::Damaged {
            path: self.manifests.path().join(name(shard, digest)),
            message,
        })
    }

    /// The texts that a manifest needs. One that is damaged needs none.
    pub(super) fn texts(&self, shard: Shard, manifest: Digest) -> Result<BTreeSet<Digest>> {
        match self.manifest(shard, manifest) {
            Ok(manifest) => Ok(manifest.into_values().flat_map(BTreeMap::into_values).collect()),
            Err(ApplyError::Damaged { .. }) => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    /// The text of a file.
    pub(super) fn object(&self, shard: Shard, digest: Digest) -> Result<String> {
        text(&self.objects, shard, digest)
    }
}

/// The name of a file that is named by the digest of its text.
pub(super) fn name(shard: Shard, digest: Digest) -> String {
    format!("{}-{digest}", String::from(shard))
}

/// The text that is named by its digest in a directory.
fn text(dir: &Dir, shard: Shard, digest: Digest) -> Result<String> {
    let name = name(shard, digest);
    let damaged = |message: &str| ApplyError::Damaged {
        path: dir.path().join(&name),
        message: message.to_owned(),
    };
    match dir.read(&name)? {
        Content::Text(text) if Digest::of(&text) == digest => Ok(text),
        Content::Missing => Err(damaged("it is gone, and was part of a generation")),
        Content::Text(_) | Content::Binary | Content::Other => Err(damaged(
            "it does not hold the text that was published; somebody changed it",
        )),
    }
}
