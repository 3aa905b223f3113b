//! The history as a publication finds it.

use std::sync::Arc;

use super::archive::Archive;
use super::generation::Generation;
use super::generations::Generations;
use crate::apply::error::Result;
use crate::apply::store::output::OpenOutput;

/// The history of an output directory, opened for one publication.
pub(in crate::apply) struct History<'o> {
    pub(super) output: &'o OpenOutput<'o>,
    pub(super) known: &'o Generations,
    /// `None` before the first generation.
    pub(super) archive: Option<Archive>,
    /// The number of the last generation, and what it is, if it can be read. Its manifests may be damaged.
    pub(super) last: Option<(u64, Option<Arc<Generation>>)>,
}

impl<'o> History<'o> {
    /// The history of an output directory, of which generations are `known`.
    pub(in crate::apply) fn open(output: &'o OpenOutput<'o>, known: &'o Generations) -> Result<Self> {
        let archive = Archive::open(&output.meta, known)?;
        let last = archive.as_ref().map(Archive::last).transpose()?.flatten();
        Ok(Self {
            output,
            known,
            archive,
            last,
        })
    }

    /// The directories of the publication.
    pub(in crate::apply) fn output(&self) -> &'o OpenOutput<'o> {
        self.output
    }

    /// Whether there is a last generation that can be read.
    pub(in crate::apply) fn has_last(&self) -> bool {
        matches!(self.last, Some((_, Some(_))))
    }

    /// Whether a publication was interrupted while the history changed, so that something may be left over.
    pub(in crate::apply) fn has_leftovers(&self) -> Result<bool> {
        self.archive.as_ref().map_or(Ok(false), Archive::is_marked)
    }
}
