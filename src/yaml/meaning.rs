//! The meaning of a document that is to be edited, with every alias written out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::quote;
use super::scalar::{self, Plain};
use super::written::{Form, NodeId, Written};

/// A value without anchors and aliases.
#[derive(Debug, Clone)]
pub(super) enum Meaning {
    Text(String),
    /// Null, a boolean or a number, as it is written.
    Plain(String),
    List(Vec<Self>),
    /// Keys with their values, in the order of the text.
    Map(Vec<(String, Self)>),
}

/// A change of one node.
#[derive(Debug, Clone)]
pub enum Edit {
    /// A mapping has a key with this value, and no other one.
    Set {
        /// The key, which may be new.
        key: String,
        /// The value that it has from then on.
        value: Value,
        /// The key after which a new entry stands if it is there; otherwise it stands before the last one.
        after: &'static str,
    },
    /// A mapping has no entry with this key.
    Remove(String),
    /// A mapping has one entry in the place of others, below the comments of all of them.
    Replace {
        /// The keys of the entries that go, of which at least one is there.
        keys: Vec<&'static str>,
        /// The key of the new entry.
        with: String,
        /// The value of the new entry.
        value: Value,
    },
    /// A list begins with these items.
    Prepend(Vec<Value>),
    /// A list loses items, and gets others.
    Items {
        /// The indexes of the items that go; not all of them.
        removed: BTreeSet<usize>,
        /// New items, by the index of the item that they stand after.
        added: BTreeMap<usize, Vec<Value>>,
    },
}

impl Edit {
    /// A mapping has a key with this value; a new entry stands after the key `after`, or before the last one.
    #[must_use]
    pub fn set(key: &str, value: Value, after: &'static str) -> Self {
        Self::Set {
            key: key.to_owned(),
            value,
            after,
        }
    }
}

/// The quotes around texts in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quotes {
    /// Every text has quotes, as in JSON.
    Always,
    /// A text has quotes where it needs them.
    Needed,
}

impl Quotes {
    /// The quotes that are usual in a text where a value in brackets, or a key in one, begins at an offset.
    pub(super) fn at(text: &str, offset: usize) -> Self {
        let rest = text[offset..].trim_start_matches(['{', '[', ' ', '\t', '\r', '\n']);
        match rest.starts_with(['"', '\'', '}', ']']) {
            true => Self::Always,
            false => Self::Needed,
        }
    }

    fn write(self, out: &mut String, text: &str) {
        match self {
            // Not all readers take a colon in brackets for a part of a text.
            Self::Needed if !text.contains(':') => quote::string(out, text),
            Self::Always | Self::Needed => quote::quoted(out, text),
        }
    }
}

/// The edits of a document, each with the rest of the way to its node.
pub(super) type Edits<'e> = Vec<(&'e [NodeId], &'e Edit)>;

/// The document has aliases that repeat too much.
#[derive(Debug)]
pub(super) struct TooLarge;

impl Meaning {
    /// The meaning of a node with edits on their ways from it. At most `budget` nodes are written out.
    pub(super) fn of(written: &Written, id: NodeId, edits: &Edits, budget: &mut usize) -> Result<Self, TooLarge> {
        *budget = budget.checked_sub(1).ok_or(TooLarge)?;
        let (mut own, mut below) = (Vec::new(), BTreeMap::<NodeId, Edits>::new());
        for (way, edit) in edits {
            match way {
                [_, rest @ ..] if !rest.is_empty() => below.entry(rest[0]).or_default().push((rest, edit)),
                _ => own.push(*edit),
            }
        }
        let mut next = |id: NodeId| Self::of(written, id, below.get(&id).unwrap_or(&Vec::new()), budget);
        let mut meaning = match &written.node(id).form {
            Form::Alias(repeated) => next(*repeated)?,
            Form::Scalar { text, is_plain } if *is_plain && scalar::resolve_1_1(text) != Plain::String => {
                Self::Plain(text.to_string())
            }
            Form::Scalar { text, .. } => Self::Text(text.to_string()),
            Form::List { items, .. } => Self::List(items.iter().map(|item| next(*item)).collect::<Result<_, _>>()?),
            Form::Map { entries, .. } => {
                let entry = |entry: &super::written::Entry| Ok((entry.key.to_string(), next(entry.value)?));
                Self::Map(entries.iter().map(entry).collect::<Result<_, _>>()?)
            }
        };
        own.into_iter().for_each(|edit| meaning.apply(edit));
        Ok(meaning)
    }

    /// The value with all keys in their alphabetical order, of which people may have another one.
    pub(super) fn sorted(self) -> Self {
        match self {
            Self::List(items) => Self::List(items.into_iter().map(Self::sorted).collect()),
            Self::Map(entries) => {
                let entries = entries.into_iter().map(|(key, value)| (key, value.sorted()));
                let mut entries: Vec<(String, Self)> = entries.collect();
                entries.sort_by(|(one, _), (other, _)| one.cmp(other));
                Self::Map(entries)
            }
            scalar => scalar,
        }
    }

    /// The value in JSON; `None` for numbers and words that only YAML has, and for merged mappings.
    pub(super) fn into_json(self) -> Option<Value> {
        Some(match self {
            Self::Text(text) => Value::String(text),
            Self::Plain(text) => match scalar::resolve_1_1(&text) {
                Plain::Null => Value::Null,
                _ => serde_json::from_str(&text).ok()?,
            },
            Self::List(items) => items.into_iter().map(Self::into_json).collect::<Option<_>>()?,
            Self::Map(entries) => {
                let entry =
                    |(key, value): (String, Self)| Some((key, value.into_json()?)).filter(|(key, _)| key != "<<");
                Value::Object(entries.into_iter().map(entry).collect::<Option<_>>()?)
            }
        })
    }

