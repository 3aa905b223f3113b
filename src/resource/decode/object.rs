//! The fields of a mapping, decoded with findings and origins.
//!
//! Every kind is decoded with [`Decoder`] and [`Object`], so that types are checked, unknown
//! fields are reported and all errors of a document are collected, in the same way for all kinds.

use std::borrow::Cow;
use std::fmt::Write as _;

use litemap::LiteMap;

use crate::diag::{Code, Diagnostic};
use crate::keep::Text;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::number::{is_canonical, json_number, plain_number};
use crate::resource::decode::origin::{Located, Origin};
use crate::source::Location;
use crate::words::closest;
use crate::yaml::scalar::{Plain, versions_differ};
use crate::yaml::{Entry, Map, Node, Scalar, Value};

/// Text values by key, such as tags and labels.
pub type TextMap = LiteMap<Text, Located<Text>>;

/// Fields that may be null in kinds with a schema, since they have a default or a check of their own.
const NULLABLE: [&str; 14] = [
    "apiVersion",
    "appProtocol",
    "backends",
    "client",
    "creationTime",
    "mesh",
    "modificationTime",
    "overall",
    "random",
    "sharedSpanContext",
    "splitService",
    "state",
    "status",
    "traceId128bit",
];

/// A mapping with known fields.
///
/// `null` counts as absent, as in Kuma.
pub(in crate::resource) struct Object<'a> {
    map: &'a Map<'a>,
    /// The whole mapping.
    pub(in crate::resource) at: &'a Location,
    /// The path of the mapping; empty for the document.
    pub(in crate::resource) path: Text,
}

/// Fields that hold blocks, and that a wrong indentation moves into or out of another block.
const BLOCKS: [&str; 16] = [
    "backends",
    "conf",
    "default",
    "destinations",
    "inbound",
    "mtls",
    "networking",
    "outbound",
    "routing",
    "sampling",
    "selectors",
    "sources",
    "spec",
    "targetRef",
    "to",
    "tracing",
];

impl<'a> Object<'a> {
    /// The mapping at `node`; fields other than those of `known` are reported.
    ///
    /// `None`, with an error, when the node is not a mapping.
    pub(in crate::resource) fn new(
        decoder: &mut Decoder,
        node: &'a Node<'a>,
        path: Text,
        known: &[&str],
    ) -> Option<Self> {
        if is_null(node) && !decoder.is_strict {
            return Some(Self::empty(&node.at, path));
        }
        let Value::Map(map) = &node.value else {
            wrong_type(decoder, node, &path, "a mapping");
            return None;
        };
        let object = Self {
            map,
            at: &node.at,
            path,
        };
        object.report_unknown(decoder, known);
        if decoder.is_strict {
            object.refuse_null(decoder, known);
        }
        Some(object)
    }

    /// The fields of a mapping, without reports of unknown fields.
    ///
    /// # Panics
    /// If `node` is not a mapping, which the caller must check.
    pub(in crate::resource) fn without_check(node: &'a Node<'a>) -> Self {
        let Value::Map(map) = &node.value else {
            panic!("the node must be a mapping")
        };
        Self {
            map,
            at: &node.at,
            path: Text::default(),
        }
    }

    /// A mapping without fields, in place of a missing one.
    pub(in crate::resource) fn empty(at: &'a Location, path: Text) -> Self {
        static NOTHING: Map = Map {
            entries: Vec::new(),
            repeated: Vec::new(),
        };
        Self {
            map: &NOTHING,
            at,
            path,
        }
    }

    fn report_unknown(&self, decoder: &mut Decoder, known: &[&str]) {
        for entry in &self.map.entries {
            let key = &*entry.key.text;
            if known.contains(&key) {
                continue;
            }
            if BLOCKS.contains(&key) && !decoder.is_exact() && !matches!(entry.value.value, Value::Scalar(_)) {
                let message = format!("`{key}` does not belong here, so Kuma ignores the whole block");
                let finding = Diagnostic::error(Code::UnknownField, &entry.key_at, message);
                decoder.report(finding.path(self.path_of(key)).help("is its indentation right?"));
                continue;
            }
            let message = format!("Kuma has no field `{key}` here and ignores it");
            let diagnostic = Diagnostic::warning(Code::UnknownField, &entry.key_at, message).path(self.path_of(key));
            decoder.report(match closest(key, known.iter().copied()) {
                Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
                None => diagnostic.help(format!("known fields: {}", known.join(", "))),
            });
        }
    }

