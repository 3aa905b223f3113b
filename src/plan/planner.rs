//! The planner: one pure function makes every decision on what is overwritten.

use std::collections::{BTreeMap, BTreeSet};

use super::change::Plan;
use super::drift::Drift;
use super::guard::{Guard, GuardViolation, guard};
use super::held::Held;
use super::observed::{Applied, Observed};
use super::pairs::pairs;
use super::proxy::ProxyView;
use super::repair::DriftRepair;
use crate::envoy::artifact::{Files, Fragments, ProxyKey};

/// The desired state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desired<'d> {
    /// These files, and no other proxies.
    Files(&'d Fragments),
    /// These files, which all proxies have but for some of the given ones.
    Changes(&'d Fragments, &'d BTreeSet<ProxyKey>),
    /// The files that are published, whatever they hold.
    Unchanged,
}

impl<'d> Desired<'d> {
    /// The given files, or else those that are published. `open` has the proxies that may not have them; `None` stands for all.
    #[must_use]
    pub fn new(files: Option<&'d Fragments>, open: Option<&'d BTreeSet<ProxyKey>>) -> Self {
        match (files, open) {
            (Some(files), Some(open)) => Self::Changes(files, open),
            (Some(files), None) => Self::Files(files),
            (None, _) => Self::Unchanged,
        }
    }

    /// The proxies that may not be as they are desired, in the order of their keys, each with its published and its desired files.
    pub(crate) fn open<'o>(
        self,
        applied: &'o Applied,
    ) -> Box<dyn Iterator<Item = (&'o ProxyKey, Option<&'o Files>, Option<&'o Files>)> + 'o>
    where
        'd: 'o,
    {
        match self {
            Self::Files(desired) => Box::new(pairs(applied, desired)),
            Self::Changes(desired, open) => {
                let all = open.iter().map(|proxy| (proxy, applied.get(proxy), desired.get(proxy)));
                Box::new(all.filter(|(_, found, desired)| found.is_some() || desired.is_some()))
            }
            Self::Unchanged => Box::new(pairs(applied, applied)),
        }
    }

    /// The proxies with other files than the desired ones, in the order of their keys.
    pub(crate) fn differing<'o>(self, applied: &'o Applied) -> impl Iterator<Item = &'o ProxyKey>
    where
        'd: 'o,
    {
        let differing = self.open(applied).filter(|(_, found, desired)| found != desired);
        differing.map(|(proxy, ..)| proxy)
    }
}

/// The limits within which a plan has to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Constraints<'c> {
    /// The meshes whose proxies are not updated.
    pub held: &'c Held,
    /// The edited files that are overwritten although the same is desired of them as was published.
    pub drift_repair: &'c DriftRepair,
    /// The number of proxies that one plan may update; `None` for any number.
    pub guard: Option<&'c Guard>,
    /// The id of the plan that somebody approved although it exceeds the guard.
    pub approved: Option<&'c str>,
}

impl Default for Constraints<'_> {
    /// Nothing is held or repaired, and any number of proxies may change.
    fn default() -> Self {
        static NOTHING: Held = Held::NOTHING;
        Self {
            held: &NOTHING,
            drift_repair: &DriftRepair::Off,
            guard: None,
            approved: None,
        }
    }
}

/// A plan, and what it leaves undone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Planned {
    /// The changes to carry out.
    pub plan: Plan,
    /// The published files that are not as they were published, and not as they are desired either; sorted.
    pub drift: Vec<Drift>,
    /// The part of the drift that the plan leaves as it is; sorted.
    pub drift_left: Vec<Drift>,
    /// The reason why nothing new is published: it would be more than the guard allows.
    pub violation: Option<GuardViolation>,
    /// Whether the guard lets the plan pass only because somebody approved it.
    pub is_approved: bool,
}

impl Planned {
    /// Whether the plan leaves an entry of the drift as it is.
    #[must_use]
    pub fn leaves(&self, drift: &Drift) -> bool {
        self.drift_left.binary_search(drift).is_ok()
    }
}

