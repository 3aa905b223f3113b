//! The policies, read and compiled.

use super::cache::Cache;
use super::stages::{Stage, Stopwatch};
use crate::apply::{Intent, Target};
use crate::compile::{Compiled, Extent};
use crate::diag::Diagnostic;
use crate::plan::guard::Guard;
use crate::plan::{self, Applied, Constraints, Desired, DriftRepair, Held, Observed};
use crate::settings::{OnError, Settings, SettingsError};
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
    /// The hash of the files.
    pub revision: String,
    /// The name of the files for people.
    pub name: String,
    /// The result of their compilation.
    pub compiled: Compiled,
    /// All findings about the policies, sorted.
    pub findings: Vec<Diagnostic>,
    /// The meshes that the findings hold.
    pub held: Held,
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
        let compiled = stopwatch.time(Stage::Compile, || cache.compiler.compile(&snapshot, &options));
        let findings = compiled.findings();
        let held = Held::by(&findings);
        let held = match settings.on_error {
            OnError::HoldMesh => held,
            OnError::HoldAll => held.all_or_nothing(),
        };
        let revision = snapshot.revision();
        Ok(Ok(Self {
            read: cache.reader.work(),
            name: snapshot.describe(&revision),
            revision,
            snapshot,
            compiled,
            findings,
            held,
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
            held: &self.held,
            drift_repair,
            guard: Some(guard),
            approved: intent.approved.as_deref(),
        }
    }

    /// The number of published proxies that the policies would change.
    pub(super) fn would_change(&self, applied: &Applied) -> usize {
        let observed = Observed::from(applied.clone());
        let constraints = Constraints {
            held: &self.held,
            ..Constraints::default()
        };
        let planned = plan::plan(&observed, Desired::Files(&self.compiled.fragments), &constraints);
        planned.plan.changes.len()
    }
}
