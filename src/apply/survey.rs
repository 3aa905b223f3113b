//! A look at all Envoys: which run, and whether they have what is on disk.
//!
//! A publication is confirmed when it is made. Later an Envoy may have stopped, started, or lost its watch without a
//! word, so the daemon looks again from time to time. One that lost its watch is shown the same files once more.

use std::collections::BTreeMap;

use super::admin::{Voice, first_patience};
use super::{Session, Target};
use crate::envoy::artifact::{Artifact, Files, ProxyKey};
use crate::envoy::xds;
use crate::plan::Applied;
use crate::system::parallel;

/// How it is with an Envoy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// It runs with the files on disk.
    Active,
    /// It runs, and has not taken the files on disk.
    Behind,
    /// It does not run.
    NotRunning,
    /// It does not answer; why.
    Silent(String),
    /// It cannot be asked.
    Unknown,
}

/// Looks at the Envoys of all published proxies, last at those that did not answer before.
#[must_use]
pub fn survey(published: &Applied, target: &Target, session: &Session) -> BTreeMap<ProxyKey, Sight> {
    let mut proxies: Vec<(&ProxyKey, &Files)> = published.iter().collect();
    proxies.sort_by_key(|(proxy, _)| session.cache.is_silent(proxy));
    let sights = parallel::map(&proxies, parallel::max_envoy_connections(), |(proxy, files)| {
        let sight = look(proxy, files, target);
        session.cache.set_silent(proxy, matches!(sight, Sight::Silent(_)));
        sight
    });
    let names = proxies.into_iter().map(|(proxy, _)| proxy.clone());
    names.zip(sights).collect()
}

fn look(proxy: &ProxyKey, files: &Files, target: &Target) -> Sight {
    let directory = target.root.join(proxy.directory());
    match Voice::of(target, proxy, &directory, first_patience(target)) {
        Voice::Absent => Sight::NotRunning,
        Voice::Silent(why) => Sight::Silent(why),
        Voice::Unknown => Sight::Unknown,
        Voice::Answers(_, stats) => {
            let has = |artifact: Artifact| {
                let version = files.get(&artifact).and_then(|text| xds::version(text));
                version.is_none_or(|version| stats.of(artifact).version == version)
            };
            if has(Artifact::Cds) && has(Artifact::Lds) {
                Sight::Active
            } else {
                Sight::Behind
            }
        }
    }
}