/// Decides what has to change so that the observed state becomes the desired one.
///
/// A proxy is updated to its desired files, except for edited files that are [left](DriftRepair). Some proxies are
/// not updated: those of held meshes; when more than the guard allows would be published anew, those; and all when
/// nothing else is desired than what is published. Of these the files that are gone are restored from the last
/// generation.
///
/// A proxy that is neither updated nor restored gets its clusters and listeners delivered once more if its Envoy runs
/// without them.
///
/// The cost grows with the number of files of the proxies that are published or desired; with [`Desired::Changes`], of the given
/// ones.
#[must_use]
pub fn plan(observed: &Observed, desired: Desired, constraints: &Constraints) -> Planned {
    let drift = drift_from(observed, desired);
    let proxies = views(observed, desired, &drift);
    let is_held = |view: &ProxyView| desired == Desired::Unchanged || constraints.held.contains_proxy(view.proxy);

    let publications = proxies.iter().filter(|view| !is_held(view));
    let publications = Plan {
        changes: publications.filter_map(ProxyView::publication).collect(),
    };
    let limits = constraints.guard;
    let exceeded = limits.and_then(|limits| guard(&publications, observed.applied.len(), limits));
    let is_approved = (exceeded.as_ref()).is_some_and(|violation| violation.is_approved(constraints.approved));
    let violation = exceeded.filter(|_| !is_approved);

    let change = |view: &ProxyView| {
        let is_guarded = violation.is_some() && publications.change(view.proxy).is_some();
        let change = if is_held(view) || is_guarded {
            view.restore()
        } else {
            view.update(constraints.drift_repair)
        };
        change.or_else(|| observed.out_of_sync.contains(view.proxy).then(|| view.redeliver())?)
    };
    let plan = Plan {
        changes: proxies.iter().filter_map(change).collect(),
    };
    let is_written = |drift: &Drift| {
        let change = plan.change(&drift.proxy);
        change.is_some_and(|change| change.changed().any(|artifact| artifact == drift.artifact))
    };
    Planned {
        drift_left: drift.iter().filter(|drift| !is_written(drift)).cloned().collect(),
        plan,
        drift,
        violation,
        is_approved,
    }
}

/// The drift without the files that somebody brought to their desired text: nothing remains to be done or said about
/// them.
fn drift_from(observed: &Observed, desired: Desired) -> Vec<Drift> {
    let (Desired::Files(desired) | Desired::Changes(desired, _)) = desired else {
        return observed.drift.clone();
    };
    let text = |files: &Fragments, drift: &Drift| files.get(&drift.proxy)?.get(&drift.artifact).cloned();
    let is_drift = |drift: &&Drift| {
        let found = text(&observed.applied, drift);
        found.is_none() || found != text(desired, drift)
    };
    observed.drift.iter().filter(is_drift).cloned().collect()
}

