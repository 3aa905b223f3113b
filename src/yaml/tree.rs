//! The tree of a document, in which every value knows its place.

use super::scalar::{self, Plain};
use crate::source::Location;

/// How much of a file is read before it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Documents of one file.
    pub documents: usize,
    /// Lists and mappings inside each other.
    pub depth: usize,
    /// Nodes of one file, as written.
    pub nodes: usize,
    /// Nodes that the aliases of one file may expand to.
    pub alias_nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 32 << 20,
            documents: 100_000,
            depth: 64,
            nodes: 2_000_000,
            alias_nodes: 100_000,
        }
    }
}

/// One document that holds something.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Index from 0 among the documents of its file that are not null; a broken one counts.
    pub index: usize,
    /// Its content.
    pub root: Node,
}

/// All that could be read of a file.
#[derive(Debug, Default)]
pub struct Stream {
    /// The documents that could be read.
    pub documents: Vec<Document>,
    /// Whether there is text that could not.
    pub broken: bool,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where; of an alias, where the value was defined.
    pub at: Location,
    /// What.
    pub value: Value,
}

/// The three kinds of YAML nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A scalar.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping.
    Map(Map),
}

/// A scalar as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, without quotes and with escapes undone.
    pub text: String,
    /// Whether it has a meaning beyond its text: written plain, or tagged as something else than a string.
    pub plain: bool,
}

impl Scalar {
    /// What it is to a reader of YAML 1.1, which Kuma is.
    #[must_use]
    pub fn plain_value(&self) -> Plain {
        if self.plain {
            scalar::resolve_1_1(&self.text)
        } else {
            Plain::String
        }
    }
}

/// A mapping whose keys are distinct, in the order they were written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map {
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Map {
    /// The entry with that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.text == key)
    }
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Scalar,
    /// Where the key stands.
    pub key_at: Location,
    /// The value.
    pub value: Node,
}
