//! Carries out a plan: files on disk, and Envoy's word that it took them.
//!
//! Start with [`observe`] and [`apply`]. Whatever is interrupted, and wherever, every proxy stays loadable:
//! new files are complete on disk before the first rename, and the renames of a proxy come in an order in which
//! every state on the way is one that Envoy can load. What is ours is in the inventory; nothing else is touched.

mod admin;
pub mod contributions;
mod inventory;
mod publish;
mod stage;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::envoy::artifact::{Artifact, Files, ProxyKey};
use crate::plan::{Action, Applied, Change, Plan};
use crate::settings::Admin;

use inventory::Inventory;

/// Where and how files are written.
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
    /// Where a proxy answers.
    pub admin: Admin,
    /// How long a proxy may take to confirm one step.
    pub confirm_timeout: Duration,
}

/// Name of the directory below the root that is ours alone.
const PRIVATE: &str = ".meshtraced";

/// Why nothing, or not everything, could be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another process publishes there.
    #[error("another meshtraced publishes to {}", .0.display())]
    Locked(PathBuf),
    /// The inventory cannot be understood, so nobody knows what is ours.
    #[error("{} is damaged: move it and the files beside it away, and they will be written anew", .0.display())]
    Inventory(PathBuf),
    /// There is no room.
    #[error("no room in {}: {needed} bytes are needed for the new files; nothing was changed", .directory.display())]
    Full {
        /// The directory.
        directory: PathBuf,
        /// Bytes of all new files.
        needed: u64,
        /// The reason.
        source: io::Error,
    },
    /// The user of this process may not do that.
    #[error("user {user} may not {action} {}", .path.display())]
    Denied {
        /// The user of this process.
        user: String,
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Something else is in the way.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file that is not ours lies where one of ours belongs.
    #[error("{} is there and was not written by meshtraced: move it away", .0.display())]
    Foreign(PathBuf),
    /// A directory below the root is a link, and may lead anywhere.
    #[error("{} is a link; below the output directory there must be none", .0.display())]
    Link(PathBuf),
}

impl ApplyError {
    /// The error of an action on a path.
    fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied {
                user: user(),
                action,
                path,
                source,
            },
            _ => Self::Io { action, path, source },
        }
    }
}

/// The user of this process, by name where the system knows one.
fn user() -> String {
    let id = rustix::process::geteuid().as_raw();
    let table = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id.to_string()).then(|| name.to_owned())
    });
    name.map_or_else(|| id.to_string(), |name| format!("{name} ({id})"))
}

/// The right to publish to a directory, as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the right to publish to the target, and clears what a killed run left behind.
///
/// # Errors
/// When another process has it, or the directory cannot be made or written.
pub fn lock(target: &Target) -> Result<Lock, ApplyError> {
    let private = target.private();
    make_directory(target, &target.root)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&private)
        .map_err(|error| ApplyError::new("create", &private, error))?;
    let path = private.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| ApplyError::new("write", &path, error))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(ApplyError::Locked(target.root.clone())),
        Err(error) => return Err(ApplyError::new("lock", &path, error.into())),
    }
    stage::clear(target)?;
    Ok(Lock { _file: file })
}

/// What is on disk and ours. A directory that is not there holds nothing.
///
/// # Errors
/// When the inventory cannot be read.
pub fn observe(target: &Target) -> Result<Applied, ApplyError> {
    let inventory = Inventory::read(target)?;
    let mut applied = Applied::new();
    for (proxy, owned) in inventory.proxies() {
        let mut files = Files::new();
        for artifact in owned {
            // A file that is gone, or is no text any more, differs from every text that is desired.
            if let Ok(text) = fs::read_to_string(target.path(&proxy, artifact)) {
                files.insert(artifact, text);
            }
        }
        applied.insert(proxy, files);
    }
    Ok(applied)
}

/// What came of carrying out a plan.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What came of every proxy that was to change.
    pub proxies: BTreeMap<ProxyKey, (Action, Result<Word, ApplyError>)>,
    /// How many files were written.
    pub files_written: usize,
}

/// What a proxy says to its new files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It took them.
    Confirmed,
    /// It does not run, and will load them when it starts.
    NotRunning,
    /// It was not asked, or has not answered in time.
    Unknown,
    /// It refused them, in these words, and keeps what it had.
    Rejected(String),
}

impl Outcome {
    /// How many proxies said that.
    #[must_use]
    pub fn count(&self, word: &Word) -> usize {
        self.proxies
            .values()
            .filter(|(_, result)| result.as_ref().is_ok_and(|said| said == word))
            .count()
    }

    /// The proxies that could not be brought to what is desired, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&ProxyKey, String)> {
        self.proxies.iter().filter_map(|(proxy, (_, result))| match result {
            Ok(Word::Rejected(why)) => Some((proxy, format!("Envoy says {why:?}; it keeps what it had"))),
            Err(error) => Some((proxy, with_causes(error))),
            Ok(Word::Confirmed | Word::NotRunning | Word::Unknown) => None,
        })
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", with_causes(source)),
        None => error.to_string(),
    }
}

