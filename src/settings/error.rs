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
    #[error("settings: {origin}: {message}")]
    Invalid {
        /// The file with line and column, or the environment variable.
        origin: String,
        /// The key and the reason.
        message: String,
    },
    /// The path of the output directory is not UTF-8.
    #[error("the output directory {} is not UTF-8, and Envoy's configuration must be", .0.display())]
    Out(PathBuf),
}
