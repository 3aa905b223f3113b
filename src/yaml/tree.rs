//! The tree of a document, in which every value has a location.

use super::scalar::{self, Plain};
use crate::source::Location;

/// Limits on what is read of one file; a file beyond them is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Size of a file, in bytes.
    pub file_bytes: u64,
    /// Number of documents in a file.
    pub documents: usize,
    /// Depth of nested lists and mappings.
    pub depth: usize,
    /// Number of nodes in a file as it is written.
    pub nodes: usize,
    /// Number of nodes that all aliases of a file expand to.
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

/// A document that is not null.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Index from 0 among the documents of the file that are not null; broken ones count.
    pub index: usize,
    /// The content of the document.
    pub root: Node,
}

/// The readable part of a file.
#[derive(Debug, Default)]
pub struct Stream {
    /// The readable documents, in the order of the file.
    pub documents: Vec<Document>,
    /// Whether some of the file could not be read.
    pub broken: bool,
}

/// A value with its location.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The location; for an alias, that of the anchored value.
    pub at: Location,
    /// The scalar, list or mapping.
    pub value: Value,
}

/// The three kinds of YAML nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string, number, boolean or null.
    Scalar(Scalar),
    /// A sequence of nodes.
    List(Vec<Node>),
    /// Nodes by their keys.
    Map(Map),
}

/// A scalar as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, without quotes and with escapes resolved.
    pub text: String,
    /// Whether the scalar may be more than its text: written plain, or tagged as something other than a string.
    pub plain: bool,
}

impl Scalar {
    /// The value for a reader of YAML 1.1, as Kuma is one.
    #[must_use]
    pub fn plain_value(&self) -> Plain {
        if self.plain {
            scalar::resolve_1_1(&self.text)
        } else {
            Plain::String
        }
    }
}

/// A mapping with distinct keys, in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map {
    /// Keys with their values, in the order of the file.
    pub entries: Vec<Entry>,
}

impl Map {
    /// The entry with that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.text == key)
    }
}

/// One entry of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The scalar before the colon.
    pub key: Scalar,
    /// The location of the key.
    pub key_at: Location,
    /// The node after the colon.
    pub value: Node,
}
