//! The settings of a run: the file, then the environment, then the command line.

use std::path::Path;
use std::{env, fs};

use serde_yaml::{Mapping, Value};

use super::env::{PREFIX, apply_variable};
use super::error::{SettingsError, invalid};
use super::model::{Overrides, Settings};
use super::raw::{RawSettings, parse};
use super::resolve::resolve;

impl Settings {
    /// Reads the settings: the file, then the environment, then `overrides`.
    ///
    /// # Errors
    /// When the file cannot be read, is not YAML, has an unknown key, or a value does not fit.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, SettingsError> {
        let mut settings = match file {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|source| SettingsError::Read {
                    path: path.to_owned(),
                    source,
                })?;
                parse(&text, &path.display().to_string())?
            }
            None => Value::Mapping(Mapping::new()),
        };
        for (name, value) in env::vars_os() {
            let Some(name) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
                continue;
            };
            apply_variable(&mut settings, name, &value.to_string_lossy())?;
        }
        let origin = file.map_or_else(|| "the environment".to_owned(), |path| path.display().to_string());
        let written: RawSettings = serde_yaml::from_value(settings).map_err(|error| invalid(&origin, error))?;
        resolve(written, overrides, &origin)
    }
}
