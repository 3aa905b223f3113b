//! JSON values from the tree of a document.
use super::read::Prepared;
use super::scalar::Plain;
use super::{Limits, Node, Scalar, Value};
use crate::diag::Diagnostics;
use crate::source::SourceFile;

/// The value of a text with exactly one document, such as meshtraced writes; `None` for any other text.
#[must_use]
pub fn read_one(text: &str, limits: &Limits) -> Option<serde_json::Value> {
    let mut diagnostics = Diagnostics::default();
    let file = SourceFile::new("", text);
    let prepared = Prepared::new(&file);
    let stream = prepared.read(limits, &mut diagnostics);
    match stream.documents.as_slice() {
        [document] if !stream.broken => Some(of(&document.root)),
        _ => None,
    }
}

/// The value of a node, plain scalars read as YAML 1.1.
#[must_use]
pub fn of(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Scalar(scalar) => of_scalar(scalar),
        Value::List(items) => items.iter().map(of).collect(),
        Value::Map(map) => map
            .entries
            .iter()
            .map(|entry| (entry.key.text.to_string(), of(&entry.value)))
            .collect(),
    }
}

fn of_scalar(scalar: &Scalar) -> serde_json::Value {
    match scalar.plain_value() {
        Plain::Null => serde_json::Value::Null,
        Plain::Bool(value) => value.into(),
        Plain::Int(value) => i64::try_from(value).map_or_else(|_| (value as f64).into(), Into::into),
        Plain::Float(value) => value.into(),
        Plain::String => scalar.text.clone().into(),
    }
}
