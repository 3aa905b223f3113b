//! The origins of values.

use std::sync::Arc;

use crate::diag::ResourceId;
use crate::keep::Text;
use crate::source::{Location, Span};

/// The origin of a value: a field of a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The resource that contains the field.
    pub resource: Arc<ResourceId>,
    /// The path of the field in the resource.
    pub path: Text,
    /// The location of the field in its file.
    pub at: Location,
}

/// A value with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value as written.
    pub value: T,
    /// The origin of the value.
    pub origin: Origin,
}

/// A value with its place in the file of its resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value as written.
    pub value: T,
    /// The place of the value.
    pub span: Span,
}

impl<T> Located<T> {
    /// The value without the origin that can be told from its field.
    pub(in crate::resource) fn spanned(self) -> Spanned<T> {
        Spanned {
            value: self.value,
            span: self.origin.at.span,
        }
    }

    /// The result of `f` with the same origin.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Located<U> {
        Located {
            value: f(self.value),
            origin: self.origin,
        }
    }
}