    /// The path of a field.
    pub(in crate::resource) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// The path of a field, stored once.
    pub(in crate::resource) fn field_path(&self, decoder: &Decoder, key: &str) -> Text {
        if self.path.is_empty() {
            decoder.shared(key)
        } else {
            decoder.written(|path| path.extend([&*self.path, ".", key]))
        }
    }

    /// The place of a field: of its key, or of the mapping when the field is absent.
    pub(in crate::resource) fn origin_of(&self, decoder: &Decoder, key: &str) -> Origin {
        let at = self.get(key).map_or(self.at, |entry| &entry.key_at);
        decoder.located((), &self.field_path(decoder, key), at).origin
    }

    /// The field with the given name, unless it is null.
    pub(in crate::resource) fn get(&self, key: &str) -> Option<&'a Entry<'a>> {
        self.map.get(key).filter(|entry| !is_null(&entry.value))
    }

    /// Whether the field exists, even if it is null.
    pub(in crate::resource) fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some()
    }

    /// The text of a field.
    pub(in crate::resource) fn text(&self, decoder: &mut Decoder, key: &str) -> Option<Located<Text>> {
        let entry = self.get(key)?;
        let path = self.field_path(decoder, key);
        let text = text_of(decoder, &entry.value, || &path)?;
        Some(decoder.located(decoder.shared(&text), &path, &entry.value.at))
    }

    /// The index among `words` of a field with one of the words, or with its index as a number.
    ///
    /// `None` when the field is absent, and with an error when it has another value.
    pub(in crate::resource) fn word(&self, decoder: &mut Decoder, key: &str, words: &[&str]) -> Option<usize> {
        let entry = self.get(key)?;
        let scalar = entry.value.scalar();
        let found = scalar.and_then(|scalar| match scalar.plain_value() {
            Plain::Int(number) => usize::try_from(number).ok().filter(|number| *number < words.len()),
            _ => words.iter().position(|word| *word == scalar.text),
        });
        if found.is_none() {
            let written = scalar.map_or("no text", |scalar| &*scalar.text);
            let message = format!("`{key}` is `{written}`; it must be one of {}", words.join(", "));
            let finding = Diagnostic::error(Code::InvalidValue, &entry.value.at, message).path(self.path_of(key));
            decoder.undecodable(match closest(written, words.iter().copied()) {
                Some(meant) => finding.help(format!("did you mean `{meant}`?")),
                None => finding,
            });
        }
        found
    }

    /// A number, which may be in quotes.
    pub(in crate::resource) fn number(&self, decoder: &mut Decoder, key: &str) -> Option<Located<f64>> {
        let entry = self.get(key)?;
        let path = self.field_path(decoder, key);
        let value = match entry.value.scalar() {
            Some(scalar) => match scalar.plain_value() {
                Plain::Int(n) => Some(n as f64),
                Plain::Float(n) if n.is_finite() => Some(n),
                Plain::String => json_number(&scalar.text),
                _ => None,
            },
            None => None,
        };
        let Some(value) = value else {
            let written = entry.value.scalar().and_then(|scalar| plain_number(&scalar.text));
            let help = written.map(|number| format!("write the number alone: `{key}: {number}`"));
            wrong_type_help(decoder, &entry.value, &path, "a number", help);
            return None;
        };
        warn_if_ambiguous(decoder, &entry.value, &path);
        Some(decoder.located(value, &path, &entry.value.at))
    }

    /// An unsigned integer of 32 bits, which may be in quotes unless a schema checks the kind.
    pub(in crate::resource) fn whole(&self, decoder: &mut Decoder, key: &str) -> Option<Located<u32>> {
        let entry = self.get(key)?;
        let path = self.field_path(decoder, key);
        let value = match entry.value.scalar() {
            Some(scalar) => match scalar.plain_value() {
                Plain::Int(n) => u32::try_from(n).ok(),
                // Kuma converts YAML to JSON, and `80.0` to 80.
                Plain::Float(n) if n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&n) => Some(n as u32),
                Plain::String if !decoder.is_strict && !scalar.plain && is_canonical(scalar.text.trim()) => {
                    scalar.text.trim().parse().ok()
                }
                _ => None,
            },
            None => None,
        };
        let Some(value) = value else {
            let written = entry.value.scalar().and_then(|scalar| plain_number(&scalar.text));
            let whole = written.filter(|number| is_canonical(number));
            let help = whole.map(|number| format!("write it without quotes: `{key}: {number}`"));
            wrong_type_help(decoder, &entry.value, &path, "an integer", help);
            return None;
        };
        warn_if_ambiguous(decoder, &entry.value, &path);
        Some(decoder.located(value, &path, &entry.value.at))
    }

    /// `true` or `false`, in any form that Kuma accepts.
    pub(in crate::resource) fn boolean(&self, decoder: &mut Decoder, key: &str) -> Option<Located<bool>> {
        let entry = self.get(key)?;
        let path = self.field_path(decoder, key);
        let value = entry.value.scalar().map(Scalar::plain_value);
        let Some(Plain::Bool(value)) = value else {
            wrong_type(decoder, &entry.value, &path, "`true` or `false`");
            return None;
        };
        warn_if_ambiguous(decoder, &entry.value, &path);
        Some(decoder.located(value, &path, &entry.value.at))
    }

    /// The mapping in a field.
    pub(in crate::resource) fn object(&self, decoder: &mut Decoder, key: &str, known: &[&str]) -> Option<Self> {
        let entry = self.get(key)?;
        Object::new(decoder, &entry.value, self.field_path(decoder, key), known)
    }

    /// The mapping in a field, without reports of unknown fields.
    pub(in crate::resource) fn open_object(&self, decoder: &mut Decoder, key: &str) -> Option<Self> {
        let entry = self.get(key)?;
        Self::open(decoder, &entry.value, self.field_path(decoder, key))
    }

    /// The mapping at `node`, without reports of unknown fields.
    pub(in crate::resource) fn open(decoder: &mut Decoder, node: &'a Node<'a>, path: Text) -> Option<Self> {
        let Value::Map(map) = &node.value else {
            wrong_type(decoder, node, &path, "a mapping");
            return None;
        };
        Some(Self {
            map,
            at: &node.at,
            path,
        })
    }

    /// The number of fields.
    pub(in crate::resource) fn len(&self) -> usize {
        self.map.entries.len()
    }

    /// Reports fields that are null although the schema neither allows null nor has a default.
    fn refuse_null(&self, decoder: &mut Decoder, keys: &[&str]) {
        for entry in self.map.entries.iter().filter(|entry| is_null(&entry.value)) {
            let key = &*entry.key.text;
            if keys.contains(&key) && !NULLABLE.contains(&key) {
                let message = format!("`{key}` must not be null");
                let finding = Diagnostic::error(Code::WrongType, &entry.value.at, message).path(self.path_of(key));
                decoder.undecodable(finding.help("write a value, or remove the field"));
            }
        }
    }

    /// The items of the list in a field, each with its path; empty when the field is absent.
    pub(in crate::resource) fn list(&self, decoder: &mut Decoder, key: &str) -> Vec<(Text, &'a Node<'a>)> {
        let Some(entry) = self.get(key) else { return Vec::new() };
        let path = self.field_path(decoder, key);
        let Value::List(items) = &entry.value.value else {
            wrong_type(decoder, &entry.value, &path, "a list");
            return Vec::new();
        };
        let indexed = items.iter().enumerate();
        indexed
            .map(|(i, node)| (decoder.shared(&format!("{path}[{i}]")), node))
            .collect()
    }

    /// The text values of the mapping in a field; `None` when the field is absent.
    ///
    /// Null values count as empty texts, unless a schema checks the kind; then they are errors, and paths use dots.
    pub(in crate::resource) fn texts(&self, decoder: &mut Decoder, key: &str) -> Option<TextMap> {
        let entry = self.get(key)?;
        let path = self.field_path(decoder, key);
        let Value::Map(map) = &entry.value.value else {
            wrong_type(decoder, &entry.value, &path, "a mapping");
            return None;
        };
        let of_schema = decoder.is_strict && path.starts_with("spec.");
        let mut texts = Vec::with_capacity(map.entries.len());
        for Entry { key, key_at, value } in &map.entries {
            let wrong = || {
                if of_schema {
                    format!("{path}.{}", key.text)
                } else {
                    key_path(&path, &key.text)
                }
            };
            let plain = key.plain_value();
            if !matches!(plain, Plain::String) && !is_canonical(&key.text) {
                let message = format!(
                    "the key `{}` is {} to YAML 1.1, which Kuma reads",
                    key.text,
                    plain.noun()
                );
                let finding = Diagnostic::error(Code::WrongType, key_at, message).path(wrong());
                decoder.undecodable(finding.help(format!("quote it: \"{}\"", key.text)));
                continue;
            }
            let text = if is_null(value) && !decoder.is_strict {
                Some(Cow::default())
            } else if is_null(value) {
                wrong_type(decoder, value, &wrong(), "text");
                None
            } else {
                text_of(decoder, value, wrong)
            };
            if let Some(text) = text {
                let path = decoder.written(|entry| push_key(entry, &path, &key.text));
                let text = decoder.shared(&text);
                texts.push((decoder.shared(&key.text), decoder.located(text, &path, &value.at)));
            }
        }
        Some(texts.into_iter().collect())
    }
}

