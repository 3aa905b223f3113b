//! The observed state: the files on disk, and the answers of the Envoys.

use std::collections::BTreeMap;

use crate::apply::{self, ApplyError, Session, Target, history};
use crate::apply::{ProxyHealth, probe_all};
use crate::envoy::artifact::{Fragments, ProxyKey};
use crate::plan::Observed;

/// Reads back the published files, and the last generation where some of them are gone.
pub(super) fn observe(target: &Target) -> Result<Observed, ApplyError> {
    let mut observed = apply::observe(&target.out)?;
    if observed.needs_last_generation() {
        observed.last_generation = last_generation(target);
    }
    Ok(observed)
}

/// The texts of the last generation. Without a history there are none, and files that are gone are reported all the
/// same.
fn last_generation(target: &Target) -> Fragments {
    let generations = history::list(&target.out).unwrap_or_default();
    let last = generations
        .last()
        .and_then(|last| history::load(&target.out, last.id).ok());
    last.unwrap_or_default()
}

/// Asks every Envoy whether it runs with the published files.
pub(super) fn probe(observed: &mut Observed, target: &Target, session: &Session) -> BTreeMap<ProxyKey, ProxyHealth> {
    let health = probe_all(&observed.applied, target, session);
    let out_of_sync = health.iter().filter(|(_, sight)| **sight == ProxyHealth::OutOfSync);
    observed.out_of_sync = out_of_sync.map(|(proxy, _)| proxy.clone()).collect();
    health
}
