//! The publication of a plan: files on disk, and the acks of the Envoys.
//!
//! Everything is written aside first, so that a full disk or a missing permission changes nothing that is
//! published; then it is renamed into place, proxy by proxy, in the order of [`plan::steps`](crate::plan::steps()).
//! Only files of the inventory are ours: others are never touched. Start with [`apply`]; why something changes is
//! not known here.
//!
//! # What holds at every moment
//!
//! * A file is there in full with its final mode and owner, or not at all; a file of a proxy that stays never is missing.
//! * The clusters on disk have every name that the listeners on disk use, so that an Envoy that starts at any moment of a
//!   publication, or after a crash, has a pair that starts: it reads clusters before listeners. One that reads the old
//!   clusters just before they change and the new listeners just after is looked for when all is in place, and gets its
//!   listeners once more. A new proxy gets its bootstrap last, a proxy that goes loses it first.
//! * After a crash or a power cut the disk has old or new files, never empty ones, and the inventory covers both. What is
//!   seen was synced before: one sync of the file system before the first rename, one after the last, and between them one
//!   of the directory with the inventory, which must not come after what it lists.
//! * A sync that failed is not asked again: the files are written anew. When it is the last one, everything is published
//!   already, with contents that are on disk; the error says that the names may not be, and the next run syncs them.

mod context;

mod publication;

mod task;

mod validate;

mod stage;

mod rollout;

mod directories;

mod cleanup;

pub use context::{Bases, Looks, Request};
pub use publication::{Delivery, ProxyResult, Publication};

use std::collections::BTreeMap;
use std::time::Instant;

use context::PublishContext;
use rollout::RolledOut;
use task::Task;
use validate::Validator;

use super::error::{ApplyError, Result};
use super::session::Session;
use super::store::history::{self, History, Recording};
use super::store::inventory::{Entry, Inventory, Nack, digest};
use super::store::lock::{Lock, held};
use super::store::shard::Shards;
use super::store::{OpenOutput, OutputDir};
use super::target::Target;
use crate::plan::Plan;
use crate::system::{parallel, progress};

/// Carries out a plan, gives back mode and owner to files that lost them as far as they are looked at, and records the
/// published files as a generation.
///
/// An error that concerns one proxy is in the result, and keeps no other proxy from being published.
///
/// # Errors
/// When nothing can be published: no space, no permission, the directory replaced. After such an error every proxy
/// has a pair of files from which its Envoy can start, and the next run goes on from there.
pub fn apply(request: &Request, target: &Target, session: &Session) -> Result<Publication> {
    let (root, meta) = held(&target.out, session.lock())?;
    let mut publication = Publication::default();
    cleanup::restore_top_permissions(&root, &meta, &target.out, &mut publication);
    let context = PublishContext {
        output: OpenOutput::new(&target.out, root, meta)?,
        envoy: &target.envoy,
        cache: session.cache(),
    };
    let validator = Validator::new(target.validator.as_deref(), request.plan, request.bases);
    let result = validator.and_then(|validator| {
        let space = |error: ApplyError| error.of_plan(&target.out.root, size(request.plan));
        let history = History::open(&context.output, session.generations());
        let mut history = publication.or_warn(history);
        let begins = target.history > 0 && !history.as_ref().is_some_and(History::has_last);
        let on_disk = Inventory::read(&context.output.meta, shards(request, begins))?;
        let mut inventory = on_disk.clone();
        let mut tasks =
            stage::stage_all(request, &context, &on_disk, validator.as_ref(), &mut publication).map_err(space)?;
        if let Some(validator) = &validator {
            validator
                .filter(&context, &mut tasks, &mut inventory, &mut publication)
                .map_err(space)?;
        }
        progress::begin("syncing files");
        let on_disk = list(&tasks, on_disk, &context).map_err(space)?;
        roll_out(tasks, &context, &mut inventory, &mut publication);
        let in_place = Instant::now();
        cleanup::clean_up(request, &context, &mut inventory, &mut publication);
        match &mut history {
            Some(history) => record(request, target, history, (&on_disk, &inventory), &mut publication)?,
            None => finish(&context.output, (&on_disk, &inventory), None, &mut publication)?,
        }
        publication.recording = in_place.elapsed();
        Ok(())
    });
    let emptied = context.output.staging.empty();
    result?;
    emptied?;
    Ok(publication)
}

/// The number of bytes that a plan writes at most.
fn size(plan: &Plan) -> u64 {
    let texts = plan.changes.iter().flat_map(|change| change.after.values());
    texts.map(|text| text.size() as u64).sum()
}

/// The shards that a publication needs: those of the proxies in its plan, unless it looks at all proxies, or begins the history.
fn shards(request: &Request, begins_history: bool) -> Shards {
    if request.looks == Looks::All || begins_history {
        return Shards::All;
    }
    Shards::of(request.plan.changes.iter().map(|change| &change.proxy))
}

