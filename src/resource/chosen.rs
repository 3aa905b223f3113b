//! Values that hold although nobody may have written them.

use super::{Located, Origin};

/// A value, and what it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen<T> {
    /// The value.
    pub value: T,
    /// What it comes from.
    pub source: Source,
}

/// What a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A field of a resource.
    Written(Origin),
    /// A setting of meshtraced, by its key.
    Setting(String),
    /// Nothing is written, and this is what holds then.
    Default,
}

impl<T: Clone> Chosen<T> {
    /// What is written, or the default.
    pub fn of(written: Option<&Located<T>>, default: T) -> Self {
        match written {
            Some(written) => Self {
                value: written.value.clone(),
                source: Source::Written(written.origin.clone()),
            },
            None => Self {
                value: default,
                source: Source::Default,
            },
        }
    }

    /// Whether somebody wrote it.
    #[must_use]
    pub fn is_written(&self) -> bool {
        !matches!(self.source, Source::Default)
    }
}
