//! The directories of the history.

use super::generation::{Generation, file_name};
use crate::apply::error::{ApplyError, Result};
use crate::apply::store::dir::{Content, Dir};
use crate::apply::store::document::Found;
use crate::apply::store::output::OutputDir;
use crate::plan::digest::Digest;

const HISTORY: &str = "history";
const GENERATIONS: &str = "generations";
const OBJECTS: &str = "objects";

/// The directories of the history, held open.
pub(super) struct Archive {
    pub(super) top: Dir,
    pub(super) generations: Dir,
    pub(super) objects: Dir,
}

impl Archive {
    pub(super) fn open(meta: &Dir) -> Result<Option<Self>> {
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

    pub(super) fn make(meta: &Dir, out: &OutputDir) -> Result<Self> {
        let access = out.directory();
        let history = meta.make_child(HISTORY, access)?;
        Ok(Self {
            generations: history.make_child(GENERATIONS, access)?,
            objects: history.make_child(OBJECTS, access)?,
            top: history,
        })
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

    pub(super) fn read(&self, id: u64) -> Result<Generation> {
        match Generation::load(&self.generations, id)? {
            Found::Document(generation) => Ok(generation),
            Found::Missing => Err(ApplyError::NoGeneration { id, kept: self.ids()? }),
            Found::Invalid(message) => Err(ApplyError::Damaged {
                path: self.generations.path().join(file_name(id)),
                message,
            }),
        }
    }

    pub(super) fn object(&self, digest: &Digest) -> Result<String> {
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
