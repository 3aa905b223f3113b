//! The errors that end a reconciliation.

use crate::apply::ApplyError;
use crate::settings::SettingsError;

/// The reason why a reconciliation could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The output directory.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Settings that contradict each other.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}
