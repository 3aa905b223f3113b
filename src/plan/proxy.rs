//! The changes that one proxy may get, each for a reason of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Action, Change};
use super::drift::{Drift, DriftKind};
use super::repair::DriftRepair;
use crate::envoy::FileText;
use crate::envoy::artifact::{Artifact, Files, ProxyKey};

/// The observed and the desired state of one proxy.
#[derive(Debug)]
pub(super) struct ProxyView<'v> {
    pub(super) proxy: &'v ProxyKey,
    /// The files as they are; `None` for a proxy that is not published.
    pub(super) found: Option<&'v Files>,
    /// The files as they are desired; `None` for a proxy that is not desired.
    pub(super) desired: Option<&'v Files>,
    /// The files that are not as they were published.
    pub(super) drift: Vec<&'v Drift>,
    /// The files of the last generation.
    pub(super) last: Option<&'v Files>,
}

impl ProxyView<'_> {
    /// An update to the desired files, except for edited files that `repair` does not admit and of which the same is
    /// desired as was published.
    pub(super) fn update(&self, repair: &DriftRepair) -> Option<Change> {
        let left = self.edits_left(repair);
        let mut before = self.found.cloned();
        // Gone, or no text at all.
        for drift in &self.drift {
            let is_desired = self.desired.is_some_and(|files| files.contains_key(&drift.artifact));
            if let (Some(before), false) = (&mut before, is_desired) {
                before.entry(drift.artifact).or_default();
            }
        }
        let mut after = self.desired.cloned();
        if let Some(after) = &mut after {
            for artifact in &left {
                // An edited file need not hold text.
                match self.found.and_then(|found| found.get(artifact)) {
                    Some(text) => after.insert(*artifact, text.clone()),
                    None => after.remove(artifact),
                };
            }
        }
        let action = match (&before, &after) {
            (before, after) if before == after => return None,
            (None, _) => Action::Add,
            (_, None) => Action::Remove,
            (Some(_), Some(_)) => Action::Change,
        };
        Some(self.change(action, before.unwrap_or_default(), after.unwrap_or_default(), left))
    }

    /// The change of what is published, whatever somebody did to the files on disk: those that shall have the text
    /// that they were published with are not in it.
    pub(super) fn publication(&self) -> Option<Change> {
        let drift: BTreeMap<Artifact, &Drift> = self.drift.iter().map(|drift| (drift.artifact, *drift)).collect();
        let text = |files: Option<&Files>, artifact| files.and_then(|files| files.get(&artifact)).cloned();
        let (mut before, mut after) = (Files::new(), Files::new());
        let all = [self.found, self.desired]
            .into_iter()
            .flatten()
            .flat_map(|files| files.keys());
        let all: BTreeSet<Artifact> = all.chain(drift.keys()).copied().collect();
        for artifact in all {
            let [found, desired] = [self.found, self.desired].map(|files| text(files, artifact));
            let is_published = match (drift.get(&artifact), &desired) {
                (Some(drift), Some(text)) => drift.was_published(text),
                (Some(_), None) => false,
                (None, _) => found == desired,
            };
            if !is_published {
                let was_published = drift.contains_key(&artifact).then(FileText::default);
                before.extend(found.or(was_published).map(|text| (artifact, text)));
                after.extend(desired.map(|text| (artifact, text)));
            }
        }
        let action = match (self.found, self.desired) {
            (None, _) => Action::Add,
            (Some(_), None) => Action::Remove,
            (Some(_), Some(_)) if before.is_empty() && after.is_empty() => return None,
            (Some(_), Some(_)) => Action::Change,
        };
        Some(self.change(action, before, after, BTreeSet::new()))
    }

    /// The files that are gone, with the texts that they had, as far as the last generation has them.
    pub(super) fn restore(&self) -> Option<Change> {
        let last = self.last?;
        let texts = self.gone().filter_map(|drift| {
            let text = last.get(&drift.artifact)?;
            drift.was_published(text).then(|| (drift.artifact, text.clone()))
        });
        let restored: Files = texts.collect();
        if restored.is_empty() {
            return None;
        }
        let before = self.found.cloned().unwrap_or_default();
        let mut after = before.clone();
        let left = self
            .drifted()
            .filter(|artifact| !restored.contains_key(artifact))
            .collect();
        after.extend(restored);
        Some(self.change(Action::Change, before, after, left))
    }

    /// The clusters and listeners once more, as they are. Edited ones are not ours to deliver.
    pub(super) fn redeliver(&self) -> Option<Change> {
        let left: BTreeSet<Artifact> = self.drifted().collect();
        let after = self.found?.clone();
        if left.iter().any(|artifact| artifact.is_dynamic()) || !after.keys().any(|artifact| artifact.is_dynamic()) {
            return None;
        }
        let mut before = after.clone();
        before.retain(|artifact, _| !artifact.is_dynamic());
        Some(self.change(Action::Change, before, after, left))
    }

    /// The edited files that stay as they are.
    ///
    /// Clusters and listeners stay only together: when either of the two is to change, both are published, since what
    /// was edited may not fit the new other half.
    fn edits_left(&self, repair: &DriftRepair) -> BTreeSet<Artifact> {
        let (Some(found), Some(desired)) = (self.found, self.desired) else {
            return BTreeSet::new();
        };
        let drift: BTreeMap<Artifact, &Drift> = self.drift.iter().map(|drift| (drift.artifact, *drift)).collect();
        let stays_as_published = |artifact: &Artifact| match drift.get(artifact) {
            Some(drift) => {
                let is_repaired = drift.kind == DriftKind::Edited && repair.admits(drift);
                !is_repaired && desired.get(artifact).is_some_and(|text| drift.was_published(text))
            }
            None => found.get(artifact) == desired.get(artifact),
        };
        let stays = |artifact: &Artifact| {
            drift[artifact].kind == DriftKind::Edited && partners(*artifact).iter().all(stays_as_published)
        };
        drift.keys().copied().filter(stays).collect()
    }

    fn gone(&self) -> impl Iterator<Item = &Drift> {
        self.drift
            .iter()
            .copied()
            .filter(|drift| drift.kind != DriftKind::Edited)
    }

    fn drifted(&self) -> impl Iterator<Item = Artifact> {
        self.drift.iter().map(|drift| drift.artifact)
    }

    fn change(&self, action: Action, before: Files, after: Files, left: BTreeSet<Artifact>) -> Change {
        Change {
            proxy: self.proxy.clone(),
            action,
            before,
            after,
            left,
        }
    }
}

/// A file together with those that make sense only with it.
fn partners(artifact: Artifact) -> Vec<Artifact> {
    match artifact {
        Artifact::Cds | Artifact::Lds => vec![Artifact::Cds, Artifact::Lds],
        alone => vec![alone],
    }
}
