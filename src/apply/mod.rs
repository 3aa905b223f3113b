//! Carries out a plan: files on disk, and Envoy's word that it took them.
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

mod admin;
pub mod contributions;
mod error;
pub mod history;
mod inventory;
mod lock;
mod observe;
mod prepare;
mod publish;
pub mod reload;
mod session;
mod settle;
mod state;
pub mod survey;
mod tree;
mod validate;
pub mod word;

pub use error::ApplyError;
pub use lock::Lock;
pub use observe::observe;
pub use session::Session;
pub use state::{Frozen, State};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use self::inventory::{Entry, Inventory, Rejection, digest};
use self::lock::held;
use self::publish::{Job, Published, Room};
use self::session::Cache;
use self::tree::{Access, Dir};
use self::validate::Validator;
use crate::envoy::artifact::ProxyKey;
use crate::plan::{Action, Change, Plan};
pub use crate::settings::Admin;
use crate::settings::Settings;
use crate::system::parallel;
use crate::words::with_causes;

type Result<T> = std::result::Result<T, ApplyError>;

/// What is ours and not for Envoy, below the output directory.
const META: &str = ".meshtraced";
/// Files on their way; nothing in it outlives a run.
const STAGING: &str = "staging";
/// The last listeners that were taken, of proxies whose new ones are not judged yet.
const UNDO: &str = "undo";

/// Where and how files are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The output directory; absolute.
    pub root: PathBuf,
    /// Mode of files; directories get `x` where files have `r`.
    pub mode: u32,
    /// User id of files and directories; `None` leaves it as it comes.
    pub owner: Option<u32>,
    /// Group id of files and directories; `None` leaves it as it comes.
    pub group: Option<u32>,
    /// Where the admin interfaces of the proxies are.
    pub admin: Admin,
    /// How long to wait for Envoy's word on one step.
    pub confirm_timeout: Duration,
    /// How long an Envoy may take to answer at all. It gets little of that at first, and all of it when the others are done;
    /// who comes back to it anyway needs none for that.
    pub patience: Duration,
    /// The Envoy by which files are validated before they are published.
    pub validate: Option<PathBuf>,
    /// How many generations are kept; 0 keeps none.
    pub history: usize,
}

impl Target {
    /// Where and how these settings publish.
    ///
    /// # Errors
    /// When the output directory cannot be made absolute.
    pub fn of(settings: &Settings) -> Result<Self> {
        let root = std::path::absolute(&settings.out)
            .map_err(|error| ApplyError::new("make absolute", &settings.out, error))?;
        Ok(Self {
            root,
            mode: settings.mode,
            owner: settings.owner,
            group: settings.group,
            admin: settings.envoy.admin.clone(),
            confirm_timeout: settings.envoy.confirm_timeout,
            patience: settings.envoy.confirm_timeout,
            validate: settings.envoy.validate.clone(),
            history: settings.history,
        })
    }

    /// What is meshtraced's own, and not for Envoy.
    #[must_use]
    pub fn own_directory(&self) -> PathBuf {
        self.root.join(META)
    }

    fn file(&self) -> Access {
        Access {
            mode: self.mode,
            owner: self.owner,
            group: self.group,
        }
    }

    fn directory(&self) -> Access {
        Access {
            mode: self.mode | (self.mode & 0o444) >> 2,
            ..self.file()
        }
    }

    /// The directory of a proxy, in which its Envoy makes the admin socket.
    ///
    /// An Envoy of the group needs to write there: what others put there it must not take away (sticky), and the
    /// socket is to be of the group too.
    fn proxy_directory(&self) -> Access {
        let shared = self.admin == Admin::Pipe && self.group.is_some();
        let directory = self.directory();
        Access {
            mode: directory.mode | if shared { 0o3030 } else { 0 },
            ..directory
        }
    }
}

/// Bootstraps of their own, into which the Envoys of these proxies merge their `fragment.yaml`.
pub type Bases = BTreeMap<ProxyKey, PathBuf>;

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What came of every proxy of the plan.
    pub proxies: BTreeMap<ProxyKey, (Action, Result<Word>)>,
    /// Files and directories that got back their mode or owner.
    pub mended: usize,
    /// What is ours and could not be mended or removed, and why.
    pub troubles: Vec<(ProxyKey, ApplyError)>,
    /// The generation that was recorded.
    pub generation: Option<u64>,
    /// What went wrong beside publishing and keeps nothing from being published: mode and owner of the output directory,
    /// the history.
    pub notes: Vec<ApplyError>,
}

/// What the Envoy of a proxy says to its new files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It took them.
    Confirmed,
    /// It does not run, and reads them when it starts.
    NotRunning,
    /// It reads nothing of what changed, or goes with its dataplane.
    NotAsked,
    /// It cannot be asked: there is no admin interface that is known to be its own.
    Unknown,
    /// It did not answer in time; why that is thought. The next run goes on with it.
    Waiting(String),
    /// It refused them, now or in a run before, in these words; it keeps what it had.
    Rejected(String),
}

