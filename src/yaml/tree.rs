//! The tree of a document, in which every value has a location.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scalar::{self, Plain};
use crate::settings_value::Integer;
use crate::source::Location;

/// The limits of one file; a file beyond them is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest size of a file, in bytes.
    #[schemars(example = 1_048_576)]
    pub file_bytes: Integer<1>,
    /// The largest number of documents in a file.
    #[schemars(example = 1000)]
    pub documents: Integer<1>,
    /// The deepest nesting of lists and mappings. Beyond 128, a thread of the daemon would have too little stack.
    #[schemars(example = 32)]
    pub depth: Integer<1, 128>,
    /// The largest number of values in a file as it is written.
    #[schemars(example = 100_000)]
    pub nodes: Integer<1>,
    /// The largest number of values that the aliases of a file expand to.
    #[schemars(example = 1000)]
    pub alias_nodes: Integer<1>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: Integer::new(32 << 20),
            documents: Integer::new(100_000),
            depth: Integer::new(64),
            nodes: Integer::new(2_000_000),
            alias_nodes: Integer::new(100_000),
        }
    }
}

/// A document that is not null.
#[derive(Debug, Clone, PartialEq)]
pub struct Document<'t> {
    /// Index from 0 among the documents of the file that are not null; broken ones count.
    pub index: usize,
    /// The content of the document.
    pub root: Node<'t>,
}

/// The readable part of a file.
#[derive(Debug, Default)]
pub struct Stream<'t> {
    /// The readable documents, in the order of the file.
    pub documents: Vec<Document<'t>>,
    /// Whether some of the file could not be read.
    pub broken: bool,
}

/// A value with its location. Its scalars are parts of the text of the file where they are as they are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node<'t> {
    /// The location; for an alias, that of the anchored value.
    pub at: Location,
    /// The scalar, list or mapping.
    pub value: Value<'t>,
}

impl<'t> Node<'t> {
    /// The scalar; `None` for a list and a mapping.
    pub fn scalar(&self) -> Option<&Scalar<'t>> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The text of a scalar, whatever its type; `None` for a list and a mapping.
    pub fn text(&self) -> Option<&str> {
        self.scalar().map(|scalar| &*scalar.text)
    }

    /// The mapping; `None` for a scalar and a list.
    pub fn map(&self) -> Option<&Map<'t>> {
        match &self.value {
            Value::Map(map) => Some(map),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }
}

/// The three kinds of YAML nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'t> {
    /// A string, number, boolean or null.
    Scalar(Scalar<'t>),
    /// A sequence of nodes.
    List(Vec<Node<'t>>),
    /// Nodes by their keys.
    Map(Map<'t>),
}

/// A scalar as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar<'t> {
    /// The text, without quotes and with escapes resolved.
    pub text: Cow<'t, str>,
    /// Whether the scalar may be more than its text: written plain, or tagged as something other than a string.
    pub plain: bool,
}

impl Scalar<'_> {
    /// Whether the scalar is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.plain && scalar::is_null(&self.text)
    }

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
pub struct Map<'t> {
    /// Keys with their values, in the order of the file.
    pub entries: Vec<Entry<'t>>,
    /// The locations of keys that are written again after an equal key; the last one has the value.
    pub repeated: Vec<Location>,
}

impl<'t> Map<'t> {
    /// The entry with that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry<'t>> {
        self.entries.iter().find(|entry| entry.key.text == key)
    }
}

/// One entry of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'t> {
    /// The scalar before the colon.
    pub key: Scalar<'t>,
    /// The location of the key.
    pub key_at: Location,
    /// The node after the colon.
    pub value: Node<'t>,
}
