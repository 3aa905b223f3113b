//! One turn: the policies read, compiled, compared and published.
//!
//! `run --once`, the daemon and the commands that change something make the same turns. A turn remembers nothing: what
//! is applied, frozen and approved is read back from the disk.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::status::Stage;
use crate::apply::reload::{self, Entries, Offer};
use crate::apply::survey::{Sight, survey};
use crate::apply::{self, ApplyError, Lock, Observed, Outcome, State, Target, Word, history};
use crate::compile::{self, Compiled};
use crate::diag::Diagnostic;
use crate::envoy::artifact::{Artifact, Fragments, ProxyKey};
use crate::explain::World;
use crate::plan::digest::Digest;
use crate::plan::drift::{Drift, DriftKind, Fights, leave_edited};
use crate::plan::guard::{Refusal, guard};
use crate::plan::{self, Applied, Change, Held, Plan};
use crate::settings::{OnError, Settings, SettingsError};
use crate::source::{self, Care, ReadError, Snapshot};

/// What a turn is to do beside what it always does.
#[derive(Debug, Default)]
pub struct Wishes<'f> {
    /// Which published files that somebody edited are restored.
    pub healing: Healing<'f>,
    /// Look at every Envoy, also at those whose files do not change.
    pub survey: bool,
}

/// Which published files that somebody edited are restored.
#[derive(Debug, Default)]
pub enum Healing<'f> {
    /// None: they stay until something else is desired in their place.
    #[default]
    None,
    /// All.
    All,
    /// All but those that were healed too often lately; with the time that has gone by since some fixed moment.
    Unless(&'f mut Fights, Duration),
}

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

/// What is to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// What the policies say.
    Policies,
    /// What was published before.
    Generation(u64),
    /// Nothing: everything stays as it is.
    Stay,
}

/// What is published against what is desired.
#[derive(Debug, Default)]
pub struct Comparison {
    /// What is published.
    pub published: Applied,
    /// What has to change.
    pub plan: Plan,
    /// What somebody did to published files.
    pub drift: Vec<Drift>,
    /// Which of that stays as it is.
    pub left: Vec<Drift>,
    /// Why the plan is not carried out.
    pub refusal: Option<Refusal>,
    /// Whether it is only because somebody approved it.
    pub is_approved: bool,
}

/// What one turn did.
#[derive(Debug)]
pub struct Turn {
    /// The policies, or why they could not be read.
    pub policies: Result<Policies, ReadError>,
    /// Freezes and approvals.
    pub state: State,
    /// What was to be published.
    pub goal: Goal,
    /// How many proxies were published before.
    pub published_before: usize,
    /// What was to change.
    pub plan: Plan,
    /// Why that is not what the policies want.
    pub refusal: Option<Refusal>,
    /// What somebody did to published files.
    pub drift: Vec<Drift>,
    /// Which of that stays as it is.
    pub left: Vec<Drift>,
    /// How many proxies the policies would change if nothing were frozen.
    pub would_change: usize,
    /// What came of the plan.
    pub outcome: Outcome,
    /// What is published now.
    pub published: Applied,
    /// What the Envoys do, where the turn looked.
    pub sights: BTreeMap<ProxyKey, Sight>,
    /// How long its stages took.
    pub stages: Vec<(Stage, Duration)>,
}

/// Why a turn came to no end.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The disk.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Measures stages.
#[derive(Debug, Default)]
pub struct Clock {
    stages: Vec<(Stage, Duration)>,
}