impl Word {
    /// Whether the files are what was desired.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::Confirmed | Self::NotRunning | Self::NotAsked | Self::Unknown => true,
            Self::Waiting(_) | Self::Rejected(_) => false,
        }
    }
}

impl Outcome {
    /// How many proxies said that.
    #[must_use]
    pub fn count(&self, word: &Word) -> usize {
        let said = |result: &Result<Word>| result.as_ref().is_ok_and(|said| said == word);
        self.proxies.values().filter(|(_, result)| said(result)).count()
    }

    /// The proxies that could not be brought to what is desired, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&ProxyKey, String)> {
        let of_proxies = self.proxies.iter().filter_map(|(proxy, (_, result))| match result {
            Ok(Word::Rejected(why)) => Some((proxy, format!("Envoy says {why:?}; it keeps what it had, until its files change or `meshtraced heal` tries these again"))),
            Ok(Word::Waiting(why)) => Some((proxy, format!("{why}; the next run goes on with it"))),
            Ok(Word::Confirmed | Word::NotRunning | Word::NotAsked | Word::Unknown) => None,
            Err(error) => Some((proxy, with_causes(error))),
        });
        of_proxies.chain(self.troubles.iter().map(|(proxy, error)| (proxy, with_causes(error))))
    }

    /// What came of something that keeps nothing from being published.
    fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.notes.push(error)).ok()
    }

    fn set(&mut self, change: &Change, result: Result<Word>) {
        self.proxies.insert(change.proxy.clone(), (change.action, result));
    }
}

/// Replaces a small file of our own; durable when it returns, and the old one in full if it fails or is killed.
fn replace(target: &Target, meta: &Dir, name: &str, text: &str) -> Result<()> {
    let staging = meta.make_child(STAGING, target.directory())?;
    staging.remove(name)?;
    staging.create_durable(name, text, target.file())?;
    let moved = staging.move_to(name, meta, name, true);
    if moved.is_err() {
        // The first failure says more than one of tidying up.
        let _ = staging.remove(name);
    }
    moved?;
    meta.sync()
}

/// The time of day as it stands in our files: RFC 3339, in UTC, whole seconds.
#[must_use]
pub fn now() -> String {
    let now = chrono::DateTime::<chrono::Utc>::from(SystemTime::now());
    now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Refuses a file of ours that has another form than we know, whatever else is in it.
fn check_format(text: &str, known: u32) -> std::result::Result<(), String> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if format == known {
        Ok(())
    } else {
        Err(format!(
            "it has format {format}, and this version of meshtraced knows {known}"
        ))
    }
}

fn open(target: &Target) -> Result<Option<(Dir, Dir)>> {
    let Some(root) = Dir::open(&target.root)? else {
        return Ok(None);
    };
    Ok(root.child(META)?.map(|meta| (root, meta)))
}

fn undo_name(proxy: &ProxyKey) -> String {
    blake3::hash(proxy.directory().as_bytes()).to_hex()[..32].to_owned()
}

/// Carries out a plan, gives back mode and owner to files that lost them, and records what is published then as a
/// generation that came of that revision of the policies. Where files are validated, a fragment is so with the bootstrap
/// in `bases` that it is merged into.
///
/// What concerns one proxy only is told in the outcome and keeps no other from being published.
///
/// # Errors
/// When nothing can be published: no room, no permission, the directory replaced. After such an error every proxy
/// has a pair of files that starts, and the next run goes on from there.
pub fn apply(plan: &Plan, target: &Target, session: &Session, revision: &str, bases: &Bases) -> Result<Outcome> {
    let (root, meta) = held(target, session.lock())?;
    let mut outcome = Outcome::default();
    settle::mend_top(&root, &meta, target, &mut outcome);
    let room = Room {
        target,
        staging: meta.make_child(STAGING, target.directory())?,
        undo: meta.make_child(UNDO, target.directory())?,
        root,
    };
    let result = Validator::of(target, plan, bases).and_then(|validator| {
        run(
            plan,
            &room,
            &meta,
            &session.cache,
            revision,
            validator.as_ref(),
            &mut outcome,
        )
    });
    let emptied = room.staging.empty();
    result?;
    emptied?;
    Ok(outcome)
}

/// Forgets what Envoys refused, so that it is tried again; says of how many.
///
/// # Errors
/// When the inventory cannot be understood or replaced.
pub fn forget_refusals(target: &Target, lock: &Lock) -> Result<usize> {
    let (_, meta) = held(target, lock)?;
    let mut inventory = Inventory::read(&meta)?;
    let entries = inventory.proxies.values_mut();
    let forgotten = entries.filter_map(|entry| entry.rejection.take()).count();
    if forgotten > 0 {
        replace(target, &meta, inventory::NAME, &inventory.text())?;
    }
    Ok(forgotten)
}

