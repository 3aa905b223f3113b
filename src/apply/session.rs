//! The right to publish, with what a process remembers from one publication to the next.

use std::collections::BTreeMap;

use super::envoy::{self, Cache, ProxyHealth};
use super::error::Result;
use super::store::history::Generations;
use super::store::lock::{Lock, lock};
use super::target::Target;
use crate::envoy::artifact::ProxyKey;
use crate::plan::Applied;

/// The right to publish to a directory together with a cache.
///
/// Nothing that is decided or published depends on the cache: with an empty one the result is the same, at more cost.
#[derive(Debug)]
pub struct Session {
    lock: Lock,
    cache: Cache,
    generations: Generations,
}

impl Session {
    /// A session with an empty cache.
    ///
    /// # Errors
    /// When another process publishes to the directory, or it cannot be made.
    pub fn open(target: &Target) -> Result<Self> {
        Ok(Self {
            lock: lock(&target.out)?,
            cache: Cache::default(),
            generations: Generations::default(),
        })
    }

    /// The right to publish.
    #[must_use]
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(super) fn generations(&self) -> &Generations {
        &self.generations
    }

    /// Empties the cache.
    pub fn forget(&mut self) {
        self.cache = Cache::default();
        self.generations = Generations::default();
    }
}

/// Asks the Envoys of all published proxies whether they have their files.
#[must_use]
pub fn probe_all(published: &Applied, target: &Target, session: &Session) -> BTreeMap<ProxyKey, ProxyHealth> {
    envoy::probe_all(published, &target.out.root, &target.envoy, session.cache())
}
