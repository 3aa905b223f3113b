//! The choice of the edited files that are repaired, and the pauses between repairs of a file with a second writer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::drift::Drift;
use crate::envoy::artifact::{Artifact, ProxyKey};

/// The edited files that are overwritten although the same is desired of them as was published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DriftRepair {
    /// None: an edit stays until something else is desired in its place.
    #[default]
    Off,
    /// All edited files.
    All,
    /// All edited files except those whose repair is [paused](RepairBackoff::paused).
    AllExcept(BTreeSet<(ProxyKey, Artifact)>),
}

impl DriftRepair {
    /// Whether an edited file is repaired.
    #[must_use]
    pub fn admits(&self, drift: &Drift) -> bool {
        match self {
            Self::Off => false,
            Self::All => true,
            Self::AllExcept(paused) => !paused.contains(&(drift.proxy.clone(), drift.artifact)),
        }
    }
}

/// The files that were repaired lately, and the pause that each of them is in.
///
/// The first drift of a file is repaired at once, the next one of the same file a minute after that at the earliest,
/// then two, and so on up to an hour. A file that stayed as repaired for twice its pause starts from the beginning.
///
/// Times are measured from some fixed moment, by a clock that never goes back.
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

    fn is_paused(&self, now: Duration) -> bool {
        now < self.last + self.pause()
    }
}

impl RepairBackoff {
    /// The files whose repair is paused.
    #[must_use]
    pub fn paused(&self, now: Duration) -> BTreeSet<(ProxyKey, Artifact)> {
        let paused = self.repaired.iter().filter(|(_, repaired)| repaired.is_paused(now));
        paused.map(|(file, _)| file.clone()).collect()
    }

    /// Takes note of files that were repaired now, and starts the pause of each. A paused file keeps its pause.
    pub fn record<'d>(&mut self, drift: impl IntoIterator<Item = &'d Drift>, now: Duration) {
        self.repaired
            .retain(|_, repaired| now < repaired.last + 2 * repaired.pause());
        for drift in drift {
            let file = (drift.proxy.clone(), drift.artifact);
            let before = self.repaired.get(&file);
            if before.is_some_and(|repaired| repaired.is_paused(now)) {
                continue;
            }
            let times = before.map_or(0, |repaired| repaired.times) + 1;
            self.repaired.insert(file, Repaired { times, last: now });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::keep::Digest;
    use crate::plan::drift::DriftKind;

    fn edited() -> Drift {
        Drift {
            proxy: ProxyKey::new("default", "web"),
            artifact: Artifact::Lds,
            kind: DriftKind::Edited,
            published: BTreeSet::from([Digest::of("l")]),
        }
    }

    fn is_due(backoff: &RepairBackoff, now: Duration) -> bool {
        DriftRepair::AllExcept(backoff.paused(now)).admits(&edited())
    }

    #[test]
    fn a_fight_gets_slower_and_is_forgotten_when_it_is_over() {
        let drifts = [edited()];
        let mut backoff = RepairBackoff::default();
        let seconds = Duration::from_secs;
        let mut repaired = Vec::new();
        // Somebody edits it every ten seconds, for ten hours.
        for now in (0..36_000).step_by(10).map(seconds) {
            if is_due(&backoff, now) {
                backoff.record(&drifts, now);
                repaired.push(now.as_secs() / 60);
            }
        }
        assert_eq!(repaired[..8], [0, 1, 3, 7, 15, 31, 63, 123]);
        assert_eq!(repaired.len(), 6 + 9);
        let later = seconds(36_000 + 3 * 3600);
        for later in [later, later + seconds(60)] {
            assert!(is_due(&backoff, later));
            backoff.record(&drifts, later);
            assert!(!is_due(&backoff, later + seconds(59)));
        }
    }
}
