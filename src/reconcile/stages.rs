//! The stages of a reconciliation, and their durations.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::apply::{ApplyError, Publication};

/// A stage of a reconciliation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The reading of the policies.
    Read,
    /// The compilation of the policies.
    Compile,
    /// Comparison with what is published.
    Plan,
    /// Publication until all files are in place, with the answers of the Envoys.
    Publish,
    /// The rest of the publication: the generation of the history, and the last sync.
    Record,
}

impl Stage {
    /// All stages, in their order.
    pub const ALL: [Self; 5] = [Self::Read, Self::Compile, Self::Plan, Self::Publish, Self::Record];

    /// The name of the stage in metrics and in the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Compile => "compile",
            Self::Plan => "plan",
            Self::Publish => "publish",
            Self::Record => "record",
        }
    }
}

/// The times that the stages of one reconciliation took.
#[derive(Debug, Default)]
pub struct Stopwatch {
    pub(super) stages: BTreeMap<Stage, Duration>,
}

impl Stopwatch {
    pub(super) fn time<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        *self.stages.entry(stage).or_default() += start.elapsed();
        result
    }

    /// Publishes, and tells the two parts of it apart.
    pub(super) fn publish(
        &mut self,
        publish: impl FnOnce() -> Result<Publication, ApplyError>,
    ) -> Result<Publication, ApplyError> {
        let publication = self.time(Stage::Publish, publish)?;
        let publishing = self.stages.entry(Stage::Publish).or_default();
        *publishing = publishing.saturating_sub(publication.recording);
        *self.stages.entry(Stage::Record).or_default() += publication.recording;
        Ok(publication)
    }
}
