//! What to change: a [`Plan`] is a value that `diff` prints and `run` carries out.
//!
//! [`plan`] compares what is applied with what is desired. How a step is carried out is not known here.

pub mod digest;
pub mod drift;
pub mod guard;
pub mod steps;
pub mod summary;

pub use drift::{Drift, forget_equal, leave_edited};
pub use guard::guard;
pub use steps::{Step, steps};

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Diagnostic, Holds};
use crate::envoy::artifact::{Artifact, Files, Fragments, ProxyKey};
use crate::words::printable;

/// What is on disk and ours.
pub type Applied = BTreeMap<ProxyKey, Files>;

/// Meshes that must keep what is applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// All of them.
    pub all: bool,
    /// Those by name.
    pub meshes: BTreeSet<String>,
}

impl Held {
    /// What these findings hold.
    #[must_use]
    pub fn by<'d>(findings: impl IntoIterator<Item = &'d Diagnostic>) -> Self {
        let mut held = Self::default();
        for finding in findings {
            match &finding.holds {
                Holds::Nothing => {}
                Holds::Meshes(meshes) => held.meshes.extend(meshes.iter().cloned()),
                Holds::All => held.all = true,
            }
        }
        held
    }

    /// The same, or everything if anything at all is held.
    #[must_use]
    pub fn all_or_nothing(self) -> Self {
        Self {
            all: !self.is_empty(),
            meshes: self.meshes,
        }
    }

    /// Whether a mesh must keep what is applied.
    #[must_use]
    pub fn contains(&self, mesh: &str) -> bool {
        self.all || self.meshes.contains(mesh)
    }

    /// What follows from it, behind a count of findings: `; nothing was written for mesh payments`.
    #[must_use]
    pub fn consequence(&self) -> String {
        let meshes: Vec<&str> = self.meshes.iter().map(String::as_str).collect();
        match (self.all, meshes.as_slice()) {
            (true, _) => "; nothing was written".to_owned(),
            (false, []) => String::new(),
            (false, [mesh]) => format!("; nothing was written for mesh {}", printable(mesh)),
            (false, meshes) => format!("; nothing was written for the meshes {}", printable(&meshes.join(", "))),
        }
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && self.meshes.is_empty()
    }
}

/// What to change, sorted by proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// One entry per proxy that changes.
    pub changes: Vec<Change>,
}

/// What to change for one proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The proxy.
    pub proxy: ProxyKey,
    /// In one word.
    pub action: Action,
    /// Its files as they are.
    pub before: Files,
    /// Its files as they shall be.
    pub after: Files,
}

impl Change {
    /// The files that get another text, or come or go.
    pub fn changed(&self) -> impl Iterator<Item = Artifact> {
        let differs = |artifact: &Artifact| self.before.get(artifact) != self.after.get(artifact);
        Artifact::ALL.into_iter().filter(differs)
    }
}

/// What happens to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is new.
    Add,
    /// Some of its files change.
    Change,
    /// It goes.
    Remove,
}

/// What has to change so that `desired` is applied; held meshes stay as they are.
#[must_use]
pub fn plan(applied: &Applied, desired: &Fragments, held: &Held) -> Plan {
    let proxies: BTreeSet<&ProxyKey> = applied.keys().chain(desired.keys()).collect();
    let changes = proxies
        .into_iter()
        .filter(|proxy| !held.contains(&proxy.mesh))
        .filter_map(|proxy| {
            let (before, after) = (applied.get(proxy), desired.get(proxy));
            let action = match (before, after) {
                (None, Some(_)) => Action::Add,
                (Some(_), None) => Action::Remove,
                (before, after) if before == after => return None,
                _ => Action::Change,
            };
            let files = |files: Option<&Files>| files.cloned().unwrap_or_default();
            Some(Change {
                proxy: proxy.clone(),
                action,
                before: files(before),
                after: files(after),
            })
        });
    Plan {
        changes: changes.collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, btree_set};
    use proptest::prelude::*;

    use super::*;
    use crate::envoy::artifact::Artifact;
    use crate::envoy::xds;

    /// Fragments of a small world, so that two of them have much in common.
    fn fragments() -> impl Strategy<Value = Fragments> {
        let clusters = btree_set(0..3_u8, 0..3).prop_map(|names| {
            let resources = names.iter().map(|name| serde_json::json!({"name": format!("c{name}")}));
            (Artifact::Cds, xds::response(resources.collect()))
        });
        let other = btree_map((1..Artifact::ALL.len()).prop_map(|i| Artifact::ALL[i]), "[ab]", 0..4);
        let files = (clusters, other).prop_map(|(cds, other)| other.into_iter().chain([cds]).collect::<Files>());
        let proxy = ("[xy]", "[pqr]").prop_map(|(mesh, dataplane)| ProxyKey::new(mesh, dataplane));
        btree_map(proxy, files, 0..5)
    }

    fn carry_out(plan: &Plan, applied: &mut Applied) {
        for change in &plan.changes {
            let files = applied.entry(change.proxy.clone()).or_default();
            for step in steps(change) {
                match step {
                    Step::Write(artifact, text) => assert_ne!(files.insert(artifact, text.clone()), Some(text)),
                    Step::Remove(artifact) => assert!(files.remove(&artifact).is_some()),
                }
            }
            if files.is_empty() {
                applied.remove(&change.proxy);
            }
        }
    }

    proptest! {
        #[test]
        fn carrying_out_a_plan_reaches_what_is_desired(mut a in fragments(), b in fragments()) {
            carry_out(&plan(&a, &b, &Held::default()), &mut a);
            prop_assert_eq!(&a, &b);
            prop_assert_eq!(plan(&a, &b, &Held::default()), Plan::default());
        }

        #[test]
        fn what_is_held_stays(mut a in fragments(), b in fragments(), all in any::<bool>()) {
            let before = a.clone();
            let held = Held { all, meshes: BTreeSet::from(["x".to_owned()]) };
            carry_out(&plan(&a, &b, &held), &mut a);
            for (proxy, files) in before.iter().filter(|(proxy, _)| held.contains(&proxy.mesh)) {
                prop_assert_eq!(a.get(proxy), Some(files));
            }
            prop_assert!(a.keys().all(|proxy| !held.contains(&proxy.mesh) || before.contains_key(proxy)));
        }
    }
}
