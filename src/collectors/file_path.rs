//! The path of a file that connections to collectors need.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{Schema, json_schema};

use crate::settings_value::SettingValue;
use crate::source::ProxyPath;

/// The absolute path of a file with a key or with certificates, without braces, `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePath(ProxyPath);

impl FilePath {
    /// The path as one among those of the files that are read beside the policies.
    #[must_use]
    pub fn as_base(&self) -> &ProxyPath {
        &self.0
    }
}

impl FromStr for FilePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.contains(['{', '}']) {
            true => Err(format!("`{text}` must be a path without braces")),
            false => text.parse().map(Self),
        }
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl SettingValue for FilePath {
    fn name() -> Cow<'static, str> {
        "an absolute path".into()
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "pattern": "^/[^{}]+$"})
    }
}

setting_value!(FilePath);
