//! Values that hold although nobody may have written them.

use crate::resource::decode::origin::{Located, Origin};

/// A value, and what it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective<T> {
    /// The value that counts.
    pub value: T,
    /// The source of the value.
    pub source: Provenance,
}

/// The source of an effective value.
#[derive(Debug, Clone, PartialEq)]
pub enum Provenance {
    /// A field of a resource.
    Written(Origin),
    /// A setting of meshtraced, by its key.
    Setting(String),
    /// Nothing is written, and this is what holds then.
    Default,
}

impl<T: Clone> Effective<T> {
    /// The value that is written, or the default.
    pub fn of(written: Option<&Located<T>>, default: T) -> Self {
        match written {
            Some(written) => Self {
                value: written.value.clone(),
                source: Provenance::Written(written.origin.clone()),
            },
            None => Self {
                value: default,
                source: Provenance::Default,
            },
        }
    }

    /// Whether somebody wrote it.
    #[must_use]
    pub fn is_written(&self) -> bool {
        !matches!(self.source, Provenance::Default)
    }
}
