//! The order in which the files of one proxy change.
//!
//! A running Envoy reads clusters and listeners at a time of its own, each separately, and rejects a listener that
//! names a cluster it does not have. So clusters are written before the listeners that need them and removed after
//! the listeners that needed them. An Envoy can start from the pair that is on disk between any two steps.

use crate::envoy::FileText;
use crate::envoy::artifact::{Artifact, Files};
use crate::envoy::xds;

/// One change to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Gives the file this text.
    Write(Artifact, FileText),
    /// Removes the file.
    Remove(Artifact),
}

impl Step {
    /// The file that the step writes or removes.
    #[must_use]
    pub fn artifact(&self) -> Artifact {
        match self {
            Self::Write(artifact, _) | Self::Remove(artifact) => *artifact,
        }
    }
}

/// The fewest steps from some files of a proxy to others after each of which an Envoy can start.
#[must_use]
pub fn steps(before: &Files, after: &Files) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut write = |artifact: Artifact| {
        if let Some(text) = differs(before, after, artifact) {
            steps.push(Step::Write(artifact, text.clone()));
        }
    };
    // The sampling of listeners that have none of their own: in the file that Envoy needs to start from the bootstrap.
    write(Artifact::Rtds);
    if needs_restart(before, after) {
        write(Artifact::Bootstrap);
    }
    match first_clusters(before, after) {
        First::New => {
            write(Artifact::Cds);
            write(Artifact::Lds);
        }
        First::Old => {
            write(Artifact::Lds);
            write(Artifact::Cds);
        }
        First::Both(union) => {
            write(Artifact::Lds);
            write(Artifact::Cds);
            steps.insert(0, Step::Write(Artifact::Cds, union.into()));
        }
    }
    for artifact in after.keys().copied().filter(|artifact| !artifact.is_dynamic()) {
        let is_written = artifact == Artifact::Bootstrap && needs_restart(before, after);
        if let Some(text) = differs(before, after, artifact).filter(|_| !is_written) {
            steps.push(Step::Write(artifact, text.clone()));
        }
    }
    if before.contains_key(&Artifact::Rtds)
        && after.contains_key(&Artifact::Lds)
        && !after.contains_key(&Artifact::Rtds)
    {
        // A running Envoy would go on with the last sampling, whatever its listeners say.
        steps.push(Step::Write(Artifact::Rtds, xds::empty_runtime().into()));
    }
    // What starts a proxy goes before what it would start from.
    let gone = before.keys().rev().filter(|artifact| !after.contains_key(artifact));
    steps.extend(gone.copied().map(Step::Remove));
    steps
}

/// Whether listeners that have no sampling of their own take the place of others: only an Envoy that started from the new
/// bootstrap has a sampling for them.
fn needs_restart(before: &Files, after: &Files) -> bool {
    let has = |files: &Files, artifact| files.contains_key(&artifact);
    let is_new = has(after, Artifact::Rtds) && !has(before, Artifact::Rtds);
    is_new && has(before, Artifact::Bootstrap) && has(after, Artifact::Bootstrap)
}

/// The clusters that a proxy needs while its listeners change.
enum First {
    /// The new ones: no old cluster is removed.
    New,
    /// The old ones: no new cluster is added.
    Old,
    /// The union of both.
    Both(String),
}

fn first_clusters(before: &Files, after: &Files) -> First {
    let old = before.get(&Artifact::Cds);
    let (Some(old), Some(new), Some(_)) = (old, after.get(&Artifact::Cds), differs(before, after, Artifact::Lds))
    else {
        return First::New;
    };
    match xds::union(&old.text(), &new.text()) {
        None => First::New,
        Some(union) if union.is_before => First::Old,
        Some(union) => First::Both(union.text),
    }
}

/// The new text of a file, if it differs from the old one.
fn differs<'f>(before: &Files, after: &'f Files, artifact: Artifact) -> Option<&'f FileText> {
    after.get(&artifact).filter(|text| before.get(&artifact) != Some(*text))
}

#[cfg(test)]
mod tests {

    use serde_json::json;

    use super::*;

    fn cds(names: &[&str]) -> String {
        xds::response(&names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>())
    }

    fn files(clusters: &[&str], listeners: &str) -> Files {
        Files::from([
            (Artifact::Cds, cds(clusters).into()),
            (Artifact::Lds, listeners.into()),
            (Artifact::Bootstrap, "b".into()),
        ])
    }

    fn check(before: Files, after: Files, expected: &[Step]) {
        assert_eq!(steps(&before, &after), expected);
    }

    fn write(artifact: Artifact, text: impl Into<FileText>) -> Step {
        Step::Write(artifact, text.into())
    }

    #[test]
    fn clusters_come_before_listeners_and_go_after_them() {
        let expected = [
            write(Artifact::Cds, cds(&["b", "c", "a"])),
            write(Artifact::Lds, "2"),
            write(Artifact::Cds, cds(&["b", "c"])),
        ];
        check(files(&["a", "b"], "1"), files(&["b", "c"], "2"), &expected);
    }

    #[test]
    fn no_step_is_made_without_need() {
        let (cds_only, lds_only) = (write(Artifact::Cds, cds(&["b"])), write(Artifact::Lds, "2"));
        check(files(&["a"], "1"), files(&["b"], "1"), std::slice::from_ref(&cds_only));
        check(files(&["a"], "1"), files(&["a"], "2"), std::slice::from_ref(&lds_only));
        check(files(&["a"], "1"), files(&["a"], "1"), &[]);
        // Clusters only come, or only go.
        let comes = [write(Artifact::Cds, cds(&["a", "b"])), lds_only.clone()];
        check(files(&["a"], "1"), files(&["a", "b"], "2"), &comes);
        let goes = [lds_only, cds_only];
        check(files(&["a", "b"], "1"), files(&["b"], "2"), &goes);
    }

    #[test]
    fn a_new_proxy_can_be_started_only_when_it_is_complete() {
        let expected = [
            write(Artifact::Cds, cds(&["a"])),
            write(Artifact::Lds, "1"),
            write(Artifact::Bootstrap, "b"),
        ];
        check(Files::new(), files(&["a"], "1"), &expected);
        let expected = [Artifact::Bootstrap, Artifact::Lds, Artifact::Cds].map(Step::Remove);
        check(files(&["a"], "1"), Files::new(), &expected);
    }
}
