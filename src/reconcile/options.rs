//! What a turn is to do beside what it always does.

use std::time::Duration;

use crate::plan::repair::RepairBackoff;

/// What a turn is to do beside what it always does.
#[derive(Debug, Default)]
pub struct ReconcileOptions<'f> {
    /// Which published files that somebody edited are restored.
    pub drift_repair: DriftRepair<'f>,
    /// Look at every Envoy, also at those whose files do not change.
    pub probe_all: bool,
}

/// Which published files that somebody edited are restored.
#[derive(Debug, Default)]
pub enum DriftRepair<'f> {
    /// None: they stay until something else is desired in their place.
    #[default]
    Off,
    /// All.
    All,
    /// All but those that were healed too often lately; with the time that has gone by since some fixed moment.
    RateLimited(&'f mut RepairBackoff, Duration),
}
