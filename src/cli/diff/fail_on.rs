//! The changes that make the exit code 1.

use std::str::FromStr;

use crate::plan::summary::Counts;

/// The changes that make the exit code 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum FailOn {
    Changed,
    Removed,
    /// More than this share of the proxies before, in percent.
    Share(f64),
}

impl FromStr for FailOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = |text: &str| text.parse().ok().filter(|share| (0.0..=100.0).contains(share));
        match text {
            "changed" => Ok(Self::Changed),
            "removed" => Ok(Self::Removed),
            text => match text.strip_suffix('%').and_then(share) {
                Some(share) => Ok(Self::Share(share)),
                None => Err("write `changed`, `removed`, or a percentage such as `10%`".to_owned()),
            },
        }
    }
}

impl FailOn {
    /// Whether a plan with these numbers has such changes.
    pub(super) fn holds(self, counts: &Counts) -> bool {
        match self {
            Self::Changed => counts.different() > 0,
            Self::Removed => counts.removed > 0,
            Self::Share(share) => {
                let before = counts.changed + counts.removed + counts.unchanged + counts.held;
                counts.different() as f64 * 100.0 > share * before as f64
            }
        }
    }
}
