//! Earlier publications, kept so that they can be published again.
//!
//! Each publication that changed something is a generation. It names one manifest for each shard, which has the files of the
//! shard's proxies as digests, so that the change of a proxy costs the manifest of its shard, and not those of all. Manifests
//! and texts lie beside, named by their digests, each once however many generations share it; the texts mostly as second
//! names of the published files, which take no room. Somebody who edits such a file in place edits the copy too; so each
//! text is compared with its digest when it is loaded.
//!
//! To bring a generation back, plan from what is applied to what [`load`] gives, and apply that plan; it becomes the
//! next generation.

mod generation;

mod generations;

mod archive;

mod opened;

mod recording;

mod pruning;

pub use generation::{Counts, Generation};
pub(in crate::apply) use generations::Generations;
pub(in crate::apply) use opened::History;
pub(in crate::apply) use pruning::prune;
pub(in crate::apply) use recording::{Recording, record};

use std::sync::Arc;

use archive::Archive;

use super::output::OutputDir;
use crate::apply::error::{ApplyError, Result};
use crate::envoy::artifact::Fragments;

/// The generations that are kept, the oldest first, the last of which is what is published. One that is damaged is
/// left out.
///
/// # Errors
/// When the history cannot be read.
pub fn list(out: &OutputDir) -> Result<Vec<Generation>> {
    let Some((_, meta)) = out.open()? else {
        return Ok(Vec::new());
    };
    let Some(archive) = Archive::open(&meta, &Generations::default())? else {
        return Ok(Vec::new());
    };
    let mut generations = Vec::new();
    for id in archive.ids()? {
        match archive.read(id) {
            Ok(generation) => generations.push(Arc::unwrap_or_clone(generation)),
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
pub fn load(out: &OutputDir, id: u64) -> Result<Fragments> {
    let none = || ApplyError::NoGeneration { id, kept: Vec::new() };
    let (_, meta) = out.open()?.ok_or_else(none)?;
    let archive = Archive::open(&meta, &Generations::default())?.ok_or_else(none)?;
    let mut fragments = Fragments::new();
    for (shard, digest) in &archive.read(id)?.manifests {
        for (proxy, files) in archive.manifest(*shard, *digest)? {
            let texts = files
                .into_iter()
                .map(|(artifact, digest)| Ok((artifact, archive.object(*shard, digest)?.into())));
            fragments.insert(proxy, texts.collect::<Result<_>>()?);
        }
    }
    Ok(fragments)
}
