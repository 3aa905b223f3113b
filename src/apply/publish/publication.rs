//! The result of a publication.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::apply::error::{ApplyError, Result};
use crate::envoy::artifact::ProxyKey;
use crate::plan::{Action, Change};
use crate::words::with_causes;

/// The result of a publication.
#[derive(Debug, Default)]
pub struct Publication {
    /// The result for every proxy of the plan.
    pub proxies: BTreeMap<ProxyKey, ProxyResult>,
    /// The number of files and directories that got back their mode or owner.
    pub permissions_restored: usize,
    /// The proxies of which a file or directory could not get back its mode or owner, or could not be removed, with
    /// the reason.
    pub cleanup_failures: Vec<(ProxyKey, ApplyError)>,
    /// The number of the generation that was recorded.
    pub generation: Option<u64>,
    /// The time that was left to do when all files were in place: the cleanup, the generation, and the last sync.
    pub recording: Duration,
    /// Errors that keep nothing from being published: of mode and owner of the output directory, and of the history.
    pub warnings: Vec<ApplyError>,
}

/// The result for one proxy.
#[derive(Debug)]
pub struct ProxyResult {
    /// The kind of its change.
    pub action: Action,
    /// The answer of its Envoy; an error when its files could not be published.
    pub delivery: Result<Delivery>,
}

/// The answer of the Envoy of a proxy to its new files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Envoy accepted them.
    Acked,
    /// Envoy does not run, and reads them when it starts.
    NotRunning,
    /// Envoy reads none of the files that changed, or is removed with its dataplane.
    NotApplicable,
    /// Envoy cannot be asked: no admin interface is known to be its own.
    Unverifiable,
    /// Envoy did not answer in time, with the reason as far as it is known. The next run goes on with it.
    Pending(String),
    /// Envoy or the validator rejected them, now or in a run before, with the reason. The proxy keeps its earlier
    /// files.
    Nacked(String),
}

impl Delivery {
    /// Whether the files on disk are the desired ones.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::Acked | Self::NotRunning | Self::NotApplicable | Self::Unverifiable => true,
            Self::Pending(_) | Self::Nacked(_) => false,
        }
    }
}

impl ProxyResult {
    /// Whether the files on disk are the desired ones.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.delivery.as_ref().is_ok_and(Delivery::is_done)
    }

    /// Whether Envoy or the validator rejected the files.
    #[must_use]
    pub fn is_nacked(&self) -> bool {
        matches!(self.delivery, Ok(Delivery::Nacked(_)))
    }
}

impl Publication {
    /// The number of proxies with this answer.
    #[must_use]
    pub fn count(&self, delivery: &Delivery) -> usize {
        let has = |result: &&ProxyResult| result.delivery.as_ref().is_ok_and(|answer| answer == delivery);
        self.proxies.values().filter(has).count()
    }

    /// The proxies whose files on disk are not the desired ones, with the reason of each.
    pub fn failures(&self) -> impl Iterator<Item = (&ProxyKey, String)> {
        let of_proxies = self.proxies.iter().filter_map(|(proxy, result)| match &result.delivery {
            Ok(Delivery::Nacked(why)) => Some((proxy, format!("Envoy says {why:?}; it keeps the files from before until others are desired, or `meshtraced heal` tries these again"))),
            Ok(Delivery::Pending(why)) => Some((proxy, format!("{why}; the next run retries"))),
            Ok(Delivery::Acked | Delivery::NotRunning | Delivery::NotApplicable | Delivery::Unverifiable) => None,
            Err(error) => Some((proxy, with_causes(error))),
        });
        of_proxies.chain(
            self.cleanup_failures
                .iter()
                .map(|(proxy, error)| (proxy, with_causes(error))),
        )
    }

    /// The value of a result; an error becomes a warning.
    pub(super) fn or_warn<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.warnings.push(error)).ok()
    }

    pub(super) fn set(&mut self, change: &Change, delivery: Result<Delivery>) {
        let action = change.action;
        self.proxies
            .insert(change.proxy.clone(), ProxyResult { action, delivery });
    }
}
