//! YAML in and out: a tree of located nodes from the text that people write, and text that every reader agrees on.
//!
//! [`read`] makes [`Node`]s that know their location; [`mod@write`] makes text. The meaning of keys is left to
//! [`resource`](crate::resource).

pub mod scalar;

mod tree;

pub(crate) mod template;

mod syntax;

mod entries;

pub mod read;

pub mod json;

mod quote;

mod serializer;

pub mod write;

pub mod written;

mod meaning;

mod layout;

mod removal;

pub mod edit;

pub(crate) use layout::line_end;
pub use tree::{Document, Entry, Limits, Map, Node, Scalar, Stream, Value};
