//! Carries out a plan: files on disk, and Envoy's word that it took them.
//!
//! Everything is written aside first, so that a full disk or a missing permission changes nothing that is
//! published; then it is renamed into place, proxy by proxy, in the order of [`plan::steps`](crate::plan::steps()).
//! Only files of the inventory are ours: others are never touched. Start with [`apply`]; why something changes is
//! not known here.

mod admin;
pub mod contributions;
mod error;
mod http;
mod inventory;
mod publish;
mod tree;

pub use error::ApplyError;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use self::inventory::{Entry, Inventory, Rejection, digest};
use self::publish::{Job, Published, Room, Staged};
use self::tree::{Access, Content, Dir};
use crate::diag::text::with_causes;
use crate::envoy::artifact::{Artifact, Files, ProxyKey};
use crate::envoy::xds;
use crate::plan::{self, Action, Applied, Change, Plan, Step};
pub use crate::settings::Admin;

type Result<T> = std::result::Result<T, ApplyError>;

/// What is ours and not for Envoy, below the output directory.
const META: &str = ".meshtraced";
const LOCK: &str = "lock";
/// Files on their way; nothing in it outlives a run.
const STAGING: &str = "staging";
/// The last listeners that were taken, of proxies whose new ones are not judged yet.
const UNDO: &str = "undo";

/// Proxies that are published at the same time; each waits for its own Envoy.
const AT_ONCE: usize = 8;

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
}

impl Target {
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

/// The right to publish to a directory, held until it is dropped, or its process ends in any way.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone is not enough: a child that was forked and has not called `exec` yet holds the file too.
        // When this fails the closing of the last copy still does it.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What came of every proxy of the plan.
    pub proxies: BTreeMap<ProxyKey, (Action, Result<Word>)>,
    /// Files and directories that got back their mode or owner.
    pub mended: usize,
    /// What is ours and could not be mended or removed, and why.
    pub troubles: Vec<(ProxyKey, ApplyError)>,
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
            Ok(Word::Rejected(why)) => Some((proxy, format!("Envoy says {why:?}; it keeps what it had"))),
            Ok(Word::Waiting(why)) => Some((proxy, format!("{why}; the next run goes on with it"))),
            Ok(Word::Confirmed | Word::NotRunning | Word::NotAsked | Word::Unknown) => None,
            Err(error) => Some((proxy, with_causes(error))),
        });
        of_proxies.chain(self.troubles.iter().map(|(proxy, error)| (proxy, with_causes(error))))
    }

    fn set(&mut self, change: &Change, result: Result<Word>) {
        self.proxies.insert(change.proxy.clone(), (change.action, result));
    }
}

/// Takes the right to publish, and removes what a killed run left on its way.
///
/// # Errors
/// When another process has it, or the directory cannot be made.
pub fn lock(target: &Target) -> Result<Lock> {
    let meta = Dir::make(&target.root, target.directory())?.make_child(META, target.directory())?;
    let mut file = meta.open_or_create(LOCK, target.file())?;
    let failed = |error| ApplyError::new("lock", &meta.path().join(LOCK), error);
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            let holder = file
                .read_to_string(&mut holder)
                .ok()
                .and_then(|_| holder.trim().parse().ok());
            let directory = target.root.clone();
            return Err(ApplyError::Locked { directory, holder });
        }
        Err(error) => return Err(failed(error.into())),
    }
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    meta.make_child(STAGING, target.directory())?.empty()?;
    Ok(Lock { file })
}

/// What is on disk and ours. What is missing, or is no text, is left out, so that it is written again; so are
/// listeners that Envoy has not judged yet.
///
/// # Errors
/// When the inventory cannot be understood, or a directory or file cannot be read.
pub fn observe(target: &Target) -> Result<Applied> {
    let mut applied = Applied::new();
    let Some((root, meta)) = open(target)? else {
        return Ok(applied);
    };
    let undo = meta.child(UNDO)?;
    for (proxy, entry) in Inventory::read(&meta)?.proxies {
        if entry.files.is_empty() {
            continue;
        }
        let mut files = read_files(&root, &proxy, &entry.files)?;
        if undo
            .as_ref()
            .is_some_and(|undo| undo.exists(&undo_name(&proxy)).unwrap_or(true))
        {
            files.remove(&Artifact::Lds);
        }
        applied.insert(proxy, files);
    }
    Ok(applied)
}

fn open(target: &Target) -> Result<Option<(Dir, Dir)>> {
    let Some(root) = Dir::open(&target.root)? else {
        return Ok(None);
    };
    Ok(root.child(META)?.map(|meta| (root, meta)))
}

