//! The errors that end a reconciliation.

use crate::apply::ApplyError;
use crate::settings::SettingsError;

/// The reason why a reconciliation could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The output directory cannot be used.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A panic ended the reconciliation, with its message.
    #[error("meshtraced has a bug, which it reported before: {0}")]
    Panic(String),
    /// The settings contradict each other.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}
