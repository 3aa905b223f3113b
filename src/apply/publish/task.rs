//! The task of publishing one proxy, with all texts staged on disk.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::apply::store::inventory::{Left, Owned};
use crate::apply::store::known::Known;
use crate::envoy::artifact::{Artifact, Elsewhere};
use crate::keep::Digest;
use crate::plan::Change;

/// The task of publishing one proxy.
#[derive(Debug)]
pub(super) struct Task<'p> {
    /// The change that the task carries out.
    pub(super) change: &'p Change,
    /// The number of the change in its plan, which is in the names of its staged files.
    pub(super) index: usize,
    /// The steps in the order in which they are taken.
    pub(super) steps: Vec<StagedStep>,
    /// The files of the proxy that are ours, before the first step, at the places where they belong.
    pub(super) owned: Owned,
    /// The places of files that are not below the directory of the proxy.
    pub(super) elsewhere: Elsewhere,
    /// Files of ours at other places.
    pub(super) left: BTreeMap<PathBuf, Left>,
}

impl Task<'_> {
    /// Whether a running Envoy looks for files at the places where they were, so that it cannot confirm them.
    pub(super) fn moves(&self) -> bool {
        let has_moved = |artifact: Artifact| self.left.values().any(|left| left.file == artifact);
        (self.steps.iter())
            .any(|step| matches!(step, StagedStep::Put(file) if step.is_dynamic() && has_moved(file.artifact)))
    }

    /// The files that may be there while the task is under way, with all that each may hold.
    pub(super) fn under_way(&self) -> Owned {
        let mut all = self.owned.clone();
        for step in &self.steps {
            match step {
                StagedStep::Put(file) => {
                    let known = all.entry(file.artifact).or_insert_with(nothing);
                    known.insert(Some(file.digest));
                }
                StagedStep::Remove(artifact) => {
                    all.entry(*artifact).or_default().insert(None);
                }
            }
        }
        all
    }
}

/// The only possibility for a file that is not there yet.
pub(super) fn nothing() -> Known {
    Known::only(None)
}

/// A step, with its text on disk.
#[derive(Debug)]
pub(super) enum StagedStep {
    /// Moves a staged file into its place.
    Put(StagedFile),
    /// Removes a file.
    Remove(Artifact),
}

/// A text in the staging directory.
#[derive(Debug)]
pub(super) struct StagedFile {
    /// The file that it becomes.
    pub(super) artifact: Artifact,
    /// The name in the staging directory.
    pub(super) name: String,
    /// The digest of the text.
    pub(super) digest: Digest,
    /// The `version_info` in the text, if it has one.
    pub(super) version: Option<String>,
}

impl StagedStep {
    /// Whether the step gives a running Envoy a file to read.
    pub(super) fn is_dynamic(&self) -> bool {
        matches!(self, Self::Put(file) if file.artifact.is_dynamic())
    }
}