fn read_files(root: &Dir, proxy: &ProxyKey, artifacts: &BTreeSet<Artifact>) -> Result<Files> {
    let dir = match root.below(&proxy.directory()) {
        Ok(Some(dir)) => dir,
        // What lies behind a link is not ours; publishing there fails and says so.
        Ok(None) | Err(ApplyError::Link { .. }) => return Ok(Files::new()),
        Err(error) => return Err(error),
    };
    let mut files = Files::new();
    for &artifact in artifacts {
        if let Ok(Content::Text(text)) = publish::read(&dir, artifact) {
            files.insert(artifact, text);
        }
    }
    Ok(files)
}

fn undo_name(proxy: &ProxyKey) -> String {
    blake3::hash(proxy.directory().as_bytes()).to_hex()[..32].to_owned()
}

/// Carries out a plan, and gives back mode and owner to files that lost them.
///
/// What concerns one proxy only is told in the outcome and keeps no other from being published.
///
/// # Errors
/// When nothing can be published: no room, no permission, the directory replaced. After such an error every proxy
/// has a pair of files that starts, and the next run goes on from there.
pub fn apply(plan: &Plan, target: &Target, lock: &Lock) -> Result<Outcome> {
    let replaced = || ApplyError::Replaced {
        directory: target.root.clone(),
    };
    let (root, meta) = open(target)?.ok_or_else(replaced)?;
    let locked = lock
        .file
        .metadata()
        .map_err(|e| ApplyError::new("look at", &meta.path().join(LOCK), e))?;
    if meta.identity(LOCK) != Some((locked.dev(), locked.ino())) {
        return Err(replaced());
    }
    let room = Room {
        target,
        staging: meta.make_child(STAGING, target.directory())?,
        undo: meta.make_child(UNDO, target.directory())?,
        root,
    };
    let result = run(plan, &room, &meta);
    let emptied = room.staging.empty();
    let outcome = result?;
    emptied?;
    Ok(outcome)
}

fn run(plan: &Plan, room: &Room, meta: &Dir) -> Result<Outcome> {
    let target = room.target;
    let on_disk = Inventory::read(meta)?;
    let mut outcome = Outcome::default();
    let needed = plan
        .changes
        .iter()
        .flat_map(|change| change.after.values())
        .map(|text| text.len() as u64)
        .sum();
    let no_room = |error: ApplyError| error.of_plan(&target.root, needed);

    let mut jobs = prepare(plan, room, &on_disk, &mut outcome).map_err(no_room)?;
    if !jobs.is_empty() {
        // Durable before it is visible: what is renamed into place must not turn out empty after a power cut.
        room.root.sync().map_err(no_room)?;
    }
    let mut inventory = on_disk.clone();
    for job in &jobs {
        let entry = inventory.proxies.entry(job.change.proxy.clone()).or_default();
        entry.files.extend(job.change.after.keys());
    }
    let mut written = on_disk.clone();
    let mut save = |inventory: &Inventory| {
        if *inventory != written {
            inventory.write(meta, &room.staging, target.file())?;
            written.clone_from(inventory);
        }
        Ok(())
    };
    save(&inventory).map_err(no_room)?;
    jobs.retain(|job| match publish::make_directories(room, job.change) {
        Ok(()) => true,
        Err(error) => {
            outcome.set(job.change, Err(error));
            // Nothing of it was put in place.
            restore_entry(&mut inventory, &on_disk, &job.change.proxy);
            false
        }
    });
    for (job, published) in jobs.iter().zip(publish_all(room, &jobs)) {
        record(job, published, &mut inventory, &mut outcome);
    }
    remove_leftovers(room, &mut inventory, &mut outcome);
    mend(room, &inventory, &mut outcome);
    save(&inventory)?;
    if inventory != on_disk || !jobs.is_empty() || outcome.mended > 0 {
        room.root.sync()?;
    }
    Ok(outcome)
}

fn restore_entry(inventory: &mut Inventory, on_disk: &Inventory, proxy: &ProxyKey) {
    match on_disk.proxies.get(proxy) {
        Some(entry) => inventory.proxies.insert(proxy.clone(), entry.clone()),
        None => inventory.proxies.remove(proxy),
    };
}

