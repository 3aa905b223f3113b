//! The comparison of what is applied with what is desired.

use std::collections::BTreeSet;

use super::change::{Action, Change, Plan};
use super::held::Held;
use super::observed::Applied;
use crate::envoy::artifact::{Files, Fragments, ProxyKey};

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
    use crate::plan::steps::{Step, steps};

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
