//! How often a file is repaired that others edit again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::drift::Drift;
use crate::envoy::artifact::{Artifact, ProxyKey};

/// Files that were repaired lately; who keeps it between turns does not fight with another writer.
///
/// The first drift of a file is repaired at once, the next one of the same file a minute after that at the earliest, then
/// two, and so on up to an hour. A file that stayed repaired for twice its pause starts from the beginning.
#[derive(Debug, Clone, Default)]
pub struct RepairBackoff {
    repaired: BTreeMap<(ProxyKey, Artifact), Repaired>,
}

#[derive(Debug, Clone)]
struct Repaired {
    times: u32,
    last: Duration,
}

impl Repaired {
    fn pause(&self) -> Duration {
        let minutes = 1_u64 << self.times.saturating_sub(1).min(6);
        Duration::from_secs(60 * minutes.min(60))
    }
}

/// What [`RepairBackoff::admit`] says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admitted {
    /// To be repaired now.
    pub repair: Vec<Drift>,
    /// To be left for now, how often each was repaired already, and when it may be repaired again.
    pub postponed: Vec<(Drift, u32, Duration)>,
}

impl RepairBackoff {
    /// Which drifts are to be repaired now. It counts as done: the caller repairs what it is told to.
    ///
    /// `now` is the time since some fixed moment, by a clock that never goes back.
    pub fn admit(&mut self, drift: &[Drift], now: Duration) -> Admitted {
        self.repaired
            .retain(|_, repaired| now < repaired.last + 2 * repaired.pause());
        let mut admitted = Admitted::default();
        for drift in drift {
            let key = (drift.proxy.clone(), drift.artifact);
            match self.repaired.get(&key) {
                Some(repaired) if now < repaired.last + repaired.pause() => {
                    admitted
                        .postponed
                        .push((drift.clone(), repaired.times, repaired.last + repaired.pause()));
                }
                repaired => {
                    let times = repaired.map_or(0, |repaired| repaired.times) + 1;
                    self.repaired.insert(key, Repaired { times, last: now });
                    admitted.repair.push(drift.clone());
                }
            }
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::digest::Digest;
    use crate::plan::drift::DriftKind;

    fn edited() -> Drift {
        Drift {
            proxy: ProxyKey::new("default", "web"),
            artifact: Artifact::Lds,
            kind: DriftKind::Edited,
            published: BTreeSet::from([Digest::of("l")]),
        }
    }

    #[test]
    fn a_fight_gets_slower_and_is_forgotten_when_it_is_over() {
        let drifts = [edited()];
        let mut backoff = RepairBackoff::default();
        let seconds = Duration::from_secs;
        let mut repaired = Vec::new();
        // Somebody edits it every ten seconds, for ten hours.
        for now in (0..36_000).step_by(10).map(seconds) {
            let admitted = backoff.admit(&drifts, now);
            assert_eq!(admitted.repair.len() + admitted.postponed.len(), 1);
            if !admitted.repair.is_empty() {
                repaired.push(now.as_secs() / 60);
            }
        }
        assert_eq!(repaired[..8], [0, 1, 3, 7, 15, 31, 63, 123]);
        assert_eq!(repaired.len(), 6 + 9);
        let later = seconds(36_000 + 3 * 3600);
        assert_eq!(backoff.admit(&[], later), Admitted::default());
        assert_eq!(backoff.admit(&drifts, later).repair, drifts);
        assert_eq!(backoff.admit(&drifts, later + seconds(60)).repair, drifts);
    }
}
