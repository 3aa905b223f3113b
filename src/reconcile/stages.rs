//! The stages of a turn, and how long they take.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A stage of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Reading the policies.
    Read,
    /// Compiling them.
    Compile,
    /// Comparing them with what is published.
    Plan,
    /// Publishing, with Envoy's word.
    Publish,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Read, Self::Compile, Self::Plan, Self::Publish];

    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Compile => "compile",
            Self::Plan => "plan",
            Self::Publish => "publish",
        }
    }
}

/// Measures stages.
#[derive(Debug, Default)]
pub struct Stopwatch {
    pub(super) stages: Vec<(Stage, Duration)>,
}

impl Stopwatch {
    pub(super) fn time<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.stages.push((stage, start.elapsed()));
        result
    }
}
