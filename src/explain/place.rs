//! The place of a value in a file.

use serde::Serialize;

use crate::resource::{Effective, Origin, Provenance};
use crate::source::Location;

/// The place of a value in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Path of the file, relative to the working directory or absolute.
    pub file: String,
    /// Line number, from 1.
    pub line: usize,
}

impl Place {
    pub(super) fn of(at: &Location, root: &str) -> Self {
        Self {
            file: format!("{root}{}", at.file.path),
            line: at.line(),
        }
    }

    pub(super) fn of_effective<T>(effective: &Effective<T>, root: &str) -> Option<Self> {
        match &effective.source {
            Provenance::Written(Origin { at, .. }) => Some(Self::of(at, root)),
            Provenance::Setting(_) | Provenance::Default => None,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
