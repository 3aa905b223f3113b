//! What a process remembers from one publication to the next for as long as it holds the lock.
//!
//! Nothing depends on it: without it the same happens, later or at more cost.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::envoy::artifact::ProxyKey;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Proxies whose Envoy did not answer when it was asked last. They are asked after all others.
    silent: Mutex<BTreeSet<ProxyKey>>,
    /// What the validator accepted, by digests; it need not be asked again while that waits for its Envoy.
    accepted: Mutex<BTreeSet<String>>,
}

impl Memory {
    /// Whether its Envoy did not answer last time.
    pub(super) fn is_silent(&self, proxy: &ProxyKey) -> bool {
        lock(&self.silent).contains(proxy)
    }

    /// Remembers whether its Envoy answered.
    pub(super) fn heard(&self, proxy: &ProxyKey, is_silent: bool) {
        let mut silent = lock(&self.silent);
        if is_silent {
            silent.insert(proxy.clone());
        } else {
            silent.remove(proxy);
        }
    }

    /// Whether that was accepted before.
    pub(super) fn is_accepted(&self, digest: &str) -> bool {
        lock(&self.accepted).contains(digest)
    }

    /// Remembers what was accepted, in place of what was remembered before.
    pub(super) fn accept(&self, digests: BTreeSet<String>) {
        *lock(&self.accepted) = digests;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