/// Carries out a plan.
///
/// # Errors
/// When not even the new files could be staged: then nothing was changed. What befalls a single proxy later is in
/// the outcome.
pub fn apply(plan: &Plan, target: &Target, _lock: &Lock) -> Result<Outcome, ApplyError> {
    let mut inventory = Inventory::read(target)?;
    let mut outcome = Outcome::default();
    let mut publications = Vec::new();
    for change in &plan.changes {
        match accept(change, target, &inventory) {
            Ok(None) => publications.push(change),
            Ok(Some(word)) => {
                outcome.proxies.insert(change.proxy.clone(), (change.action, Ok(word)));
            }
            Err(error) => {
                outcome
                    .proxies
                    .insert(change.proxy.clone(), (change.action, Err(error)));
            }
        }
    }
    if !publications.is_empty() {
        let staged = stage::stage(&publications, target)?;
        for change in &publications {
            inventory.own(&change.proxy, change.after.keys().copied());
        }
        inventory.write(target)?;
        outcome.files_written = staged.files();
        let results = publish::publish_all(&publications, &staged, target);
        for (change, result) in publications.into_iter().zip(results) {
            inventory.settle(change, &result);
            outcome.proxies.insert(change.proxy.clone(), (change.action, result));
        }
        inventory.write(target)?;
        stage::clear(target)?;
        sync(&target.root)?;
    }
    mend_modes(&inventory, target)?;
    Ok(outcome)
}

/// Whether a change can be tried: `Some` is the word of a proxy that has refused just that before.
fn accept(change: &Change, target: &Target, inventory: &Inventory) -> Result<Option<Word>, ApplyError> {
    if let Some(why) = inventory.rejected(&change.proxy, &change.after) {
        return Ok(Some(Word::Rejected(why.to_owned())));
    }
    for (&artifact, text) in &change.after {
        let path = target.path(&change.proxy, artifact);
        refuse_links(target, &path)?;
        if inventory.owns(&change.proxy, artifact) {
            continue;
        }
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Equal bytes are as good as ours.
            Ok(bytes) if bytes == text.as_bytes() => {}
            Ok(_) => return Err(ApplyError::Foreign(path)),
            Err(error) => return Err(ApplyError::new("read", &path, error)),
        }
    }
    Ok(None)
}

/// Refuses a path that leads through a link below the root.
fn refuse_links(target: &Target, path: &Path) -> Result<(), ApplyError> {
    for parent in path.ancestors().skip(1).take_while(|parent| *parent != target.root) {
        if fs::symlink_metadata(parent).is_ok_and(|metadata| metadata.is_symlink()) {
            return Err(ApplyError::Link(parent.to_owned()));
        }
    }
    Ok(())
}

/// Gives the files of the inventory the mode of the settings, which may have changed.
fn mend_modes(inventory: &Inventory, target: &Target) -> Result<(), ApplyError> {
    for (proxy, owned) in inventory.proxies() {
        for path in owned.into_iter().map(|artifact| target.path(&proxy, artifact)) {
            let Ok(metadata) = fs::symlink_metadata(&path) else {
                continue;
            };
            if metadata.is_file() && metadata.permissions().mode() & 0o7777 != target.mode {
                let mode = fs::Permissions::from_mode(target.mode);
                fs::set_permissions(&path, mode)
                    .map_err(|error| ApplyError::new("change the mode of", &path, error))?;
            }
        }
    }
    Ok(())
}

/// Makes what was written durable: one sync for all of it.
fn sync(path: &Path) -> Result<(), ApplyError> {
    let synced = File::open(path).and_then(|directory| rustix::fs::syncfs(&directory).map_err(io::Error::from));
    synced.map_err(|error| ApplyError::new("sync", path, error))
}

/// Makes a directory, and those above it, with the mode and owner that files have.
fn make_directory(target: &Target, path: &Path) -> Result<(), ApplyError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| parent.starts_with(&target.root)) {
        make_directory(target, parent)?;
    }
    let mode = target.mode | (target.mode & 0o444) >> 2;
    fs::DirBuilder::new()
        .recursive(true)
        .create(path)
        .map_err(|error| ApplyError::new("create", path, error))?;
    let settled = fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .and_then(|()| std::os::unix::fs::chown(path, target.owner, target.group));
    settled.map_err(|error| ApplyError::new("change mode and owner of", path, error))
}

/// Removes what belonged to a proxy: its files, the socket its Envoy left, and the directories that are empty then.
fn remove(proxy: &ProxyKey, owned: impl Iterator<Item = Artifact>, target: &Target) -> Result<(), ApplyError> {
    for artifact in owned {
        let path = target.path(proxy, artifact);
        refuse_links(target, &path)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ApplyError::new("remove", &path, error));
            }
            _ => {}
        }
    }
    let directory = target.directory(proxy);
    let socket = directory.join(crate::envoy::ADMIN_SOCKET);
    if fs::symlink_metadata(&socket).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        fs::remove_file(&socket).map_err(|error| ApplyError::new("remove", &socket, error))?;
    }
    for directory in [directory.join("xds"), directory.clone(), directory.join("..")] {
        // A directory with something else in it stays.
        let _ = fs::remove_dir(directory);
    }
    Ok(())
}

impl Target {
    fn private(&self) -> PathBuf {
        self.root.join(PRIVATE)
    }

    /// The directory of a proxy.
    fn directory(&self, proxy: &ProxyKey) -> PathBuf {
        self.root.join(proxy.directory())
    }

    /// Where a file of a proxy lies.
    fn path(&self, proxy: &ProxyKey, artifact: Artifact) -> PathBuf {
        self.directory(proxy).join(artifact.path())
    }
}
