//! The places that values come from.

use std::sync::Arc;

use crate::diag::ResourceId;
use crate::source::Location;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The resource that holds it.
    pub resource: Arc<ResourceId>,
    /// The path of the field inside that resource.
    pub path: String,
    /// The text it was read from.
    pub at: Location,
}

/// A value that knows where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value as it is written.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Located<T> {
    /// Another value from the same place.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Located<U> {
        Located {
            value: f(self.value),
            origin: self.origin,
        }
    }
}
