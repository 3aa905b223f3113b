//! Users and groups by number or by name.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::str::FromStr;

use schemars::{Schema, json_schema};

use crate::settings_value::SettingValue;

/// A user that owns files.
///
/// Names are those of `/etc/passwd`. Names that only NSS knows, from LDAP or `userdb`, are not found; such a user is
/// given by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User(pub u32);

/// A group of files; names are those of `/etc/group`, as [`User`] has those of `/etc/passwd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group(pub u32);

/// The id of a name in a table of the system, or the number that stands in its place.
fn id(noun: &str, name: &str, table: &str) -> Result<u32, String> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let text = fs::read_to_string(table).map_err(|error| format!("cannot look up `{name}` in {table}: {error}"))?;
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    });
    found.ok_or_else(|| format!("this machine has no {noun} `{name}`"))
}

impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        id("user", text, "/etc/passwd").map(Self)
    }
}

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        id("group", text, "/etc/group").map(Self)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl SettingValue for User {
    fn name() -> Cow<'static, str> {
        "a user, by name or number".into()
    }

    fn schema() -> Schema {
        json_schema!({"type": ["string", "integer"]})
    }
}

impl SettingValue for Group {
    fn name() -> Cow<'static, str> {
        "a group, by name or number".into()
    }

    fn schema() -> Schema {
        json_schema!({"type": ["string", "integer"]})
    }
}

setting_value!(User);
setting_value!(Group);
