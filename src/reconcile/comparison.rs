//! What is published against what is desired.

use std::collections::BTreeMap;

use super::error::ReconcileError;
use super::options::DriftRepair;
use super::policies::Policies;
use crate::apply::survey::Sight;
use crate::apply::{self, ApplyError, Observed, State, Target, history};
use crate::envoy::artifact::{Artifact, Fragments, ProxyKey};
use crate::plan::digest::Digest;
use crate::plan::drift::{Drift, DriftKind, leave_edited};
use crate::plan::guard::{GuardViolation, guard};
use crate::plan::{self, Applied, Change, Held, Plan};
use crate::settings::Settings;
use crate::source::ReadError;

/// What is to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesiredState {
    /// What the policies say.
    Policies,
    /// What was published before.
    Generation(u64),
    /// Nothing: everything stays as it is.
    Unchanged,
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
    pub drift_left: Vec<Drift>,
    /// Why the plan is not carried out.
    pub violation: Option<GuardViolation>,
    /// Whether it is only because somebody approved it.
    pub is_approved: bool,
}

/// What the policies would change.
///
/// # Errors
/// When it cannot be told what is published.
pub fn compare(settings: &Settings, target: &Target, policies: &Policies) -> Result<Comparison, ReconcileError> {
    let state = State::read(target)?;
    let desired = Desired::Policies(policies);
    Ok(comparison(settings, target, &desired, &state, DriftRepair::Off)?)
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
    drift_repair: DriftRepair,
) -> Result<Comparison, ApplyError> {
    let Observed { mut applied, mut drift } = apply::observe(target)?;
    let nothing = Held::default();
    let (fragments, held) = match desired {
        Desired::Policies(policies) => (&policies.compiled.fragments, &policies.held),
        Desired::Generation(fragments) => (fragments, &nothing),
    };
    plan::forget_equal(&mut drift, &applied, fragments);
    let published = applied.clone();
    let alone = match drift_repair {
        DriftRepair::Off => drift.clone(),
        DriftRepair::All => Vec::new(),
        DriftRepair::RateLimited(backoff, now) => backoff
            .admit(&drift, now)
            .postponed
            .into_iter()
            .map(|(drift, ..)| drift)
            .collect(),
    };
    let drift_left = leave_edited(&mut applied, fragments, &alone);
    let mut plan = plan::plan(&applied, fragments, held);
    restore_missing(&mut plan, &published, &drift, target);
    let violation = match desired {
        Desired::Policies(_) => guard(&plan, published.len(), &settings.guard),
        // Somebody has asked for exactly this.
        Desired::Generation(_) => None,
    };
    let is_approved = (violation.as_ref()).is_some_and(|violation| violation.is_approved(state.approved.as_deref()));
    Ok(Comparison {
        published,
        plan,
        drift,
        drift_left,
        violation: violation.filter(|_| !is_approved),
        is_approved,
    })
}

pub(super) fn compare_for(
    goal: DesiredState,
    settings: &Settings,
    target: &Target,
    policies: &Result<Policies, ReadError>,
    state: &State,
    drift_repair: DriftRepair,
) -> Result<Comparison, ApplyError> {
    match (goal, policies) {
        (DesiredState::Policies, Ok(policies)) => {
            comparison(settings, target, &Desired::Policies(policies), state, drift_repair)
        }
        (DesiredState::Generation(id), _) => {
            let desired = Desired::Generation(history::load(target, id)?);
            comparison(settings, target, &desired, state, drift_repair)
        }
        (DesiredState::Unchanged | DesiredState::Policies, _) => {
            let Observed { applied, drift } = apply::observe(target)?;
            let mut plan = Plan::default();
            restore_missing(&mut plan, &applied, &drift, target);
            let is_back = |drift: &&Drift| plan.changes.iter().any(|change| change.proxy == drift.proxy);
            Ok(Comparison {
                drift_left: drift.iter().filter(|drift| !is_back(drift)).cloned().collect(),
                published: applied,
                plan,
                drift,
                ..Comparison::default()
            })
        }
    }
}

/// Plans to bring back files that are gone from proxies that stay as they are: what was published last is known.
pub(super) fn restore_missing(plan: &mut Plan, published: &Applied, drift: &[Drift], target: &Target) {
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
pub(super) fn redeliver(comparison: &mut Comparison, sights: &BTreeMap<ProxyKey, Sight>) {
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
