//! The place where files are published, and the way in which that is done.

use std::path::PathBuf;

use super::envoy::EnvoyAdmin;
use super::error::{ApplyError, Result};
use super::store::OutputDir;
use crate::settings::{Admin, Settings};

/// The place where files are published, and the way in which that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The output directory.
    pub out: OutputDir,
    /// The admin interfaces of the Envoys.
    pub envoy: EnvoyAdmin,
    /// The Envoy that validates files before they are published; `None` publishes without.
    pub validator: Option<PathBuf>,
    /// The number of generations that are kept; 0 keeps none.
    pub history: usize,
}

impl Target {
    /// The target that the settings describe.
    ///
    /// # Errors
    /// When the output directory cannot be made absolute.
    pub fn from_settings(settings: &Settings) -> Result<Self> {
        let root = std::path::absolute(&settings.out)
            .map_err(|error| ApplyError::new("make absolute", &settings.out, error))?;
        Ok(Self {
            out: OutputDir {
                root,
                mode: settings.mode.0,
                owner: settings.owner.map(|user| user.0),
                group: settings.group.map(|group| group.0),
                has_sockets: settings.envoy.admin == Admin::Pipe,
            },
            envoy: EnvoyAdmin {
                address: settings.envoy.admin.clone(),
                confirm_timeout: settings.envoy.confirm_timeout.0,
                answer_timeout: settings.envoy.confirm_timeout.0,
            },
            validator: settings.envoy.validate.clone().map(|path| path.0),
            history: settings.history.get(),
        })
    }
}
