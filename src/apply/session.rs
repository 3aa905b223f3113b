//! The right to publish, with what a process remembers from one publication to the next.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::lock::{Lock, lock};
use super::{Result, Target};
use crate::envoy::artifact::ProxyKey;

/// The right to publish to a directory together with a cache.
///
/// Nothing that is decided or published depends on the cache: with an empty one the result is the same, at more cost.
#[derive(Debug)]
pub struct Session {
    lock: Lock,
    pub(super) cache: Cache,
}

impl Session {
    /// A session with an empty cache.
    ///
    /// # Errors
    /// When another process publishes to the directory, or it cannot be made.
    pub fn open(target: &Target) -> Result<Self> {
        let lock = lock(target)?;
        let cache = Cache::default();
        Ok(Self { lock, cache })
    }

    /// The right to publish.
    #[must_use]
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Empties the cache.
    pub fn forget(&mut self) {
        self.cache = Cache::default();
    }
}

/// The answers of programs that need not be asked again.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// The proxies whose Envoy did not answer when it was asked last. They are asked after all others.
    silent: Mutex<BTreeSet<ProxyKey>>,
    /// The digests of the files that the validator accepted last; it is not asked again while they wait for their Envoy.
    accepted: Mutex<BTreeSet<String>>,
}

impl Cache {
    /// Whether the Envoy of a proxy did not answer when it was asked last.
    pub(super) fn is_silent(&self, proxy: &ProxyKey) -> bool {
        locked(&self.silent).contains(proxy)
    }

    /// Remembers whether the Envoy of a proxy answered.
    pub(super) fn set_silent(&self, proxy: &ProxyKey, is_silent: bool) {
        let mut silent = locked(&self.silent);
        if is_silent {
            silent.insert(proxy.clone());
        } else {
            silent.remove(proxy);
        }
    }

    /// Whether the validator accepted the files with a digest.
    pub(super) fn is_accepted(&self, digest: &str) -> bool {
        locked(&self.accepted).contains(digest)
    }

    /// Remembers the digests of the files that the validator accepted, in place of those remembered before.
    pub(super) fn set_accepted(&self, digests: BTreeSet<String>) {
        *locked(&self.accepted) = digests;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
