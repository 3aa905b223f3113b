//! A reconciliation: read, compile, observe, plan, apply.
//!
//! `run --once`, the daemon and the commands that change something reconcile in the same way. Every decision on what
//! is written is made by [`plan()`]. What is frozen and approved is read back from the disk each time; a [`Session`]
//! has nothing that a decision depends on.

mod stages;

mod overview;

mod last_run;

mod trusted;

mod cache;

mod options;

mod policies;

mod error;

mod desired;

mod observe;

mod compare;

mod reconciliation;

mod unchanged;

pub use cache::Cache;
pub use compare::{Comparison, compare, compare_policies};
pub use desired::DesiredState;
pub use error::ReconcileError;
pub use options::ReconcileOptions;
pub use overview::Overview;
pub use policies::{Policies, Purpose, Side};
pub use reconciliation::Reconciliation;
pub use stages::{Stage, Stopwatch};

use std::any::Any;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use observe::{observe, observe_changes, probe};
use trusted::Trusted;
use unchanged::unchanged;

use crate::apply::{self, Bases, Intent, Looks, Request, Session, Target, reload};
use crate::compile::Compiled;
use crate::envoy::artifact::{Elsewhere, ProxyKey};
use crate::plan::{Desired, Plan, plan};
use crate::settings::Settings;
use crate::source::{ReadError, ReadWork, Scan};

/// Reads and compiles the policies, compares what they ask for with what is published, and publishes the difference.
///
/// # Errors
/// When nothing can be published, or the published files cannot be read. Unreadable policies are not an error: a generation
/// that was rolled back to is published without them. A panic is an error too, and leaves an empty cache; what it left on
/// disk is what a crash leaves.
pub fn reconcile(
    settings: &Settings,
    target: &Target,
    session: &Session,
    cache: &mut Cache,
    options: &ReconcileOptions,
) -> Result<Reconciliation, ReconcileError> {
    // The cache may be left with half of a change, and is emptied. Nothing else is changed in memory.
    let attempt = AssertUnwindSafe(|| attempt(settings, target, session, cache, options));
    catch_unwind(attempt).unwrap_or_else(|panic| {
        cache.forget();
        Err(ReconcileError::Panic(message(&*panic)))
    })
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".to_owned())
}

fn attempt(
    settings: &Settings,
    target: &Target,
    session: &Session,
    cache: &mut Cache,
    options: &ReconcileOptions,
) -> Result<Reconciliation, ReconcileError> {
    if options.scan == Scan::Full
        && let Some(overview) = cache.last_run(settings, target)
        && let Some(unchanged) = unchanged(overview, target, session, options.probe_all)?
    {
        let elsewhere = places_elsewhere(settings, target)?;
        cache.follow_output(&unchanged.published, &elsewhere, [].into_iter(), options.scan);
        return Ok(unchanged);
    }
    let mut reconciliation = compile_and_publish(settings, target, session, cache, options)?;
    if let Some(compiled) = &reconciliation.compiled {
        cache.remember(&compiled.known, &target.out, session.lock())?;
    }
    reconciliation.record(target, session.lock())?;
    let touched = reconciliation.publication.proxies.keys();
    let elsewhere = match &reconciliation.compiled {
        Some(compiled) => Cow::Borrowed(&compiled.elsewhere),
        None => Cow::Owned(places_elsewhere(settings, target)?),
    };
    cache.follow_output(&reconciliation.published, &elsewhere, touched, options.scan);
    cache.trust(reconciliation.is_clean().then(|| reconciliation.trusted()));
    if reconciliation.is_done()
        && let Ok(overview) = &reconciliation.policies
    {
        if let Some(compiled) = &reconciliation.compiled {
            apply::remove_other_secrets(&compiled.secrets, &target.out, session.lock())?;
        }
        cache.save_run(overview, settings, target, session.lock());
    }
    Ok(reconciliation)
}

/// The places of published files that are not below the output directory.
fn places_elsewhere(settings: &Settings, target: &Target) -> Result<BTreeMap<ProxyKey, Elsewhere>, ReconcileError> {
    // Most settings name no such place, and the inventory would be read for nothing.
    let has_places = settings.shapes.iter().any(|rule| !rule.form.to.is_empty());
    Ok(match has_places {
        true => apply::published_places(&target.out)?,
        false => BTreeMap::new(),
    })
}

