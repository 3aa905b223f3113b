//! The headers of requests to collectors.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use super::file_path::FilePath;
use crate::settings_value::SettingValue;

/// The name of a header, in lower case as HTTP/2 has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderName(String);

/// The headers that make a request what it is; Envoy sets them.
const OWN_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl FromStr for HeaderName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "!#$%&'*+-.^_`|~".contains(c);
        if text.chars().any(|c| c.is_ascii_uppercase()) {
            let lower = text.to_ascii_lowercase();
            Err(format!(
                "`{text}` has capital letters, which HTTP/2 forbids; write `{lower}`"
            ))
        } else if text.is_empty() || !text.chars().all(fits) {
            Err(format!("`{text}` is not the name of a header; example: x-api-key"))
        } else if OWN_HEADERS.contains(&text) || text.starts_with("grpc-") || text.starts_with("proxy-") {
            Err(format!("`{text}` is a header that Envoy sets"))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SettingValue for HeaderName {
    fn name() -> Cow<'static, str> {
        "the name of a header".into()
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "pattern": "^[a-z0-9!#$%&'*+.^_`|~-]+$"})
    }
}

setting_value!(HeaderName);

/// The source of the value of a header.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "HeaderSourceKeys", into = "HeaderSourceKeys")]
#[schemars(with = "HeaderSourceKeys")]
pub enum HeaderSource {
    /// A file; a line end behind the value is not part of it.
    File(FilePath),
    /// A variable of the environment of meshtraced.
    Env(String),
    /// The settings themselves.
    Value(String),
}

/// The keys of a source, of which exactly one is set.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "HeaderSource")]
struct HeaderSourceKeys {
    /// The file with the value; a line end behind it is not part of it. Envoys get a change at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FilePath>,
    /// The variable of the environment of meshtraced with the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<String>,
    /// The value itself, for what is no key.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl TryFrom<HeaderSourceKeys> for HeaderSource {
    type Error = String;

    fn try_from(keys: HeaderSourceKeys) -> Result<Self, String> {
        match (keys.file, keys.env, keys.value) {
            (Some(path), None, None) => Ok(Self::File(path)),
            (None, Some(name), None) => Ok(Self::Env(name)),
            (None, None, Some(value)) => match unsendable(&value) {
                Some(why) => Err(format!("`value` {why}")),
                None => Ok(Self::Value(value)),
            },
            _ => Err("exactly one of `file`, `env` and `value` must be set".to_owned()),
        }
    }
}

impl From<HeaderSource> for HeaderSourceKeys {
    fn from(source: HeaderSource) -> Self {
        let (mut file, mut env, mut value) = (None, None, None);
        match source {
            HeaderSource::File(path) => file = Some(path),
            HeaderSource::Env(name) => env = Some(name),
            HeaderSource::Value(text) => value = Some(text),
        }
        Self { file, env, value }
    }
}

impl fmt::Display for HeaderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Env(name) => write!(f, "${name}"),
            Self::Value(_) => f.write_str("the settings"),
        }
    }
}

/// The reason why a text cannot be the value of a header; it does not show the text.
pub(super) fn unsendable(value: &str) -> Option<&'static str> {
    match value {
        "" => Some("is empty"),
        value if value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) => None,
        _ => Some("has characters that no header can have"),
    }
}

/// Headers by their names.
pub type Headers = BTreeMap<HeaderName, HeaderSource>;

/// The headers in words: their names, and where their values come from.
#[must_use]
pub fn in_words(headers: &Headers) -> String {
    let each = headers.iter().map(|(name, source)| format!("{name} from {source}"));
    each.collect::<Vec<_>>().join(", ")
}
