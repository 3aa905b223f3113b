//! Settings as they are written: every key is optional, and most values are still text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use super::error::{SettingsError, invalid};
use super::reload;
use crate::select::scope::Rule;

/// Settings as they are written; every key is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSettings {
    pub(super) policies: Option<OneOrMore>,
    pub(super) include: Option<Vec<String>>,
    pub(super) exclude: Vec<String>,
    pub(super) source: Option<String>,
    pub(super) out: Option<PathBuf>,
    pub(super) kuma: RawKuma,
    pub(super) services: BTreeMap<String, String>,
    pub(super) select: Vec<Rule>,
    pub(super) debounce: Option<String>,
    pub(super) debounce_max: Option<String>,
    pub(super) rescan: Option<String>,
    pub(super) owner: Option<Scalar>,
    pub(super) group: Option<Scalar>,
    pub(super) mode: Option<Scalar>,
    pub(super) on_error: Option<String>,
    pub(super) guard: RawGuard,
    pub(super) drift: Option<String>,
    pub(super) history: Option<Scalar>,
    pub(super) reload: Vec<reload::RawReload>,
    pub(super) envoy: RawEnvoy,
    pub(super) limits: RawLimits,
    pub(super) control: RawControl,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawControl {
    pub(super) socket: Option<PathBuf>,
    pub(super) listen: Option<String>,
}

/// `policies`: one of them, or a list.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(RawSource),
    More(Vec<RawSource>),
}

/// A source: its path alone, or with values for variables.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum RawSource {
    Path(PathBuf),
    Template { path: PathBuf, vars: Mapping },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawKuma {
    pub(super) version: Option<Scalar>,
    pub(super) fidelity: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) system_namespace: Option<String>,
    pub(super) unified_naming: Option<Flag>,
    pub(super) ties: Option<String>,
}

/// A boolean, which a variable can only hold as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Flag {
    Value(bool),
    Text(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawGuard {
    pub(super) max_removed: Option<Scalar>,
    pub(super) max_changed: Option<Scalar>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawEnvoy {
    pub(super) admin: Option<String>,
    pub(super) validate: Option<PathBuf>,
    pub(super) confirm_timeout: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub(super) file_bytes: Option<Scalar>,
    pub(super) documents: Option<Scalar>,
    pub(super) depth: Option<Scalar>,
    pub(super) nodes: Option<Scalar>,
    pub(super) alias_nodes: Option<Scalar>,
    pub(super) findings_per_file: Option<Scalar>,
}

/// A scalar that people write with and without quotes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Text(String),
    Whole(u64),
    Number(f64),
}

impl Scalar {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
        }
    }
}

pub(super) fn parse(text: &str, origin: &str) -> Result<Value, SettingsError> {
    // Typed first, for messages with lines; the tree is for overriding.
    let _: Option<RawSettings> = serde_yaml::from_str(text).map_err(|error| invalid(origin, error))?;
    let value: Value = serde_yaml::from_str(text).map_err(|error| invalid(origin, error))?;
    Ok(if value.is_null() {
        Value::Mapping(Mapping::new())
    } else {
        value
    })
}