/// The proxies that may get a change, in the order of their keys. Most are published as they are desired, and get none.
fn views<'v>(observed: &'v Observed, desired: Desired<'v>, drift: &'v [Drift]) -> Vec<ProxyView<'v>> {
    let mut drift_of: BTreeMap<&ProxyKey, Vec<&Drift>> = BTreeMap::new();
    for drift in drift {
        drift_of.entry(&drift.proxy).or_default().push(drift);
    }
    let view = |(proxy, found, desired)| {
        let drift = drift_of.remove(proxy).unwrap_or_default();
        let is_settled = found == desired && drift.is_empty() && !observed.out_of_sync.contains(proxy);
        (!is_settled).then(|| ProxyView {
            proxy,
            found,
            desired,
            drift,
            last: observed.last_generation.get(proxy),
        })
    };
    desired.open(&observed.applied).filter_map(view).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::envoy::FileText;
    use crate::envoy::artifact::{Artifact, Files};
    use crate::envoy::xds;
    use crate::keep::Digest;
    use crate::plan::drift::DriftKind;
    use crate::plan::guard::Share;
    use crate::plan::steps::{Step, steps};
    use crate::plan::{Change, DriftRepair};

    /// What somebody did to a published file.
    #[derive(Debug, Clone, Copy)]
    enum Tampering {
        Edited,
        MadeBinary,
        Removed,
        Replaced,
    }

    /// The files on disk, and the digests that the inventory has of those that are ours.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Disk {
        /// `None` for something that is no readable text.
        files: BTreeMap<(ProxyKey, Artifact), Option<FileText>>,
        owned: BTreeMap<(ProxyKey, Artifact), Digest>,
        published: Fragments,
        /// The part of the published files that the history has.
        last_generation: Fragments,
    }

    impl Disk {
        fn new(published: &Fragments) -> Self {
            let files = published.iter().flat_map(|(proxy, files)| {
                let text = |(artifact, text): (&Artifact, &FileText)| ((proxy.clone(), *artifact), text.clone());
                files.iter().map(text)
            });
            let files: BTreeMap<_, _> = files.collect();
            Self {
                owned: files.iter().map(|(file, text)| (file.clone(), text.digest())).collect(),
                files: files.into_iter().map(|(file, text)| (file, Some(text))).collect(),
                published: published.clone(),
                last_generation: published.clone(),
            }
        }

        fn tamper(&mut self, tampering: &[Option<Tampering>]) {
            let files: Vec<_> = self.files.keys().cloned().collect();
            for (file, tampering) in files.into_iter().zip(tampering) {
                match tampering {
                    None => {}
                    Some(Tampering::Edited) => drop(self.files.insert(file, Some("edited".into()))),
                    Some(Tampering::MadeBinary | Tampering::Replaced) => drop(self.files.insert(file, None)),
                    Some(Tampering::Removed) => drop(self.files.remove(&file)),
                }
            }
        }

        fn observe(&self, out_of_sync: BTreeSet<ProxyKey>) -> Observed {
            let mut observed = Observed {
                out_of_sync,
                last_generation: self.last_generation.clone(),
                ..Observed::default()
            };
            for ((proxy, artifact), digest) in &self.owned {
                let files = observed.applied.entry(proxy.clone()).or_default();
                let kind = match self.files.get(&(proxy.clone(), *artifact)) {
                    Some(Some(text)) => {
                        files.insert(*artifact, text.clone());
                        (text.digest() != *digest).then_some(DriftKind::Edited)
                    }
                    Some(None) => Some(DriftKind::Replaced),
                    None => Some(DriftKind::Missing),
                };
                observed.drift.extend(kind.map(|kind| Drift {
                    proxy: proxy.clone(),
                    artifact: *artifact,
                    kind,
                    published: BTreeSet::from([*digest]),
                }));
            }
            observed
        }

        /// Does with a plan what a publication does: its steps, and the removal of files that are ours and that the
        /// plan neither has nor leaves.
        fn carry_out(&mut self, plan: &Plan) {
            for change in &plan.changes {
                let steps = steps(&change.before, &change.after);
                assert!(!steps.is_empty(), "a change without a step: {change:?}");
                for step in steps {
                    let file = (change.proxy.clone(), step.artifact());
                    assert!(!change.left.contains(&file.1), "{file:?} is left and written");
                    if let Step::Write(_, text) = step {
                        self.owned.insert(file.clone(), text.digest());
                        self.files.insert(file, Some(text));
                    } else {
                        self.owned.remove(&file);
                        self.files.remove(&file);
                    }
                }
                let stays = |artifact: &Artifact| change.after.contains_key(artifact) || change.left.contains(artifact);
                let is_given_up = |(proxy, artifact): &(ProxyKey, Artifact)| *proxy == change.proxy && !stays(artifact);
                self.owned.retain(|file, _| !is_given_up(file));
                self.files.retain(|file, _| !is_given_up(file));
            }
        }

        fn texts(&self, proxy: &ProxyKey) -> Files {
            let of_proxy = self.files.iter().filter(|((of, _), _)| of == proxy);
            let text =
                |((_, artifact), text): (&(ProxyKey, Artifact), &Option<FileText>)| Some((*artifact, text.clone()?));
            of_proxy.filter_map(text).collect()
        }
    }

    /// Fragments of a small world, so that two of them have much in common.
    fn fragments() -> impl Strategy<Value = Fragments> {
        let clusters = btree_set(0..3_u8, 0..3).prop_map(|names| {
            let resources = names.iter().map(|name| serde_json::json!({"name": format!("c{name}")}));
            (Artifact::Cds, xds::response(&resources.collect::<Vec<_>>()).into())
        });
        let other = btree_map(
            (1..Artifact::SINGLE.len()).prop_map(|i| Artifact::SINGLE[i]),
            "[ab]".prop_map(FileText::from),
            0..4,
        );
        let files = (clusters, other).prop_map(|(cds, other)| other.into_iter().chain([cds]).collect::<Files>());
        btree_map(proxy(), files, 0..5)
    }

    fn proxy() -> impl Strategy<Value = ProxyKey> {
        ("[xy]", "[pqr]").prop_map(|(mesh, dataplane)| ProxyKey::new(mesh, dataplane))
    }

    fn disk() -> impl Strategy<Value = Disk> {
        let tampering = prop_oneof![
            3 => Just(None),
            2 => Just(Some(Tampering::Edited)),
            1 => Just(Some(Tampering::MadeBinary)),
            2 => Just(Some(Tampering::Removed)),
            1 => Just(Some(Tampering::Replaced)),
        ];
        (fragments(), vec(tampering, 0..16), vec(any::<bool>(), 16)).prop_map(|(published, tampering, lost)| {
            let mut disk = Disk::new(&published);
            disk.tamper(&tampering);
            let mut lost = lost.into_iter();
            for files in disk.last_generation.values_mut() {
                files.retain(|_, _| !lost.next().unwrap_or_default());
            }
            disk
        })
    }

    fn repair() -> impl Strategy<Value = DriftRepair> {
        let file = (proxy(), (0..Artifact::SINGLE.len()).prop_map(|i| Artifact::SINGLE[i]));
        prop_oneof![
            Just(DriftRepair::Off),
            Just(DriftRepair::All),
            btree_set(file, 0..6).prop_map(DriftRepair::AllExcept),
        ]
    }

    /// Everything that a plan depends on, without an approval.
    #[derive(Debug, Clone)]
    struct Situation {
        disk: Disk,
        out_of_sync: BTreeSet<ProxyKey>,
        desired: Option<Fragments>,
        held: Held,
        repair: DriftRepair,
        guard: Option<Guard>,
    }

    impl Situation {
        fn observe(&self) -> Observed {
            self.disk.observe(self.out_of_sync.clone())
        }

        fn plan(&self, approved: Option<&str>) -> Planned {
            let constraints = Constraints {
                held: &self.held,
                drift_repair: &self.repair,
                guard: self.guard.as_ref(),
                approved,
            };
            self.plan_of(None, &constraints)
        }

        fn plan_of(&self, open: Option<&BTreeSet<ProxyKey>>, constraints: &Constraints) -> Planned {
            plan(&self.observe(), Desired::new(self.desired.as_ref(), open), constraints)
        }

        /// Whether a proxy is brought to its desired files. Where the guard is violated, it is so only if they are
        /// those that were published.
        fn is_updated(&self, proxy: &ProxyKey, planned: &Planned) -> bool {
            let Some(desired) = &self.desired else { return false };
            let desired: BTreeMap<Artifact, Digest> = (desired.get(proxy).into_iter().flatten())
                .map(|(artifact, text)| (*artifact, text.digest()))
                .collect();
            let of_proxy = self.disk.owned.iter().filter(|((of, _), _)| of == proxy);
            let published: BTreeMap<Artifact, Digest> =
                of_proxy.map(|((_, artifact), digest)| (*artifact, *digest)).collect();
            !self.held.contains_proxy(proxy) && (planned.violation.is_none() || published == desired)
        }
    }

    fn situation() -> impl Strategy<Value = Situation> {
        let held = (
            any::<bool>(),
            btree_set("[xy]", 0..2),
            btree_set(proxy(), 0..2),
            0..4_u8,
        );
        let share = || (0..=100_u8).prop_map(|percent| Share::new(percent).expect("a percentage"));
        let guard = (share(), share()).prop_map(|(max_removed, max_changed)| Guard {
            max_removed,
            max_changed,
        });
        let held = held.prop_map(|(all, meshes, proxies, is_held)| match is_held {
            0 => Held { all, meshes, proxies },
            1 => Held {
                all: false,
                meshes,
                proxies,
            },
            _ => Held::default(),
        });
        let desired = option::weighted(0.8, (fragments(), vec(any::<bool>(), 5)));
        let parts = (
            disk(),
            btree_set(proxy(), 0..4),
            desired,
            held,
            repair(),
            option::of(guard),
        );
        parts.prop_map(|(disk, out_of_sync, desired, held, repair, guard)| Situation {
            out_of_sync,
            desired: desired.map(|(mut desired, stay)| {
                // Some proxies stay as they were published.
                let published = disk.published.iter().zip(stay).filter(|(_, stays)| *stays);
                desired.extend(published.map(|((proxy, files), _)| (proxy.clone(), files.clone())));
                desired
            }),
            disk,
            held,
            repair,
            guard,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn without_constraints_the_desired_state_is_reached(disk in disk(), desired in fragments()) {
            let mut situation = Situation {
                disk,
                out_of_sync: BTreeSet::new(),
                desired: Some(desired.clone()),
                held: Held::default(),
                repair: DriftRepair::All,
                guard: None,
            };
            let planned = situation.plan(None);
            prop_assert_eq!(planned.drift_left, []);
            situation.disk.carry_out(&planned.plan);
            let reached = Disk::new(&desired);
            prop_assert_eq!(&situation.disk.files, &reached.files);
            prop_assert_eq!(&situation.disk.owned, &reached.owned);
        }

        #[test]
        fn a_plan_that_was_carried_out_leaves_nothing_to_plan(mut situation in situation()) {
            let first = situation.plan(None);
            situation.disk.carry_out(&first.plan);
            situation.out_of_sync.clear();
            let second = situation.plan(None);
            prop_assert_eq!(second.plan, Plan::default());
            // A guard that was violated still is, by the same plan, so that an approval stays valid.
            prop_assert_eq!(second.violation, first.violation);
            prop_assert_eq!(second.drift, first.drift_left);
        }

        #[test]
        fn proxies_that_are_as_they_should_be_need_no_look(situation in situation(), others in btree_set(proxy(), 0..3)) {
            let Some(desired) = &situation.desired else { return Ok(()) };
            let observed = situation.observe();
            let differ = pairs(&observed.applied, desired).filter(|(_, found, desired)| found != desired);
            let differ = differ.map(|(proxy, ..)| proxy);
            let drifted = observed.drift.iter().map(|drift| &drift.proxy);
            let open = differ.chain(drifted).chain(&observed.out_of_sync).cloned();
            let open: BTreeSet<ProxyKey> = open.chain(others).collect();
            let constraints = Constraints {
                held: &situation.held,
                drift_repair: &situation.repair,
                guard: situation.guard.as_ref(),
                approved: None,
            };
            prop_assert_eq!(situation.plan_of(Some(&open), &constraints), situation.plan_of(None, &constraints));
        }

        #[test]
        fn an_approval_lets_the_plan_pass(situation in situation()) {
            let waiting = situation.plan(None);
            let approved = waiting.violation.as_ref().map(|violation| violation.id.as_str());
            let planned = situation.plan(approved);
            prop_assert_eq!(planned.is_approved, approved.is_some());
            let free = Situation { guard: None, ..situation.clone() };
            prop_assert_eq!(planned.plan, free.plan(None).plan);
        }

        #[test]
        fn a_proxy_that_is_not_updated_gets_back_only_what_it_had(mut situation in situation()) {
            let planned = situation.plan(None);
            let before = situation.clone();
            situation.disk.carry_out(&planned.plan);
            prop_assert!(planned.violation.is_none() || situation.guard.is_some());
            for (proxy, artifact) in before.disk.owned.keys().chain(situation.disk.files.keys()) {
                if before.is_updated(proxy, &planned) {
                    continue;
                }
                let file = (proxy.clone(), *artifact);
                let [found, after] = [&before.disk, &situation.disk].map(|disk| disk.files.get(&file).cloned().flatten());
                prop_assert_eq!(before.disk.owned.get(&file), situation.disk.owned.get(&file));
                let is_held = situation.held.contains_proxy(proxy) || situation.desired.is_none();
                let is_edit = found.is_some() && (is_held || situation.repair == DriftRepair::Off);
                let is_repaired = |text: &FileText| !is_edit && before.disk.owned.get(&file) == Some(&text.digest());
                prop_assert!(found == after || after.as_ref().is_some_and(is_repaired), "{found:?} {after:?}");
            }
        }

        #[test]
        fn an_updated_proxy_has_its_desired_files_or_edits_that_are_left(mut situation in situation()) {
            let planned = situation.plan(None);
            let before = situation.clone();
            situation.disk.carry_out(&planned.plan);
            let Some(desired) = situation.desired.clone() else { return Ok(()) };
            for proxy in before.observe().applied.keys().chain(desired.keys()) {
                if !before.is_updated(proxy, &planned) {
                    continue;
                }
                let mut expected = desired.get(proxy).cloned().unwrap_or_default();
                for drift in planned.drift_left.iter().filter(|drift| drift.proxy == *proxy) {
                    prop_assert_eq!(drift.kind, DriftKind::Edited);
                    prop_assert!(!situation.repair.admits(drift));
                    prop_assert!(drift.was_published(&expected[&drift.artifact]));
                    expected.insert(drift.artifact, "edited".into());
                }
                prop_assert_eq!(situation.disk.texts(proxy), expected);
            }
        }

        #[test]
        fn an_edit_stays_only_beside_the_half_that_it_was_made_for(situation in situation()) {
            let planned = situation.plan(None);
            for change in &planned.plan.changes {
                let [cds, lds] = [Artifact::Cds, Artifact::Lds].map(|artifact| change.left.contains(&artifact));
                let writes: Vec<Artifact> = change.changed().collect();
                if situation.is_updated(&change.proxy, &planned) && (cds || lds) {
                    let other = if cds { Artifact::Lds } else { Artifact::Cds };
                    // The other half changes only when it is gone and comes back as it was published.
                    let is_restored = |drift: &Drift| drift.proxy == change.proxy && drift.artifact == other
                        && change.after.get(&other).is_some_and(|text| drift.was_published(text));
                    prop_assert!(!writes.contains(&other) || planned.drift.iter().any(is_restored));
                }
            }
        }

        #[test]
        fn drift_is_either_written_or_left(situation in situation()) {
            let planned = situation.plan(None);
            for drift in &planned.drift {
                let change = planned.plan.change(&drift.proxy);
                let is_written = change.is_some_and(|change| change.changed().any(|artifact| artifact == drift.artifact));
                prop_assert_eq!(is_written, !planned.leaves(drift), "{:?}", drift);
            }
        }

        #[test]
        fn an_envoy_out_of_sync_gets_its_files_unless_they_are_edited(situation in situation()) {
            let planned = situation.plan(None);
            let observed = situation.observe();
            let is_dynamic = |artifact: &Artifact| artifact.is_dynamic();
            for proxy in &situation.out_of_sync {
                let is_drifted = observed.drift.iter().any(|drift| drift.proxy == *proxy);
                let Some(found) = observed.applied.get(proxy).filter(|_| !is_drifted) else { continue };
                let desired = situation.desired.as_ref().and_then(|desired| desired.get(proxy));
                let is_updated = situation.is_updated(proxy, &planned) && desired != Some(found);
                let change = planned.plan.change(proxy);
                if is_updated {
                    let after = change.expect("an update").after.clone();
                    prop_assert_eq!(after, desired.cloned().unwrap_or_default());
                } else if found.keys().any(is_dynamic) {
                    let change = change.expect("a delivery");
                    prop_assert_eq!(&change.after, found);
                    let delivered: Vec<Artifact> = found.keys().copied().filter(is_dynamic).collect();
                    prop_assert_eq!(change.changed().collect::<Vec<_>>(), delivered);
                }
            }
        }
    }

    fn key() -> ProxyKey {
        ProxyKey::new("default", "web")
    }

    fn one(files: &[(Artifact, &str)]) -> Fragments {
        let files = files.iter().map(|(artifact, text)| (*artifact, (*text).into()));
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

    /// The files that change when these are found and desired, and these drifted.
    fn check(found: &[(Artifact, &str)], desired: &[(Artifact, &str)], drift: &[Drift], changed: &[Artifact]) {
        let observed = Observed {
            applied: one(found),
            drift: drift.to_vec(),
            ..Observed::default()
        };
        let planned = plan(&observed, Desired::Files(&one(desired)), &Constraints::default());
        let all: Vec<Artifact> = planned.plan.changes.iter().flat_map(Change::changed).collect();
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
        let with_gone = [drift(Cds, Missing, "c"), drift(Lds, Edited, "l")];
        check(&[(Lds, "mine")], &[(Cds, "c"), (Lds, "l")], &with_gone, &[Cds]);
    }

    #[test]
    fn a_file_that_is_gone_and_not_desired_is_given_up_and_not_restored() {
        let observed = Observed {
            applied: one(&[(Artifact::Cds, "c")]),
            drift: vec![drift(Artifact::Bootstrap, DriftKind::Missing, "b")],
            last_generation: one(&[(Artifact::Cds, "c"), (Artifact::Bootstrap, "b")]),
            ..Observed::default()
        };
        let desired = observed.applied.clone();
        let planned = plan(&observed, Desired::Files(&desired), &Constraints::default());
        let change = planned.plan.change(&key()).expect("a change");
        assert_eq!(
            steps(&change.before, &change.after),
            [Step::Remove(Artifact::Bootstrap)]
        );
    }

    #[test]
    fn an_edit_that_is_what_is_desired_is_none() {
        for (found, left) in [("b", 0), ("c", 1)] {
            let observed = Observed {
                applied: one(&[(Artifact::Bootstrap, found)]),
                drift: vec![drift(Artifact::Bootstrap, DriftKind::Edited, "b")],
                ..Observed::default()
            };
            let desired = one(&[(Artifact::Bootstrap, "b")]);
            let planned = plan(&observed, Desired::Files(&desired), &Constraints::default());
            assert_eq!((planned.drift.len(), planned.plan), (left, Plan::default()), "{found}");
        }
    }
}
