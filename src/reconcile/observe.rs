//! The observed state: the files on disk, and the answers of the Envoys.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::trusted::Trusted;
use crate::apply::{self, ApplyError, Places, Session, Target, history};
use crate::apply::{ProxyHealth, probe_all};
use crate::envoy::artifact::{Fragments, ProxyKey};
use crate::plan::{Desired, Observed};

/// The observed state, and the work of looking.
pub(super) struct Observation {
    pub(super) observed: Observed,
    /// The number of proxies whose files were read back.
    pub(super) read_back: usize,
}

/// Reads back all published files, and the last generation where some of them are gone.
pub(super) fn observe(target: &Target, places: Option<Places>) -> Result<Observation, ApplyError> {
    let observed = apply::observe_those(&target.out, places, None)?;
    let read_back = observed.applied.len();
    Ok(Observation {
        observed: with_last_generation(observed, target),
        read_back,
    })
}

/// The published files that the last reconciliation left, of which those are read back that are desired otherwise or were
/// touched.
pub(super) fn observe_changes(
    target: &Target,
    trusted: Trusted,
    desired: Desired,
    places: Option<Places>,
) -> Result<Observation, ApplyError> {
    let mut observed = Observed::from(Arc::unwrap_or_clone(trusted.published));
    let applied = &mut observed.applied;
    let mut differing = trusted.touched;
    differing.extend(desired.differing(applied).cloned());
    if differing.is_empty() {
        return Ok(Observation { observed, read_back: 0 });
    }
    let seen = apply::observe_those(&target.out, places, Some(&differing))?;
    for proxy in &differing {
        applied.remove(proxy);
    }
    applied.extend(seen.applied);
    observed.drift = seen.drift;
    Ok(Observation {
        observed: with_last_generation(observed, target),
        read_back: differing.len(),
    })
}

fn with_last_generation(mut observed: Observed, target: &Target) -> Observed {
    if observed.needs_last_generation() {
        observed.last_generation = last_generation(target);
    }
    observed
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