/// An integer or a text, as text.
pub(in crate::resource) fn int_or_text(node: &Node) -> Option<String> {
    let scalar = node.scalar()?;
    match scalar.plain_value() {
        Plain::String => Some(scalar.text.to_string()),
        Plain::Int(number) => Some(number.to_string()),
        Plain::Float(number) if number.fract() == 0.0 => Some(number.to_string()),
        Plain::Float(_) | Plain::Bool(_) | Plain::Null => None,
    }
}

/// `path["key"]`, Kuma's form of the path of a map entry.
pub(in crate::resource) fn key_path(path: &str, key: &str) -> String {
    let mut entry = String::new();
    push_key(&mut entry, path, key);
    entry
}

fn push_key(entry: &mut String, path: &str, key: &str) {
    let stays = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if key.bytes().all(stays) {
        // As below, in a fifth of the time.
        entry.extend([path, "[\"", key, "\"]"]);
    } else {
        // Writing to a string does not fail.
        let _ = write!(entry, "{path}[{key:?}]");
    }
}

fn is_null(node: &Node) -> bool {
    node.scalar().is_some_and(Scalar::is_null)
}

/// The text of a scalar; `path` makes the path for a finding.
pub(in crate::resource) fn text_of<'a, P: Into<String>>(
    decoder: &mut Decoder,
    node: &'a Node<'a>,
    path: impl FnOnce() -> P,
) -> Option<Cow<'a, str>> {
    let Some(scalar) = node.scalar() else {
        wrong_type(decoder, node, &path().into(), "text");
        return None;
    };
    match scalar.plain_value() {
        Plain::String => Some(Cow::Borrowed(&scalar.text)),
        Plain::Null => Some(Cow::default()),
        plain @ (Plain::Bool(_) | Plain::Int(_) | Plain::Float(_)) => {
            let path = path().into();
            let message = format!(
                "`{path}` must be text, and `{}` is {} to YAML 1.1, which Kuma reads",
                scalar.text,
                plain.noun()
            );
            let finding = Diagnostic::error(Code::WrongType, &node.at, message).path(path);
            decoder.undecodable(finding.help(format!("quote it: \"{}\"", scalar.text)));
            None
        }
    }
}