fn run(
    plan: &Plan,
    room: &Room,
    meta: &Dir,
    cache: &Cache,
    revision: &str,
    validator: Option<&Validator>,
    outcome: &mut Outcome,
) -> Result<()> {
    let target = room.target;
    let on_disk = Inventory::read(meta)?;
    let needed = plan
        .changes
        .iter()
        .flat_map(|change| change.after.values())
        .map(|text| text.len() as u64)
        .sum();
    let no_room = |error: ApplyError| error.of_plan(&target.root, needed);

    let mut jobs = prepare::prepare(plan, room, &on_disk, validator, outcome).map_err(no_room)?;
    let mut inventory = on_disk.clone();
    if let Some(validator) = validator {
        validator
            .sift(room, cache, &mut jobs, &mut inventory, outcome)
            .map_err(no_room)?;
    }
    if !jobs.is_empty() {
        let mut under_way = on_disk.clone();
        for job in &jobs {
            under_way.proxies.entry(job.change.proxy.clone()).or_default().files = job.under_way();
        }
        under_way.stage(&room.staging, target.file()).map_err(no_room)?;
        // Durable before it is visible: what is renamed into place must not turn out empty after a power cut.
        room.root.sync_all().map_err(no_room)?;
        Inventory::put(&room.staging, meta)?;
        // No file may come before the inventory that lists it: it would pass for somebody else's.
        meta.sync()?;
    }
    let is_under_way = !jobs.is_empty();
    jobs.retain(|job| match publish::make_directories(room, job.change) {
        Ok(()) => true,
        Err(error) => {
            // Nothing of it was put in place, and the inventory says of it what it said before.
            outcome.set(job.change, Err(error));
            false
        }
    });
    for (job, published) in jobs.iter().zip(publish_all(room, &jobs, cache)) {
        record(job, published, &mut inventory, outcome);
    }
    settle::files_left_open(room, &mut inventory);
    settle::forget_refused(plan, &mut inventory);
    settle::remove_leftovers(room, &mut inventory, outcome);
    settle::mend(room, &inventory, outcome);
    let is_listed = !is_under_way && inventory == on_disk;
    finish(room, meta, &inventory, is_listed, revision, outcome)
}

/// Makes durable what was published, lists it, and records it as a generation.
fn finish(
    room: &Room,
    meta: &Dir,
    inventory: &Inventory,
    is_listed: bool,
    revision: &str,
    outcome: &mut Outcome,
) -> Result<()> {
    let touched = outcome.proxies.iter().map(|(proxy, (_, result))| {
        let is_done = result.as_ref().is_ok_and(Word::is_done);
        (proxy, is_done)
    });
    let recorded = history::record(room, meta, inventory, &touched.collect(), revision);
    let recording = outcome.note(recorded).flatten();
    if !is_listed {
        inventory.stage(&room.staging, room.target.file())?;
    }
    if !is_listed || outcome.mended > 0 || recording.is_some() {
        room.root.sync_all()?;
    }
    if !is_listed {
        Inventory::put(&room.staging, meta)?;
    }
    if let Some(recording) = recording {
        outcome.generation = outcome.note(recording.finish(room));
    }
    let pruned = history::prune(room.target, meta);
    outcome.note(pruned);
    Ok(())
}

/// Publishes several proxies at a time, so that a slow Envoy holds up none but its own.
///
/// Those that did not answer before come last, and the first question to each gets little time. Who is silent then is
/// asked once more when all others are done, if the target has the patience.
fn publish_all(room: &Room, jobs: &[Job], cache: &Cache) -> Vec<Published> {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|&index| cache.is_silent(&jobs[index].change.proxy));
    let mut all = BTreeMap::new();
    let (first, all_of_it) = (admin::first_patience(room.target), room.target.patience);
    let rounds = if all_of_it > first {
        vec![first, all_of_it]
    } else {
        vec![first]
    };
    for patience in rounds {
        let published = parallel::map(&order, parallel::max_envoy_connections(), |&index| {
            publish::publish(room, &jobs[index], patience)
        });
        all.extend(order.iter().copied().zip(published));
        order.retain(|index| all[index].was_silent);
    }
    for (&index, published) in &all {
        cache.set_silent(&jobs[index].change.proxy, published.was_silent);
    }
    all.into_values().collect()
}

fn record(job: &Job, published: Published, inventory: &mut Inventory, outcome: &mut Outcome) {
    let proxy = &job.change.proxy;
    tracing::debug!(
        mesh = proxy.mesh,
        dataplane = proxy.dataplane,
        "{proxy}: {:?}",
        published.word
    );
    let rejection = match &published.word {
        Ok(Word::Rejected(reason)) => Some(Rejection {
            digest: digest(&job.change.after),
            reason: reason.clone(),
            by: None,
        }),
        _ => None,
    };
    let files = published.owned;
    inventory.proxies.insert(proxy.clone(), Entry { files, rejection });
    outcome.set(job.change, published.word);
}
