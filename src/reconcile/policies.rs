//! The policies, read and compiled.

use std::path::PathBuf;
use std::sync::Arc;

use super::cache::Cache;
use super::overview::Overview;
use super::stages::{Stage, Stopwatch};
use crate::apply::{Intent, Places, Target};
use crate::compile::{Compiled, Extent};
use crate::plan::guard::Guard;
use crate::plan::{Constraints, DriftRepair};
use crate::settings::{Settings, SettingsError};
use crate::source::{Consistency, ReadError, ReadWork, Reader, Revision, Root, Scan, Snapshot, Sources};

/// The purpose of reading the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'p> {
    /// To publish their files: as of a moment without a Git operation.
    Publish(Scan),
    /// To show a part of the result.
    Inspect(&'p Side, Extent),
    /// To compare their files with others.
    Compare(&'p Side),
    /// To show their files elsewhere: with paths relative to the output directory, the same on every machine.
    Render(&'p Side),
}

impl Purpose<'_> {
    /// The state of the policies that is wanted.
    #[must_use]
    pub fn side(&self) -> &Side {
        match self {
            Self::Publish(_) => &Side::Now,
            Self::Inspect(side, _) | Self::Compare(side) | Self::Render(side) => side,
        }
    }
}

/// A state of the policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// The policies as they are now.
    Now,
    /// The policies as of a revision of their repository; those outside of repositories as they are now.
    Revision(Revision),
    /// The policies in another directory.
    Directory(PathBuf),
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
        let extent = match purpose {
            Purpose::Publish(_) | Purpose::Compare(_) | Purpose::Render(_) => Extent::Files,
            Purpose::Inspect(_, extent) => extent,
        };
        let known = match purpose {
            Purpose::Publish(_) | Purpose::Inspect(Side::Now, _) => cache.known(&target.out),
            // What was read here before says nothing of other policies.
            Purpose::Inspect(..) | Purpose::Compare(_) | Purpose::Render(_) => Arc::default(),
        };
        let snapshot = match stopwatch.time(Stage::Read, || read(settings, purpose, &mut cache.reader)) {
            Ok(snapshot) => snapshot,
            Err(error) => return Ok(Err(error)),
        };
        let read = cache.reader.work();
        if let Purpose::Inspect(..) = purpose {
            // Nothing is read after that.
            cache.reader.forget();
        }
        let mut options = settings.options(known, extent)?;
        if let Purpose::Render(_) = purpose {
            ".".clone_into(&mut options.env.out);
        }
        let mut compiled = stopwatch.time(Stage::Compile, || cache.compiler.compile(&snapshot, &options));
        Ok(Ok(Self {
            read,
            overview: Overview::take(&snapshot, &mut compiled, settings.on_error),
            snapshot,
            compiled,
        }))
    }

    /// The places of the files of all proxies that are compiled.
    pub(super) fn places(&self) -> Places<'_> {
        Places {
            desired: &self.compiled.fragments,
            elsewhere: &self.compiled.elsewhere,
        }
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

fn read(settings: &Settings, purpose: Purpose, reader: &mut Reader) -> Result<Snapshot, ReadError> {
    let (sources, limit) = (settings.sources(), settings.limits.file_bytes.get() as u64);
    if let Purpose::Publish(scan) = purpose {
        return reader.read(&sources, limit, Consistency::Stable, scan);
    }
    match purpose.side() {
        Side::Now => reader.read(&sources, limit, Consistency::Dirty, Scan::Full),
        Side::Revision(revision) => reader.read_revision(&sources, limit, revision),
        Side::Directory(path) => {
            let root = Root {
                path: path.clone(),
                vars: None,
            };
            let elsewhere = Sources {
                roots: vec![root],
                ..sources
            };
            reader.read(&elsewhere, limit, Consistency::Dirty, Scan::Full)
        }
    }
}