/// The policies in words and numbers, their compilation, and the work of reading them.
fn parts(policies: Result<Policies, ReadError>) -> (Result<Overview, ReadError>, Option<Compiled>, ReadWork) {
    match policies {
        Ok(policies) => (Ok(policies.overview), Some(policies.compiled), policies.read),
        Err(error) => (Err(error), None, ReadWork::default()),
    }
}

/// Saves keys and certificates for collectors, which have to be there before clusters name them. A freeze is for keys, too.
fn save_secrets(
    policies: &Result<Policies, ReadError>,
    intent: &Intent,
    target: &Target,
    session: &Session,
) -> Result<(), ReconcileError> {
    match policies {
        Ok(policies) if intent.frozen.is_none() => {
            let secrets = &policies.compiled.secrets;
            Ok(apply::save_secrets(secrets, &target.out, session.lock())?)
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The proxies that may not have the files that are desired of them; `None` if any may not.
fn looked_at(
    trusted: Option<&Trusted>,
    desired: DesiredState,
    policies: &Result<Policies, ReadError>,
    options: &ReconcileOptions,
) -> Option<BTreeSet<ProxyKey>> {
    let compiled = &policies.as_ref().ok()?.compiled;
    let is_comparable = desired == DesiredState::Policies && !options.probe_all;
    trusted.filter(|_| is_comparable)?.open_now(compiled.changed.as_ref()?)
}

/// The bootstraps of the reloads of those proxies that a plan changes.
fn bases(plan: &Plan, policies: &Result<Policies, ReadError>, settings: &Settings, target: &Target) -> Bases {
    let entries = policies.as_ref().ok().map(|policies| &policies.overview.reload_entries);
    let proxies = plan.changes.iter().map(|change| &change.proxy);
    reload::bases(proxies, entries, &settings.reload, &target.out)
}

fn compile_and_publish(
    settings: &Settings,
    target: &Target,
    session: &Session,
    cache: &mut Cache,
    options: &ReconcileOptions,
) -> Result<Reconciliation, ReconcileError> {
    let mut stopwatch = Stopwatch::default();
    // Before the policies are compiled: what an attempt changes that comes to no end, the next one cannot tell.
    let trusted = cache.take_trusted(options.scan);
    let policies = Policies::read(settings, target, Purpose::Publish(options.scan), cache, &mut stopwatch)?;
    let intent = Intent::read(&target.out)?;
    let desired = DesiredState::choose(&intent, &policies);

    let is_change = trusted.is_some();
    let looked_at = looked_at(trusted.as_ref(), desired, &policies, options);
    let files = stopwatch.time(Stage::Plan, || desired.files(target, &policies))?;
    let wanted = Desired::new(files.as_deref(), looked_at.as_ref());
    let places = policies.as_ref().ok().map(Policies::places);
    let observation = stopwatch.time(Stage::Plan, || match trusted {
        Some(trusted) => observe_changes(target, trusted, wanted, places),
        None => observe(target, places),
    })?;
    let mut observed = observation.observed;
    let health = (options.probe_all).then(|| probe(&mut observed, target, session));
    let planned = stopwatch.time(Stage::Plan, || {
        let constraints = desired.constraints(&policies, &settings.guard, &intent, &options.drift_repair);
        plan(&observed, wanted, &constraints)
    });
    let bases = bases(&planned.plan, &policies, settings, target);
    let revision = desired.revision(&policies);
    save_secrets(&policies, &intent, target, session)?;
    let publication = stopwatch.publish(|| {
        let request = Request {
            plan: &planned.plan,
            revision: &revision,
            places,
            bases: &bases,
            looks: if is_change { Looks::Changes } else { Looks::All },
        };
        cache.publishing(&planned.plan, || apply::apply(&request, target, session))
    })?;

    let (policies, compiled, read) = parts(policies);
    Ok(Reconciliation {
        policies,
        compiled,
        read,
        intent,
        desired,
        looked_at,
        read_back: observation.read_back,
        published_before: observed.applied.len(),
        published: Arc::new(observed.applied),
        planned,
        publication,
        health: health.unwrap_or_default(),
        stages: stopwatch.stages,
    })
}
