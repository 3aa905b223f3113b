//! Why a turn came to no end.

use crate::apply::ApplyError;
use crate::settings::SettingsError;

/// Why a turn came to no end.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The disk.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}
