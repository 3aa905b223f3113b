//! The generations that a publisher has read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::generation::Generation;
use crate::apply::store::dir::Stamp;

/// Generations that were read, which are not read again as long as their files stay as they are. Copies share them.
///
/// They are as many as are kept, and each has a digest for each shard.
#[derive(Debug, Clone, Default)]
pub(in crate::apply) struct Generations(Arc<Mutex<Known>>);

/// Generations by their numbers, each with the version of its file.
type Known = BTreeMap<u64, (Stamp, Arc<Generation>)>;

impl Generations {
    /// The generation with a number, if its file was like this.
    pub(super) fn get(&self, id: u64, stamp: Stamp) -> Option<Arc<Generation>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, generation) = known.get(&id)?;
        (*of == stamp).then(|| Arc::clone(generation))
    }

    /// Keeps a generation that was read after its file was like this.
    pub(super) fn keep(&self, stamp: Option<Stamp>, generation: Generation) -> Arc<Generation> {
        let (id, generation) = (generation.id, Arc::new(generation));
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match stamp {
            Some(stamp) => drop(known.insert(id, (stamp, Arc::clone(&generation)))),
            None => drop(known.remove(&id)),
        }
        generation
    }

    /// Forgets the generations that are not kept on disk any more.
    pub(super) fn forget_others(&self, ids: &[u64]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, _| ids.binary_search(id).is_ok());
    }
}
