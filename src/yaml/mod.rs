//! YAML as people write it, with places, and YAML as every reader agrees on it.
//!
//! [`read`] makes a tree of [`Node`]s that know where they stand; [`mod@write`] makes text. What a key means is
//! not known here.

pub mod json;
pub mod read;
pub mod scalar;
mod syntax;
pub(crate) mod template;
pub mod write;

pub use read::{Document, Entry, Limits, Map, Node, Scalar, Value};