/// Lists everything that the tasks may leave on disk, before they begin, and gives the inventory that is on disk then.
fn list(tasks: &[Task], on_disk: Inventory, context: &PublishContext) -> Result<Inventory> {
    if tasks.is_empty() {
        return Ok(on_disk);
    }
    let output = &context.output;
    let mut under_way = on_disk.clone();
    for task in tasks {
        let entry = under_way.proxies.entry(task.change.proxy.clone()).or_default();
        entry.files = task.under_way();
        entry.elsewhere.clone_from(&task.elsewhere);
        entry.left.clone_from(&task.left);
    }
    let staged = under_way.stage(&on_disk, output)?;
    // Durable before it is visible: a file that is renamed into place must not turn out empty after a power cut.
    output.root.sync_all()?;
    // No file may come before the inventory that lists it: it would pass for somebody else's.
    if let Some(staged) = staged {
        staged.put(output)?.sync()?;
    }
    Ok(under_way)
}

/// Publishes several proxies at a time, so that a slow Envoy holds up no other.
///
/// Those that did not answer before come last, and the first request to each gets little time. An Envoy that does not
/// answer then is asked once more when all others are done, if the target allows more time.
fn roll_out(tasks: Vec<Task>, context: &PublishContext, inventory: &mut Inventory, publication: &mut Publication) {
    let threads = parallel::threads_for(tasks.len());
    let made = parallel::map("making directories", &tasks, threads, |task| {
        directories::make_directories(context, task)
    });
    let with_directories = tasks.into_iter().zip(made).filter_map(|(task, made)| match made {
        Ok(()) => Some(task),
        Err(error) => {
            // Nothing of it was put in place, and the inventory says of it what it said before.
            publication.set(task.change, Err(error));
            None
        }
    });
    let tasks: Vec<Task> = with_directories.collect();
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    order.sort_by_key(|&index| context.cache.is_silent(&tasks[index].change.proxy));
    let mut all = BTreeMap::new();
    let (first, longest) = (context.envoy.first_timeout(), context.envoy.answer_timeout);
    let rounds = if longest > first {
        vec![first, longest]
    } else {
        vec![first]
    };
    for timeout in rounds {
        let done = parallel::map(
            "publishing proxies",
            &order,
            parallel::max_envoy_connections(),
            |&index| rollout::roll_out(context, &tasks[index], timeout),
        );
        all.extend(order.iter().copied().zip(done));
        order.retain(|index| all[index].was_silent);
    }
    for (index, rolled_out) in all {
        context
            .cache
            .set_silent(&tasks[index].change.proxy, rolled_out.was_silent);
        note(&tasks[index], rolled_out, inventory, publication);
    }
}

fn note(task: &Task, rolled_out: RolledOut, inventory: &mut Inventory, publication: &mut Publication) {
    let RolledOut { owned, delivery, .. } = rolled_out;
    let proxy = &task.change.proxy;
    tracing::debug!(mesh = proxy.mesh, dataplane = proxy.dataplane, "{proxy}: {delivery:?}");
    let nack = match &delivery {
        Ok(Delivery::Nacked(reason)) => Some(Nack {
            digest: digest(&task.change.after),
            reason: reason.clone(),
            by: None,
        }),
        _ => None,
    };
    let mut elsewhere = task.elsewhere.clone();
    elsewhere.retain(|artifact, _| owned.contains_key(artifact));
    let entry = Entry {
        files: owned,
        elsewhere,
        left: task.left.clone(),
        nack,
    };
    inventory.proxies.insert(proxy.clone(), entry);
    publication.set(task.change, delivery);
}

/// Completes a publication, of which `inventories` has what is listed on disk and what is published, and adds it to the history.
fn record(
    request: &Request,
    target: &Target,
    history: &mut History,
    inventories: (&Inventory, &Inventory),
    publication: &mut Publication,
) -> Result<()> {
    let (output, has_leftovers) = (history.output(), history.has_leftovers().unwrap_or(true));
    let touched = publication.proxies.iter();
    let touched = touched.map(|(proxy, result)| (proxy, result.is_done())).collect();
    let recorded = history::record(history, inventories.1, &touched, request.revision, target.history);
    let recording = publication.or_warn(recorded).flatten();
    let is_thorough = has_leftovers || (request.looks == Looks::All && recording.is_some());
    finish(output, inventories, recording, publication)?;
    let pruned = history::prune(history, target.history, is_thorough);
    publication.or_warn(pruned);
    Ok(())
}

/// Syncs what was published, lists it, and completes its generation, if there is a new one.
fn finish(
    output: &OpenOutput,
    (on_disk, published): (&Inventory, &Inventory),
    recording: Option<Recording>,
    publication: &mut Publication,
) -> Result<()> {
    let staged = published.stage(on_disk, output)?;
    if staged.is_some() || publication.permissions_restored > 0 || recording.is_some() {
        output.root.sync_all()?;
    }
    if let Some(staged) = staged {
        staged.put(output)?;
    }
    if let Some(recording) = recording {
        publication.generation = publication.or_warn(recording.finish());
    }
    Ok(())
}

/// Forgets the files that Envoys rejected, so that they are tried again; gives the number of proxies.
///
/// # Errors
/// When the inventory cannot be understood or replaced.
pub fn forget_nacks(out: &OutputDir, lock: &Lock) -> Result<usize> {
    let (root, meta) = held(out, lock)?;
    let output = OpenOutput::new(out, root, meta)?;
    let on_disk = Inventory::read(&output.meta, Shards::All)?;
    let mut inventory = on_disk.clone();
    let entries = inventory.proxies.values_mut();
    let forgotten = entries.filter_map(|entry| entry.nack.take()).count();
    inventory.replace(&on_disk, &output)?;
    Ok(forgotten)
}