/// Writes aside what the plan puts in place.
fn prepare<'p>(plan: &'p Plan, room: &Room, inventory: &Inventory, outcome: &mut Outcome) -> Result<Vec<Job<'p>>> {
    let mut jobs = Vec::new();
    for (index, change) in plan.changes.iter().enumerate() {
        let entry = inventory.proxies.get(&change.proxy);
        if let Some(rejection) = entry.and_then(|entry| entry.rejection.as_ref())
            && change.action != Action::Remove
            && rejection.digest == digest(&change.after)
        {
            outcome.set(change, Ok(Word::Rejected(rejection.reason.clone())));
            continue;
        }
        let owned = entry.map(|entry| entry.files.clone()).unwrap_or_default();
        match adopt(room, change, &owned) {
            Ok(adopted) => jobs.push(stage(room, index, change, owned, &adopted)?),
            Err(error @ (ApplyError::Foreign { .. } | ApplyError::Link { .. })) => {
                outcome.set(change, Err(error));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(jobs)
}

/// The files that are not ours yet and are as we would write them.
fn adopt(room: &Room, change: &Change, owned: &BTreeSet<Artifact>) -> Result<Files> {
    let mut adopted = Files::new();
    let Some(dir) = room.root.below(&change.proxy.directory())? else {
        return Ok(adopted);
    };
    for (&artifact, text) in change.after.iter().filter(|(artifact, _)| !owned.contains(artifact)) {
        match publish::read(&dir, artifact)? {
            Content::Missing => {}
            Content::Text(found) if found == *text => {
                adopted.insert(artifact, found);
            }
            Content::Text(_) | Content::Other => {
                return Err(ApplyError::Foreign {
                    path: dir.path().join(artifact.path()),
                });
            }
        }
    }
    Ok(adopted)
}

fn stage<'p>(
    room: &Room,
    index: usize,
    change: &'p Change,
    mut owned: BTreeSet<Artifact>,
    adopted: &Files,
) -> Result<Job<'p>> {
    owned.extend(adopted.keys());
    let steps = if adopted.is_empty() {
        plan::steps(change)
    } else {
        let mut rest = change.clone();
        rest.before.extend(adopted.clone());
        plan::steps(&rest)
    };
    let mut staged = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        staged.push(match step {
            Step::Remove(artifact) => Staged::Remove(artifact),
            Step::Write(artifact, text) => {
                let name = format!("{index}-{number}");
                room.staging.create(&name, &text, room.target.file())?;
                let version = xds::version(&text);
                Staged::Put {
                    artifact,
                    name,
                    version,
                }
            }
        });
    }
    // Ours and not desired, and no text that was read: changed beyond reading, or gone when a run was killed.
    let is_planned = |artifact: &Artifact| change.before.contains_key(artifact) || change.after.contains_key(artifact);
    let rest = owned.iter().rev().filter(|artifact| !is_planned(artifact));
    staged.extend(rest.copied().map(Staged::Remove));
    Ok(Job {
        change,
        index,
        steps: staged,
        owned,
    })
}

/// Publishes several proxies at a time, so that a slow Envoy holds up none but its own.
fn publish_all(room: &Room, jobs: &[Job]) -> Vec<Published> {
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<usize, Published>> = Mutex::default();
    let work = || {
        while let Some((index, job)) = (|i| Some((i, jobs.get(i)?)))(next.fetch_add(1, Ordering::Relaxed)) {
            let published = publish::publish(room, job);
            results
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(index, published);
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(jobs.len()) {
            scope.spawn(work);
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_values().collect()
}

fn record(job: &Job, published: Published, inventory: &mut Inventory, outcome: &mut Outcome) {
    let proxy = &job.change.proxy;
    tracing::debug!(mesh = proxy.mesh, dataplane = proxy.dataplane, word = ?published.word, "published");
    let rejection = match &published.word {
        Ok(Word::Rejected(reason)) => Some(Rejection {
            digest: digest(&job.change.after),
            reason: reason.clone(),
        }),
        _ => None,
    };
    let files = published.owned;
    inventory.proxies.insert(proxy.clone(), Entry { files, rejection });
    outcome.set(job.change, published.word);
}

/// Removes what is left of proxies that have no files any more: sockets and empty directories.
fn remove_leftovers(room: &Room, inventory: &mut Inventory, outcome: &mut Outcome) {
    inventory.proxies.retain(|proxy, entry| {
        if !entry.files.is_empty() {
            return true;
        }
        match publish::remove_directories(room, proxy) {
            Ok(is_gone) => !is_gone,
            Err(error) => {
                outcome.troubles.push((proxy.clone(), error));
                true
            }
        }
    });
}

/// Gives back mode and owner to what is ours.
fn mend(room: &Room, inventory: &Inventory, outcome: &mut Outcome) {
    let mut mended_meshes = BTreeSet::new();
    for (proxy, entry) in inventory.proxies.iter().filter(|(_, entry)| !entry.files.is_empty()) {
        let with_mesh = mended_meshes.insert(&proxy.mesh);
        match publish::mend(room, proxy, &entry.files, with_mesh) {
            Ok(count) => outcome.mended += count,
            // Publishing has said that already, or will when there is something to publish.
            Err(ApplyError::Link { .. }) => {}
            Err(error) => outcome.troubles.push((proxy.clone(), error)),
        }
    }
}
