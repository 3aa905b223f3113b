//! The health of all Envoys: which run, and whether they have the published files.
//!
//! An update is acked when it is published. Later an Envoy may have stopped, started, or lost its watch without a
//! sign, so the daemon probes all of them from time to time. One that lost its watch gets the same files once more.

use std::collections::BTreeMap;
use std::path::Path;

use super::admin::{AdminProbe, EnvoyAdmin};
use super::cache::Cache;
use crate::envoy::artifact::{Artifact, Files, ProxyKey};
use crate::envoy::xds;
use crate::plan::Applied;
use crate::system::parallel;

/// The health of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyHealth {
    /// Envoy runs with the published files.
    InSync,
    /// Envoy runs, and has not accepted the published files.
    OutOfSync,
    /// Envoy does not run.
    NotRunning,
    /// Envoy does not answer, with the reason.
    TimedOut(String),
    /// Envoy cannot be asked.
    Unverifiable,
}

/// Probes the Envoys of all published proxies below the directory `root`, last those that did not answer before.
pub(in crate::apply) fn probe_all(
    published: &Applied,
    root: &Path,
    admin: &EnvoyAdmin,
    cache: &Cache,
) -> BTreeMap<ProxyKey, ProxyHealth> {
    let mut proxies: Vec<(&ProxyKey, &Files)> = published.iter().collect();
    proxies.sort_by_key(|(proxy, _)| cache.is_silent(proxy));
    let health = parallel::map(
        "asking Envoys",
        &proxies,
        parallel::max_envoy_connections(),
        |(proxy, files)| {
            let directory = root.join(proxy.directory());
            let health = health(&admin.probe(proxy, &directory, admin.first_timeout()), files);
            cache.set_silent(proxy, matches!(health, ProxyHealth::TimedOut(_)));
            health
        },
    );
    let names = proxies.into_iter().map(|(proxy, _)| proxy.clone());
    names.zip(health).collect()
}

fn health(probe: &AdminProbe, files: &Files) -> ProxyHealth {
    match probe {
        AdminProbe::Down if files.keys().any(|artifact| artifact.is_read_by_envoy()) => ProxyHealth::NotRunning,
        AdminProbe::Down => ProxyHealth::Unverifiable,
        AdminProbe::TimedOut(why) => ProxyHealth::TimedOut(why.clone()),
        AdminProbe::Unverifiable => ProxyHealth::Unverifiable,
        AdminProbe::Up(_, stats) => {
            let has = |artifact: Artifact| {
                let version = files.get(&artifact).and_then(|text| xds::version(&text.text()));
                version.is_none_or(|version| stats.of(artifact).version == version)
            };
            if has(Artifact::Cds) && has(Artifact::Lds) && (has(Artifact::Rtds) || !stats.has_runtime()) {
                ProxyHealth::InSync
            } else {
                ProxyHealth::OutOfSync
            }
        }
    }
}