fn wrong_type(decoder: &mut Decoder, node: &Node, path: &str, wanted: &str) {
    wrong_type_help(decoder, node, path, wanted, None);
}

pub(in crate::resource) fn wrong_type_help(
    decoder: &mut Decoder,
    node: &Node,
    path: &str,
    wanted: &str,
    help: Option<String>,
) {
    let found = match &node.value {
        Value::Scalar(scalar) if scalar.plain_value() == Plain::Null => "nothing".to_owned(),
        Value::Scalar(scalar) if scalar.text.chars().count() <= 40 && !scalar.text.contains('\n') => {
            format!("`{}`", scalar.text)
        }
        Value::Scalar(_) => "a long text".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    };
    let what = if path.is_empty() {
        "the document".to_owned()
    } else {
        format!("`{path}`")
    };
    let message = format!("{what} must be {wanted}, not {found}");
    let diagnostic = Diagnostic::error(Code::WrongType, &node.at, message).path(path);
    decoder.undecodable(match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    });
}

fn warn_if_ambiguous(decoder: &mut Decoder, node: &Node, path: &str) {
    let Some(scalar) = node.scalar().filter(|s| s.plain && versions_differ(&s.text)) else {
        return;
    };
    let (text, value) = (&scalar.text, scalar.plain_value());
    let read = match value {
        Plain::Bool(value) => value.to_string(),
        Plain::Int(value) => value.to_string(),
        Plain::Float(value) => value.to_string(),
        Plain::Null | Plain::String => return,
    };
    let message = format!("`{text}` is {read} in YAML 1.1, which Kuma reads, and has another value in YAML 1.2");
    decoder.report(
        Diagnostic::warning(Code::AmbiguousScalar, &node.at, message)
            .path(path)
            .help(format!("write {read}")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_an_entry_has_its_key_as_a_text_is_quoted() {
        for key in ["", "kuma.io/service", "a b", "\"", "\\", "ä", "\n"] {
            assert_eq!(key_path("tags", key), format!("tags[{key:?}]"));
        }
    }
}
