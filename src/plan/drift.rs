//! Published files that are not as they were published, and what to do about them.
//!
//! A file that is gone comes back. A file that somebody edited may be an emergency measure: it stays as it is, and is
//! told of, until other bytes are desired in its place or healing is asked for. Who heals a file again and again is in a
//! fight with somebody else's program: [`RepairBackoff`](super::repair::RepairBackoff) makes the pauses longer each time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::digest::Digest;
use super::observed::Applied;
use crate::envoy::artifact::{Artifact, Files, Fragments, ProxyKey};

/// A published file that is not as it was published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drift {
    /// Whose file.
    pub proxy: ProxyKey,
    /// Which file.
    pub artifact: Artifact,
    /// What became of it.
    pub kind: DriftKind,
    /// What was published: one text, or those of a publication that did not come to its end.
    pub published: BTreeSet<Digest>,
}

/// What became of a published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftKind {
    /// It holds something else.
    Edited,
    /// It is gone.
    Missing,
    /// Something stands there that is no file, or that may not be read.
    Replaced,
}

impl fmt::Display for DriftKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Edited => "was edited by somebody else",
            Self::Missing => "was removed by somebody else",
            Self::Replaced => "is no readable file any more",
        })
    }
}

impl Drift {
    /// In words, with what becomes of it: `is_left` when it stays as it is.
    #[must_use]
    pub fn describe(&self, is_left: bool) -> String {
        if is_left {
            format!("{self}, and stays so until something else is published there; `meshtraced heal` restores it")
        } else {
            format!("{self}; it is published again")
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.proxy, self.artifact.path(), self.kind)
    }
}

/// Leaves out the files that came to what is desired in another way: there is nothing to say or to do about them.
pub fn forget_equal(drift: &mut Vec<Drift>, applied: &Applied, desired: &Fragments) {
    let text = |files: &Fragments, drift: &Drift| files.get(&drift.proxy)?.get(&drift.artifact).cloned();
    drift.retain(|drift| {
        let found = text(applied, drift);
        found.is_none() || found != text(desired, drift)
    });
}

/// Keeps edited files out of a plan that is made afterwards: those for which still the same is desired as was published.
///
/// Clusters and listeners stay only together: when either of the two is to change, both are published, since what was
/// edited may not fit the new other half. The answer has the files that are left as they are.
pub fn leave_edited(applied: &mut Applied, desired: &Fragments, drift: &[Drift]) -> Vec<Drift> {
    let drifted: BTreeMap<(&ProxyKey, Artifact), &Drift> = drift
        .iter()
        .map(|drift| ((&drift.proxy, drift.artifact), drift))
        .collect();
    let mut left = Vec::new();
    for drift in drift.iter().filter(|drift| drift.kind == DriftKind::Edited) {
        let (Some(found), Some(wanted)) = (applied.get(&drift.proxy), desired.get(&drift.proxy)) else {
            continue;
        };
        let is_as_published = |artifact: Artifact| match drifted.get(&(&drift.proxy, artifact)) {
            Some(drift) => wanted
                .get(&artifact)
                .is_some_and(|text| drift.published.contains(&Digest::of(text))),
            None => found.get(&artifact) == wanted.get(&artifact),
        };
        if partners(drift.artifact)
            .iter()
            .all(|artifact| is_as_published(*artifact))
            && found.get(&drift.artifact) != wanted.get(&drift.artifact)
        {
            left.push(drift.clone());
        }
    }
    for drift in &left {
        pretend(
            applied.entry(drift.proxy.clone()).or_default(),
            &desired[&drift.proxy],
            drift.artifact,
        );
    }
    left
}

/// Makes a file look as desired.
fn pretend(found: &mut Files, wanted: &Files, artifact: Artifact) {
    if let Some(text) = wanted.get(&artifact) {
        found.insert(artifact, text.clone());
    }
}

/// The files that make sense only together with that one, and itself.
fn partners(artifact: Artifact) -> &'static [Artifact] {
    match artifact {
        Artifact::Cds | Artifact::Lds => &[Artifact::Cds, Artifact::Lds],
        Artifact::Bootstrap => &[Artifact::Bootstrap],
        Artifact::Fragment => &[Artifact::Fragment],
        Artifact::Effective => &[Artifact::Effective],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Held, plan};

    fn key() -> ProxyKey {
        ProxyKey::new("default", "web")
    }

    fn one(files: &[(Artifact, &str)]) -> Applied {
        let files = files.iter().map(|(artifact, text)| (*artifact, (*text).to_owned()));
        BTreeMap::from([(key(), files.collect())])
    }

    fn drift(artifact: Artifact, kind: DriftKind, published: &str) -> Drift {
        Drift {
            proxy: key(),
            artifact,
            kind,
            published: BTreeSet::from([Digest::of(published)]),
        }
    }

    /// Which files change when these are found and desired, and these drifted.
    fn check(found: &[(Artifact, &str)], wanted: &[(Artifact, &str)], drifts: &[Drift], changed: &[Artifact]) {
        let (mut applied, desired) = (one(found), one(wanted));
        leave_edited(&mut applied, &desired, drifts);
        let plan = plan(&applied, &desired, &Held::default());
        let all: Vec<Artifact> = plan.changes.iter().flat_map(|change| change.changed()).collect();
        assert_eq!(all, changed);
    }

    #[test]
    fn an_edited_file_stays_until_something_else_is_desired() {
        use Artifact::{Bootstrap, Cds, Lds};
        use DriftKind::{Edited, Missing};
        let edited = [drift(Bootstrap, Edited, "b")];
        check(&[(Bootstrap, "mine")], &[(Bootstrap, "b")], &edited, &[]);
        check(&[(Bootstrap, "mine")], &[(Bootstrap, "c")], &edited, &[Bootstrap]);
        // No text at all.
        check(&[], &[(Bootstrap, "b")], &edited, &[]);
        check(
            &[],
            &[(Bootstrap, "b")],
            &[drift(Bootstrap, Missing, "b")],
            &[Bootstrap],
        );
        // Listeners stay while their clusters do.
        let edited = [drift(Lds, Edited, "l")];
        check(&[(Cds, "c"), (Lds, "mine")], &[(Cds, "c"), (Lds, "l")], &edited, &[]);
        check(
            &[(Cds, "c"), (Lds, "mine")],
            &[(Cds, "d"), (Lds, "l")],
            &edited,
            &[Cds, Lds],
        );
        let with_gone = [drift(Lds, Edited, "l"), drift(Cds, Missing, "c")];
        check(&[(Lds, "mine")], &[(Cds, "c"), (Lds, "l")], &with_gone, &[Cds]);
    }

    #[test]
    fn an_edit_that_is_what_is_desired_is_none() {
        let mut applied = one(&[(Artifact::Bootstrap, "b")]);
        let desired = applied.clone();
        let drifts = [drift(Artifact::Bootstrap, DriftKind::Edited, "a")];
        assert_eq!(leave_edited(&mut applied, &desired, &drifts), []);
        for (found, wanted, left) in [("b", "b", 0), ("c", "b", 1)] {
            let [applied, desired] = [found, wanted].map(|text| one(&[(Artifact::Bootstrap, text)]));
            let mut drift = drifts.to_vec();
            forget_equal(&mut drift, &applied, &desired);
            assert_eq!(drift.len(), left, "{found} {wanted}");
        }
    }
}
