//! The errors of settings.

use std::io;
use std::path::PathBuf;

/// The reason why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The text is not YAML, or a key or value does not fit.
    #[error("the settings in {origin} do not fit: {message}")]
    Invalid {
        /// The file or variable.
        origin: String,
        /// The key or value that does not fit, with its place.
        message: String,
    },
    /// The path of the output directory is not UTF-8.
    #[error("the output directory {} is not UTF-8, and Envoy's configuration must be", .0.display())]
    Out(PathBuf),
}

pub(super) fn invalid(origin: &str, message: impl ToString) -> SettingsError {
    SettingsError::Invalid {
        origin: origin.to_owned(),
        message: message.to_string(),
    }
}