impl Clock {
    fn time<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.stages.push((stage, start.elapsed()));
        result
    }
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
        clock: &mut Clock,
    ) -> Result<Result<Self, ReadError>, SettingsError> {
        let limit = settings.limits.file_bytes;
        let snapshot = match clock.time(Stage::Read, || source::read(&settings.sources, limit, care)) {
            Ok(snapshot) => snapshot,
            Err(error) => return Ok(Err(error)),
        };
        // It only adds caution, and looking at policies must not depend on the output directory.
        let options = settings.options(apply::contributions::known(target).unwrap_or_default())?;
        let (compiled, reloads) = clock.time(Stage::Compile, || {
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

impl Turn {
    /// The part of the plan that was carried out.
    #[must_use]
    pub fn done(&self) -> Plan {
        let is_done = |change: &&Change| match self.outcome.proxies.get(&change.proxy) {
            Some((_, result)) => result.as_ref().is_ok_and(Word::is_done),
            None => false,
        };
        Plan {
            changes: self.plan.changes.iter().filter(is_done).cloned().collect(),
        }
    }

    /// What somebody did to published files, and is still so.
    pub fn remaining_drift(&self) -> impl Iterator<Item = &Drift> {
        let done = self.done();
        self.drift.iter().filter(move |drift| {
            self.left.contains(drift) || !done.changes.iter().any(|change| change.proxy == drift.proxy)
        })
    }

    /// What it means for reloads, told to `tell`.
    pub fn offer(&self, tell: impl FnOnce(&Offer)) {
        let drift: Vec<Drift> = self.remaining_drift().cloned().collect();
        tell(&Offer {
            published: &self.published,
            changes: &self.done().changes,
            drift: &drift,
            entries: self.policies.as_ref().ok().map(|policies| &policies.reloads),
        });
    }

    /// Whether an Envoy or the disk did not come to an end, so that another attempt may help.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let is_open = |result: &Result<Word, ApplyError>| !matches!(result, Ok(word) if word.is_done() || matches!(word, Word::Rejected(_)));
        self.outcome.proxies.values().any(|(_, result)| is_open(result)) || !self.outcome.troubles.is_empty()
    }
}

/// What the policies would change.
///
/// # Errors
/// When it cannot be told what is published.
pub fn compare(settings: &Settings, target: &Target, policies: &Policies) -> Result<Comparison, TurnError> {
    let state = State::read(target)?;
    let desired = Desired::Policies(policies);
    Ok(comparison(settings, target, &desired, &state, Healing::None)?)
}

/// What is desired.
enum Desired<'p> {
    Policies(&'p Policies),
    Generation(Fragments),
}

fn comparison(
    settings: &Settings,
    target: &Target,
    desired: &Desired,
    state: &State,
    healing: Healing,
) -> Result<Comparison, ApplyError> {
    let Observed { mut applied, mut drift } = apply::observe(target)?;
    let nothing = Held::default();
    let (fragments, held) = match desired {
        Desired::Policies(policies) => (&policies.compiled.fragments, &policies.held),
        Desired::Generation(fragments) => (fragments, &nothing),
    };
    plan::forget_equal(&mut drift, &applied, fragments);
    let published = applied.clone();
    let alone = match healing {
        Healing::None => drift.clone(),
        Healing::All => Vec::new(),
        Healing::Unless(fights, now) => fights
            .judge(&drift, now)
            .wait
            .into_iter()
            .map(|(drift, ..)| drift)
            .collect(),
    };
    let left = leave_edited(&mut applied, fragments, &alone);
    let mut plan = plan::plan(&applied, fragments, held);
    bring_back(&mut plan, &published, &drift, target);
    let refusal = match desired {
        Desired::Policies(_) => guard(&plan, published.len(), &settings.guard),
        // Somebody has asked for exactly this.
        Desired::Generation(_) => None,
    };
    let is_approved = (refusal.as_ref()).is_some_and(|refusal| refusal.is_approved(state.approved.as_deref()));
    Ok(Comparison {
        published,
        plan,
        drift,
        left,
        refusal: refusal.filter(|_| !is_approved),
        is_approved,
    })
}

/// Makes one turn.
///
/// # Errors
/// When nothing can be published, or it is not known what is. Policies that cannot be read are no error here: a
/// generation that was rolled back to is published without them.
pub fn turn(settings: &Settings, target: &Target, lock: &Lock, wishes: Wishes) -> Result<Turn, TurnError> {
    let mut clock = Clock::default();
    let policies = Policies::read(settings, target, Care::Settled, &mut clock)?;
    let state = State::read(target)?;
    let goal = match (&state.frozen, &policies) {
        (Some(frozen), _) => frozen.generation.map_or(Goal::Stay, Goal::Generation),
        (None, Ok(_)) => Goal::Policies,
        (None, Err(_)) => Goal::Stay,
    };
    let mut comparison = clock.time(Stage::Plan, || {
        compare_for(goal, settings, target, &policies, &state, wishes.healing)
    })?;
    let sights = if wishes.survey {
        survey(&comparison.published, target, lock)
    } else {
        BTreeMap::new()
    };
    let would_change = match goal {
        Goal::Policies => 0,
        Goal::Generation(_) | Goal::Stay => policies.as_ref().map_or(0, |policies| {
            plan::plan(&comparison.published, &policies.compiled.fragments, &policies.held)
                .changes
                .len()
        }),
    };
    if goal != Goal::Stay {
        show_again(&mut comparison, &sights);
    }
    if comparison.refusal.is_some() {
        // What is gone comes back all the same.
        comparison.plan = Plan::default();
        bring_back(&mut comparison.plan, &comparison.published, &comparison.drift, target);
    }
    let revision = match (goal, &policies) {
        (Goal::Generation(id), _) => format!("generation {id} again"),
        (_, Ok(policies)) => policies.snapshot.describe(),
        (_, Err(_)) => String::new(),
    };
    let entries = policies.as_ref().ok().map(|policies| &policies.reloads);
    let proxies = comparison.plan.changes.iter().map(|change| &change.proxy);
    let bases = reload::bases(proxies, entries, &settings.reload, target);
    let outcome = clock.time(Stage::Publish, || {
        apply::apply(&comparison.plan, target, lock, &revision, &bases)
    })?;
    let published_before = comparison.published.len();
    let mut turn = Turn {
        policies,
        state,
        goal,
        published_before,
        plan: comparison.plan,
        refusal: comparison.refusal,
        drift: comparison.drift,
        left: comparison.left,
        would_change,
        outcome,
        published: comparison.published,
        sights,
        stages: clock.stages,
    };
    turn.settle(target, lock)?;
    if comparison.is_approved && turn.outcome.failures().next().is_none() {
        // An approval is for one time.
        turn.state.approved = None;
        turn.state.write(target, lock)?;
    }
    Ok(turn)
}

fn compare_for(
    goal: Goal,
    settings: &Settings,
    target: &Target,
    policies: &Result<Policies, ReadError>,
    state: &State,
    healing: Healing,
) -> Result<Comparison, ApplyError> {
    match (goal, policies) {
        (Goal::Policies, Ok(policies)) => comparison(settings, target, &Desired::Policies(policies), state, healing),
        (Goal::Generation(id), _) => {
            let desired = Desired::Generation(history::load(target, id)?);
            comparison(settings, target, &desired, state, healing)
        }
        (Goal::Stay | Goal::Policies, _) => {
            let Observed { applied, drift } = apply::observe(target)?;
            let mut plan = Plan::default();
            bring_back(&mut plan, &applied, &drift, target);
            let is_back = |drift: &&Drift| plan.changes.iter().any(|change| change.proxy == drift.proxy);
            Ok(Comparison {
                left: drift.iter().filter(|drift| !is_back(drift)).cloned().collect(),
                published: applied,
                plan,
                drift,
                ..Comparison::default()
            })
        }
    }
}

/// Plans to bring back files that are gone from proxies that stay as they are: what was published last is known.
fn bring_back(plan: &mut Plan, published: &Applied, drift: &[Drift], target: &Target) {
    let is_planned = |proxy: &ProxyKey| plan.changes.iter().any(|change| change.proxy == *proxy);
    let gone: Vec<&Drift> = (drift.iter())
        .filter(|drift| drift.kind != DriftKind::Edited && !is_planned(&drift.proxy))
        .collect();
    if gone.is_empty() {
        return;
    }
    // Without a history there is nothing to bring back from; it is told of all the same.
    let generations = history::list(target).unwrap_or_default();
    let last = generations.last().and_then(|last| history::load(target, last.id).ok());
    let Some(kept) = last else { return };
    let mut changes: BTreeMap<&ProxyKey, Change> = BTreeMap::new();
    for drift in gone {
        let text = kept.get(&drift.proxy).and_then(|files| files.get(&drift.artifact));
        let Some(text) = text.filter(|text| drift.published.contains(&Digest::of(text))) else {
            continue;
        };
        let change = changes.entry(&drift.proxy).or_insert_with(|| {
            let before = published.get(&drift.proxy).cloned().unwrap_or_default();
            Change {
                proxy: drift.proxy.clone(),
                action: plan::Action::Change,
                before: before.clone(),
                after: before,
            }
        });
        change.after.insert(drift.artifact, text.clone());
    }
    plan.changes.extend(changes.into_values());
    plan.changes.sort_by(|a, b| a.proxy.cmp(&b.proxy));
}

/// Plans to put the files of an Envoy in place once more that runs and has not taken them: it may have lost its watch.
fn show_again(comparison: &mut Comparison, sights: &BTreeMap<ProxyKey, Sight>) {
    let planned: Vec<ProxyKey> = comparison
        .plan
        .changes
        .iter()
        .map(|change| change.proxy.clone())
        .collect();
    for (proxy, _) in sights
        .iter()
        .filter(|(proxy, sight)| **sight == Sight::Behind && !planned.contains(proxy))
    {
        let Some(files) = comparison.published.get(proxy) else {
            continue;
        };
        let mut before = files.clone();
        before.retain(|artifact, _| !matches!(artifact, Artifact::Cds | Artifact::Lds));
        comparison.plan.changes.push(Change {
            proxy: proxy.clone(),
            action: plan::Action::Change,
            before,
            after: files.clone(),
        });
    }
    comparison.plan.changes.sort_by(|a, b| a.proxy.cmp(&b.proxy));
}

impl Turn {
    /// Remembers what was published.
    fn settle(&mut self, target: &Target, lock: &Lock) -> Result<(), ApplyError> {
        for change in self.done().changes {
            if change.after.is_empty() {
                self.published.remove(&change.proxy);
            } else {
                self.published.insert(change.proxy, change.after);
            }
        }
        let Ok(policies) = &self.policies else { return Ok(()) };
        apply::contributions::remember(&policies.compiled.known, target, lock)
    }
}
