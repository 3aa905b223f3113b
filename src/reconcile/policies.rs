//! The policies, read and compiled.

use super::stages::{Stage, Stopwatch};
use crate::apply::reload::Entries;
use crate::apply::{self, Target};
use crate::compile::{self, Compiled};
use crate::diag::Diagnostic;
use crate::envoy::artifact::ProxyKey;
use crate::explain::World;
use crate::plan::Held;
use crate::settings::{OnError, Settings, SettingsError};
use crate::source::{self, Care, ReadError, Snapshot};

/// What the policies came to.
#[derive(Debug)]
pub struct Policies {
    /// What was read.
    pub snapshot: Snapshot,
    /// What it compiles to.
    pub compiled: Compiled,
    /// What is wrong with it.
    pub findings: Vec<Diagnostic>,
    /// What that keeps from being published.
    pub held: Held,
    /// By which entry of the settings each proxy is reloaded.
    pub reloads: Entries,
}

impl Policies {
    /// Reads and compiles. The inner error says why there is nothing to compile.
    ///
    /// # Errors
    /// When the settings do not allow it.
    pub fn read(
        settings: &Settings,
        target: &Target,
        care: Care,
        stopwatch: &mut Stopwatch,
    ) -> Result<Result<Self, ReadError>, SettingsError> {
        let limit = settings.limits.file_bytes;
        let snapshot = match stopwatch.time(Stage::Read, || source::read(&settings.sources, limit, care)) {
            Ok(snapshot) => snapshot,
            Err(error) => return Ok(Err(error)),
        };
        // It only adds caution, and looking at policies must not depend on the output directory.
        let options = settings.options(apply::contributions::known(target).unwrap_or_default())?;
        let (compiled, reloads) = stopwatch.time(Stage::Compile, || {
            compile::compile_and(&snapshot, &options, |world| entries(world, settings))
        });
        let findings = compiled.findings();
        let held = Held::by(&findings);
        let held = match settings.on_error {
            OnError::HoldMesh => held,
            OnError::HoldAll => held.all_or_nothing(),
        };
        Ok(Ok(Self {
            snapshot,
            compiled,
            findings,
            held,
            reloads,
        }))
    }
}

/// The first entry of `reload` that fits each dataplane.
fn entries(world: &World, settings: &Settings) -> Entries {
    if settings.reload.is_empty() {
        return Entries::new();
    }
    let dataplanes = world.selection.dataplanes.iter().map(|governed| governed.dataplane);
    dataplanes
        .map(|dataplane| {
            let proxy = ProxyKey::new(dataplane.header.mesh(), dataplane.header.name());
            let entry = settings.reload.iter().position(|reload| reload.select.fits(dataplane));
            (proxy, entry)
        })
        .collect()
}
