//! The options of one reconciliation.

use crate::plan::DriftRepair;
use crate::settings::{OnDrift, Settings};
use crate::source::Scan;

/// The options of one reconciliation.
#[derive(Debug, Clone, Default)]
pub struct ReconcileOptions {
    /// The edited files that are repaired.
    pub drift_repair: DriftRepair,
    /// The policy files that are looked at.
    pub scan: Scan,
    /// Whether every Envoy is asked what it has, rather than only those whose files change.
    pub probe_all: bool,
}

impl ReconcileOptions {
    /// The options of a reconciliation that is not repeated: without pauses between repairs.
    #[must_use]
    pub fn once(settings: &Settings) -> Self {
        let drift_repair = match settings.drift {
            OnDrift::Report => DriftRepair::Off,
            OnDrift::Heal => DriftRepair::All,
        };
        Self {
            drift_repair,
            ..Self::default()
        }
    }
}
