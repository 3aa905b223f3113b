//! The control plane whose behaviour is compiled.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use crate::settings_value::SettingValue;

/// The Kuma control plane whose behaviour is compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kuma {
    /// The version of Kuma.
    #[schemars(example = Version::V3_0)]
    pub version: Version,
    /// The authority in cases where Kuma's documentation and its control plane differ.
    #[schemars(example = Fidelity::Exact)]
    pub fidelity: Fidelity,
    /// The zone of the control plane: the tag `kuma.io/zone` of dataplanes without one, and with `fidelity: exact` of
    /// every dataplane.
    #[schemars(example = &"eu-west")]
    pub zone: String,
    /// The namespace whose policies may select every dataplane, for policies in Kubernetes form.
    #[schemars(example = &"kong-mesh-system")]
    pub system_namespace: String,
    /// Whether listeners and clusters are named after resources rather than addresses. The default is `true` for 3.0
    /// and `false` for 2.x.
    #[schemars(example = true)]
    pub unified_naming: Option<bool>,
    /// The winner among equally specific policies.
    #[schemars(example = Ties::CreationTime)]
    pub ties: Ties,
}

impl Default for Kuma {
    fn default() -> Self {
        Self {
            version: Version::V2_14,
            fidelity: Fidelity::Documented,
            zone: "default".to_owned(),
            system_namespace: "kuma-system".to_owned(),
            unified_naming: None,
            ties: Ties::Name,
        }
    }
}

/// A version of Kuma.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Kuma 2.13.
    V2_13,
    /// Kuma 2.14.
    V2_14,
    /// Kuma 3.0, as of its development branch.
    V3_0,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2_13 => "2.13",
            Self::V2_14 => "2.14",
            Self::V3_0 => "3.0",
        })
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "2.13" => Ok(Self::V2_13),
            "2.14" => Ok(Self::V2_14),
            // Without quotes, YAML reads a number.
            "3.0" | "3" => Ok(Self::V3_0),
            other => Err(format!("`{other}` must be \"2.13\", \"2.14\" or \"3.0\"")),
        }
    }
}

impl SettingValue for Version {
    fn name() -> Cow<'static, str> {
        "`2.13`, `2.14` or `3.0`".into()
    }

    fn schema() -> Schema {
        json_schema!({"enum": ["2.13", "2.14", "3.0", 2.13, 2.14, 3]})
    }
}

setting_value!(Version);

/// The authority in cases where Kuma's documentation and its control plane differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fidelity {
    /// The documentation decides.
    Documented,
    /// The control plane decides, with its quirks.
    Exact,
}

/// The winner among equally specific policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ties {
    /// The policy with the smallest name wins.
    Name,
    /// The policy with the latest `creationTime` wins, then the one with the smallest name.
    CreationTime,
}
