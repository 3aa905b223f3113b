//! Drift: published files that somebody else edited, removed or replaced.
//!
//! A file that is gone is restored. A file that somebody edited may be an emergency measure: the edit stays, and is
//! reported, until something else is desired in its place or a repair is asked for. A file that needs one repair
//! after another has a second writer, and [`RepairBackoff`](super::repair::RepairBackoff) makes the pauses longer
//! each time.

use std::collections::BTreeSet;
use std::fmt;

use crate::envoy::FileText;
use crate::envoy::artifact::{Artifact, ProxyKey};
use crate::keep::Digest;

/// A published file that is not as it was published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drift {
    /// The proxy that the file belongs to.
    pub proxy: ProxyKey,
    /// The file.
    pub artifact: Artifact,
    /// The kind of drift.
    pub kind: DriftKind,
    /// The digest of the published text; several after a publication that was interrupted.
    pub published: BTreeSet<Digest>,
}

/// The kind of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftKind {
    /// The file holds something else.
    Edited,
    /// The file is gone.
    Missing,
    /// Something else stands in its place, such as a directory, or a file that may not be read.
    Replaced,
}

impl fmt::Display for DriftKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Edited => "was edited by somebody else",
            Self::Missing => "was removed by somebody else",
            Self::Replaced => "is not a readable file any more",
        })
    }
}

impl Drift {
    /// Whether a text is the one that was published.
    #[must_use]
    pub fn was_published(&self, text: &FileText) -> bool {
        self.published.contains(&text.digest())
    }

    /// The drift in words, and whether the file `is_left` as it is or written again.
    #[must_use]
    pub fn describe(&self, is_left: bool) -> String {
        if is_left {
            format!("{self}; it stays until something else is published there, or `meshtraced heal` restores the file")
        } else {
            format!("{self}; restored")
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.proxy, self.artifact.path(), self.kind)
    }
}