    fn apply(&mut self, edit: &Edit) {
        match (self, edit) {
            (Self::Map(entries), Edit::Set { key, value, after }) => {
                match entries.iter_mut().rfind(|(known, _)| known == key) {
                    Some((_, known)) => *known = value.into(),
                    None => {
                        let at = place_of_new(entries.iter().map(|(key, _)| key.as_str()), after);
                        entries.insert(at, (key.clone(), value.into()));
                    }
                }
            }
            (Self::Map(entries), Edit::Remove(key)) => entries.retain(|(known, _)| known != key),
            (Self::Map(entries), Edit::Replace { keys, with, value }) => {
                let goes = |entry: &(String, Self)| keys.contains(&entry.0.as_str());
                let at = entries.iter().position(goes).unwrap_or(entries.len());
                entries.retain(|entry| !goes(entry));
                entries.insert(at.min(entries.len()), (with.clone(), value.into()));
            }
            (Self::List(items), Edit::Prepend(new)) => drop(items.splice(0..0, new.iter().map(Self::from))),
            (Self::List(items), Edit::Items { removed, added }) => {
                let old = std::mem::take(items).into_iter().enumerate();
                items.extend(old.flat_map(|(i, item)| {
                    let kept = (!removed.contains(&i)).then_some(item);
                    kept.into_iter()
                        .chain(added.get(&i).into_iter().flatten().map(Self::from))
                }));
            }
            // What is neither becomes what it should have been; nobody edits such a node.
            (other, Edit::Set { key, value, .. }) => *other = Self::Map(vec![(key.clone(), value.into())]),
            (other, Edit::Prepend(new)) => *other = Self::List(new.iter().map(Self::from).collect()),
            (_, Edit::Remove(_) | Edit::Replace { .. } | Edit::Items { .. }) => {}
        }
    }

    /// Writes the value as lines with the given indentation.
    pub(super) fn append_block(&self, out: &mut String, indent: usize) {
        let start = |out: &mut String| out.extend(std::iter::repeat_n(' ', indent));
        match self {
            Self::List(items) if !items.is_empty() => {
                for item in items {
                    start(out);
                    out.push('-');
                    let mut lines = String::new();
                    item.append_block(&mut lines, indent + 2);
                    out.push(' ');
                    out.push_str(lines.trim_start_matches(' '));
                }
            }
            Self::Map(entries) if !entries.is_empty() => {
                for (key, value) in entries {
                    start(out);
                    quote::string(out, key);
                    out.push(':');
                    match value {
                        Self::List(items) if !items.is_empty() => {
                            out.push('\n');
                            value.append_block(out, indent);
                        }
                        Self::Map(entries) if !entries.is_empty() => {
                            out.push('\n');
                            value.append_block(out, indent + 2);
                        }
                        _ => {
                            out.push(' ');
                            value.append_block(out, 0);
                        }
                    }
                }
            }
            Self::Text(text) => {
                start(out);
                quote::string(out, text);
                out.push('\n');
            }
            _ => {
                start(out);
                self.append_flow(out, None, Quotes::Always);
                out.push('\n');
            }
        }
    }

    /// Writes the value in brackets: on one line, or on one for each item, from the given indentation on.
    pub(super) fn append_flow(&self, out: &mut String, indent: Option<usize>, quotes: Quotes) {
        let deeper = indent.map(|indent| indent + 2);
        let end_line = |out: &mut String, indent: Option<usize>| {
            if let Some(indent) = indent {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
            }
        };
        let part = |out: &mut String, i: usize| {
            if i > 0 {
                out.push_str(if deeper.is_some() { "," } else { ", " });
            }
            end_line(out, deeper);
        };
        match self {
            Self::Text(text) => quotes.write(out, text),
            Self::Plain(text) if text.is_empty() => out.push_str("null"),
            Self::Plain(text) => out.push_str(text),
            Self::List(items) if items.is_empty() => out.push_str("[]"),
            Self::Map(entries) if entries.is_empty() => out.push_str("{}"),
            Self::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    part(out, i);
                    item.append_flow(out, deeper, quotes);
                }
                end_line(out, indent);
                out.push(']');
            }
            Self::Map(entries) => {
                out.push('{');
                for (i, (key, value)) in entries.iter().enumerate() {
                    part(out, i);
                    quotes.write(out, key);
                    out.push_str(": ");
                    value.append_flow(out, deeper, quotes);
                }
                end_line(out, indent);
                out.push('}');
            }
        }
    }
}

/// The index of a new entry among the keys of a mapping.
pub(super) fn place_of_new<'k>(
    keys: impl ExactSizeIterator<Item = &'k str> + DoubleEndedIterator,
    after: &str,
) -> usize {
    let last = keys.len().saturating_sub(1);
    let found = keys.enumerate().find(|(_, key)| *key == after);
    found.map_or(last, |(i, _)| (i + 1).min(last))
}

impl From<&Value> for Meaning {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Plain("null".to_owned()),
            Value::Bool(value) => Self::Plain(value.to_string()),
            Value::Number(number) => {
                let mut text = String::new();
                quote::number(&mut text, number);
                Self::Plain(text)
            }
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(fields) => {
                let entry = |(key, value): (&String, &Value)| (key.clone(), value.into());
                Self::Map(fields.iter().map(entry).collect())
            }
        }
    }
}

impl PartialEq for Meaning {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(one), Self::Plain(other)) => {
                let (one_value, other_value) = (scalar::resolve_1_1(one), scalar::resolve_1_1(other));
                one == other || one_value == other_value
            }
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::List(one), Self::List(other)) => one == other,
            (Self::Map(one), Self::Map(other)) => one == other,
            _ => false,
        }
    }
}
