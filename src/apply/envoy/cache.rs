//! The answers of programs that need not be asked again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::envoy::artifact::ProxyKey;

/// The answers of programs that need not be asked again.
#[derive(Debug, Default)]
pub(in crate::apply) struct Cache {
    /// The proxies whose Envoy did not answer when it was asked last. They are asked after all others.
    silent: Mutex<BTreeSet<ProxyKey>>,
    /// The digests of the files that the validator accepted last; it is not asked again while they wait for their
    /// Envoy.
    accepted: Mutex<BTreeSet<String>>,
}

impl Cache {
    /// Whether the Envoy of a proxy did not answer when it was asked last.
    pub(in crate::apply) fn is_silent(&self, proxy: &ProxyKey) -> bool {
        locked(&self.silent).contains(proxy)
    }

    /// Remembers whether the Envoy of a proxy answered.
    pub(in crate::apply) fn set_silent(&self, proxy: &ProxyKey, is_silent: bool) {
        let mut silent = locked(&self.silent);
        if is_silent {
            silent.insert(proxy.clone());
        } else {
            silent.remove(proxy);
        }
    }

    /// Whether the validator accepted the files with a digest.
    pub(in crate::apply) fn is_accepted(&self, digest: &str) -> bool {
        locked(&self.accepted).contains(digest)
    }

    /// Remembers the digests of the files that the validator accepted, in place of those remembered before.
    pub(in crate::apply) fn set_accepted(&self, digests: BTreeSet<String>) {
        *locked(&self.accepted) = digests;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
