//! YAML as people write it, with places, and YAML as every reader agrees on it.
//!
//! [`read`] makes a tree of [`Node`]s that know where they stand; [`mod@write`] makes text. What a key means is
//! not known here.

pub mod scalar;

mod tree;

pub(crate) mod template;

mod syntax;

mod entries;

pub mod read;

pub mod json;

pub mod write;

pub use tree::{Document, Entry, Limits, Map, Node, Scalar, Stream, Value};
