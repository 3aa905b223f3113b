//! A reconciliation of policies that have not changed since the last run.

use std::sync::Arc;

use super::desired::DesiredState;
use super::error::ReconcileError;
use super::observe::{observe, probe};
use super::overview::Overview;
use super::reconciliation::Reconciliation;
use super::stages::{Stage, Stopwatch};
use crate::apply::{self, Bases, Intent, Looks, Request, Session, Target};
use crate::plan::Planned;
use crate::source::ReadWork;

/// The reconciliation with policies that have not changed since the last run, which left nothing to do; `None` if there
/// is something to do now, or may be, since somebody froze or edited published files or an Envoy has others.
pub(super) fn unchanged(
    overview: Overview,
    target: &Target,
    session: &Session,
    probe_all: bool,
) -> Result<Option<Reconciliation>, ReconcileError> {
    let intent = Intent::read(&target.out)?;
    if intent.frozen.is_some() {
        return Ok(None);
    }
    let mut stopwatch = Stopwatch::default();
    let observation = stopwatch.time(Stage::Plan, || observe(target, None))?;
    let mut observed = observation.observed;
    let health = probe_all.then(|| probe(&mut observed, target, session));
    if !observed.drift.is_empty() || !observed.out_of_sync.is_empty() {
        return Ok(None);
    }
    let planned = Planned::default();
    // Modes and owners are given back, as by every publication.
    let publication = stopwatch.publish(|| {
        let request = Request {
            // The last run left all where they belong.
            places: None,
            plan: &planned.plan,
            revision: &overview.name,
            bases: &Bases::default(),
            looks: Looks::All,
        };
        apply::apply(&request, target, session)
    })?;
    Ok(Some(Reconciliation {
        policies: Ok(overview),
        compiled: None,
        read: ReadWork::default(),
        intent,
        desired: DesiredState::Policies,
        looked_at: None,
        read_back: observation.read_back,
        published_before: observed.applied.len(),
        published: Arc::new(observed.applied),
        planned,
        publication,
        health: health.unwrap_or_default(),
        stages: stopwatch.stages,
    }))
}
