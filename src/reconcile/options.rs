//! The options of one reconciliation.

use crate::plan::DriftRepair;

/// The options of one reconciliation.
#[derive(Debug, Clone, Default)]
pub struct ReconcileOptions {
    /// The edited files that are repaired.
    pub drift_repair: DriftRepair,
    /// Whether every Envoy is asked what it has, rather than only those whose files change.
    pub probe_all: bool,
}
