//! Effective values: written in a resource or in the settings, or the default.

use crate::resource::decode::origin::{Located, Origin};

/// A value and its source.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective<T> {
    /// The effective value.
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
    /// Nothing is written; the value is Kuma's or Envoy's.
    Default,
}

impl Provenance {
    /// The field of a resource, if the value is written in one.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Written(origin) => Some(origin),
            Self::Setting(_) | Self::Default => None,
        }
    }
}

impl<T: Clone> Effective<T> {
    /// The written value, or the default.
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

    /// Whether the value is written in a resource or in the settings.
    #[must_use]
    pub fn is_written(&self) -> bool {
        !matches!(self.source, Provenance::Default)
    }
}
