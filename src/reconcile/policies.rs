//! The policies, read and compiled.

use super::cache::Cache;
use super::overview::Overview;
use super::stages::{Stage, Stopwatch};
use crate::apply::{Intent, Target};
use crate::compile::{Compiled, Extent};
use crate::plan::guard::Guard;
use crate::plan::{Constraints, DriftRepair};
use crate::settings::{Settings, SettingsError};
use crate::source::{Consistency, ReadError, ReadWork, Scan, Snapshot};

/// The purpose of reading the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To publish their files: as of a moment without a Git operation.
    Publish(Scan),
    /// To show a part of the result: as they are.
    Inspect(Extent),
}

/// The policies of one snapshot, compiled.
#[derive(Debug)]
pub struct Policies {
    /// The files that were read.
    pub snapshot: Snapshot,
    /// The work of reading them.
    pub read: ReadWork,
    /// The result of their compilation.
    pub compiled: Compiled,
    /// The result in words and numbers.
    pub overview: Overview,
}

impl Policies {
    /// Reads and compiles the policies. The inner error says why they cannot be read.
    ///
    /// # Errors
    /// When the settings contradict each other.
    pub fn read(
        settings: &Settings,
        target: &Target,
        purpose: Purpose,
        cache: &mut Cache,
        stopwatch: &mut Stopwatch,
    ) -> Result<Result<Self, ReadError>, SettingsError> {
        let (consistency, extent, scan) = match purpose {
            Purpose::Publish(scan) => (Consistency::Stable, Extent::Files, scan),
            Purpose::Inspect(extent) => (Consistency::Dirty, extent, Scan::Full),
        };
        let (sources, limit) = (settings.sources(), settings.limits.file_bytes.get() as u64);
        let read = || cache.reader.read(&sources, limit, consistency, scan);
        let snapshot = match stopwatch.time(Stage::Read, read) {
            Ok(snapshot) => snapshot,
            Err(error) => return Ok(Err(error)),
        };
        let options = settings.options(cache.known(&target.out), extent)?;
        let mut compiled = stopwatch.time(Stage::Compile, || cache.compiler.compile(&snapshot, &options));
        Ok(Ok(Self {
            read: cache.reader.work(),
            overview: Overview::take(&snapshot, &mut compiled, settings.on_error),
            snapshot,
            compiled,
        }))
    }

    /// The limits of a plan that publishes the policies.
    pub(super) fn constraints<'c>(
        &'c self,
        guard: &'c Guard,
        intent: &'c Intent,
        drift_repair: &'c DriftRepair,
    ) -> Constraints<'c> {
        Constraints {
            held: &self.overview.held,
            drift_repair,
            guard: Some(guard),
            approved: intent.approved.as_deref(),
        }
    }
}
