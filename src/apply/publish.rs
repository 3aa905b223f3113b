//! One proxy: its files renamed into place one after the other, each when its Envoy is ready for it.

use std::time::{Duration, Instant};

use super::admin::{Envoy, Stats, Verdict, Voice};
use super::inventory::{Known, Owned};
use super::tree::{Access, Content, Dir};
use super::{ApplyError, Result, Target, Word, undo_name};
use crate::envoy::ADMIN_SOCKET;
use crate::envoy::artifact::{Artifact, ProxyKey};
use crate::envoy::xds;
use crate::plan::digest::Digest;
use crate::plan::{Action, Change};
use crate::system::http_client::Connection;

/// Between the steps for an Envoy that cannot be asked; it needs milliseconds.
const PAUSE: Duration = Duration::from_secs(1);

/// The directory of a proxy's files for Envoy.
const XDS: &str = "xds";

/// Where things are.
#[derive(Debug)]
pub(super) struct Room<'t> {
    pub(super) target: &'t Target,
    pub(super) root: Dir,
    pub(super) staging: Dir,
    pub(super) undo: Dir,
}

/// What is to be done for one proxy.
#[derive(Debug)]
pub(super) struct Job<'p> {
    pub(super) change: &'p Change,
    /// Sets its staged files apart.
    pub(super) index: usize,
    pub(super) steps: Vec<Staged>,
    /// The files that are ours, as they were.
    pub(super) owned: Owned,
}

impl Job<'_> {
    /// The files that may be there while the job is under way, with all that each may hold.
    pub(super) fn under_way(&self) -> Owned {
        let mut all = self.owned.clone();
        for step in &self.steps {
            match step {
                Staged::Put { artifact, digest, .. } => {
                    all.entry(*artifact)
                        .or_insert_with(nothing)
                        .insert(Some(digest.clone()));
                }
                Staged::Remove(artifact) => {
                    all.entry(*artifact).or_default().insert(None);
                }
            }
        }
        all
    }
}

/// What is known of a file that is not there yet.
fn nothing() -> Known {
    Known::from([None])
}

/// A step whose text lies ready.
#[derive(Debug)]
pub(super) enum Staged {
    /// The staged file of that name is put in place.
    Put {
        artifact: Artifact,
        name: String,
        digest: Digest,
        version: Option<String>,
    },
    Remove(Artifact),
}

impl Staged {
    /// Whether it is a file that a running Envoy reads again.
    fn is_dynamic(&self) -> bool {
        let Self::Put { artifact, .. } = self else { return false };
        matches!(artifact, Artifact::Cds | Artifact::Lds)
    }
}

/// What came of a job.
#[derive(Debug)]
pub(super) struct Published {
    /// The files that are ours now.
    pub(super) owned: Owned,
    pub(super) word: Result<Word>,
    /// Nothing was done, since its Envoy did not answer the first question.
    pub(super) was_silent: bool,
}

/// Carries out one job. Its Envoy has so long for its first answer.
pub(super) fn publish(room: &Room, job: &Job, patience: Duration) -> Published {
    let mut publishing = Publishing {
        room,
        job,
        patience,
        owned: job.owned.clone(),
        was_silent: false,
    };
    let word = publishing.run();
    Published {
        owned: publishing.owned,
        word,
        was_silent: publishing.was_silent,
    }
}

/// A job under way.
struct Publishing<'r, 'p> {
    room: &'r Room<'r>,
    job: &'r Job<'p>,
    patience: Duration,
    owned: Owned,
    was_silent: bool,
}

impl<'r> Publishing<'r, '_> {
    fn run(&mut self) -> Result<Word> {
        let Some(dir) = self.room.root.below(&self.job.change.proxy.directory())? else {
            // Somebody removed all of it already.
            self.owned.clear();
            self.forget_old(Artifact::Lds)?;
            return Ok(Word::NotAsked);
        };
        match self.job.change.action {
            Action::Add => return self.carry_out(&dir, None, Duration::ZERO, Word::NotRunning),
            Action::Change if self.job.steps.iter().any(Staged::is_dynamic) => {}
            Action::Change | Action::Remove => return self.carry_out(&dir, None, Duration::ZERO, Word::NotAsked),
        }
        let (target, proxy) = (self.room.target, &self.job.change.proxy);
        match Voice::of(target, proxy, dir.path(), self.patience) {
            Voice::Answers(envoy, stats) => self
                .carry_out(&dir, Some((envoy, stats)), Duration::ZERO, Word::Confirmed)
                .and_then(|word| self.look_again(&dir, word)),
            Voice::Absent => self
                .carry_out(&dir, None, Duration::ZERO, Word::NotRunning)
                .and_then(|word| self.look_again(&dir, word)),
            Voice::Unknown => self.carry_out(&dir, None, PAUSE, Word::Unknown),
            // It would see several steps at once when it wakes, in no certain order.
            Voice::Silent(why) => {
                self.was_silent = true;
                Ok(Word::Waiting(why))
            }
        }
    }

    fn carry_out(
        &mut self,
        dir: &Dir,
        mut envoy: Option<(Envoy, Stats)>,
        pause: Duration,
        mut word: Word,
    ) -> Result<Word> {
        let steps = &self.job.steps;
        if let Some((envoy, stats)) = &mut envoy
            && let Some(word) = self.wait_for_clusters(dir, envoy, stats)?
        {
            return Ok(word);
        }
        for (i, step) in steps.iter().enumerate() {
            match (step, &mut envoy) {
                (Staged::Remove(artifact), _) => self.remove(dir, *artifact)?,
                (
                    Staged::Put {
                        artifact,
                        name,
                        digest,
                        version,
                    },
                    Some((asked, stats)),
                ) if step.is_dynamic() => {
                    self.keep_old(dir, *artifact)?;
                    self.put(dir, *artifact, name, digest)?;
                    match asked.verdict(*artifact, version.as_deref(), stats) {
                        Verdict::Taken => self.forget_old(*artifact)?,
                        Verdict::Refused => return self.put_back(dir, *artifact, asked, stats),
                        Verdict::Open => return Ok(self.waiting(*artifact)),
                        Verdict::Gone => (envoy, word) = (None, Word::NotRunning),
                    }
                }
                (
                    Staged::Put {
                        artifact, name, digest, ..
                    },
                    _,
                ) => {
                    let is_judged_later = self.job.change.action == Action::Change && word == Word::NotRunning;
                    if *artifact == Artifact::Lds && is_judged_later {
                        self.keep_old(dir, *artifact)?;
                    }
                    self.put(dir, *artifact, name, digest)?;
                    if *artifact == Artifact::Lds && !is_judged_later {
                        self.forget_old(*artifact)?;
                    }
                    if *artifact == Artifact::Lds && !pause.is_zero() {
                        // Refused if the clusters were not read yet, and not tried again for their sake.
                        std::thread::sleep(pause);
                        self.put_again(dir, *artifact)?;
                    }
                    if step.is_dynamic() && steps[i + 1..].iter().any(Staged::is_dynamic) {
                        std::thread::sleep(pause);
                    }
                }
            }
        }
        Ok(word)
    }

    /// Makes sure that Envoy has the clusters on disk, if the first step relies on them.
    ///
    /// It may not have them when a run before this one did not wait for it to the end.
    fn wait_for_clusters(&mut self, dir: &Dir, envoy: &Envoy, stats: &mut Stats) -> Result<Option<Word>> {
        let text = match self.job.steps.first() {
            Some(Staged::Put {
                artifact: Artifact::Lds,
                ..
            }) => self.job.change.before.get(&Artifact::Cds),
            _ => None,
        };
        let Some(version) = text.and_then(|text| xds::version(text)) else {
            return Ok(None);
        };
        if stats.of(Artifact::Cds).version == version {
            return Ok(None);
        }
        self.put_again(dir, Artifact::Cds)?;
        Ok(match envoy.verdict(Artifact::Cds, Some(&version), stats) {
            Verdict::Open => Some(self.waiting(Artifact::Cds)),
            // Whether what it has suffices shows when it gets the listeners.
            Verdict::Taken | Verdict::Refused | Verdict::Gone => None,
        })
    }

    fn waiting(&self, artifact: Artifact) -> Word {
        let (path, timeout) = (artifact.path(), self.room.target.confirm_timeout);
        Word::Waiting(format!("Envoy did not confirm {path} within {timeout:?}"))
    }

    /// Looks whether an Envoy that did not run has started meanwhile.
    ///
    /// It may have read the clusters before they changed and the listeners after, and then it has refused those: it gets
    /// them again. One that starts after this look finds everything in place.
    fn look_again(&mut self, dir: &Dir, word: Word) -> Result<Word> {
        let listeners = self.job.steps.iter().find_map(|step| match step {
            Staged::Put {
                artifact: Artifact::Lds,
                version,
                ..
            } => Some(version.as_deref()),
            Staged::Put { .. } | Staged::Remove(_) => None,
        });
        let (Some(version), Word::NotRunning) = (listeners, &word) else {
            return Ok(word);
        };
        let (target, proxy) = (self.room.target, &self.job.change.proxy);
        let word = match Voice::of(target, proxy, dir.path(), target.confirm_timeout) {
            Voice::Absent | Voice::Unknown => word,
            Voice::Answers(_, stats) if version == Some(&stats.of(Artifact::Lds).version) => Word::Confirmed,
            Voice::Answers(envoy, mut stats) => {
                self.put_again(dir, Artifact::Lds)?;
                match envoy.verdict(Artifact::Lds, version, &mut stats) {
                    Verdict::Taken => Word::Confirmed,
                    Verdict::Refused => return self.put_back(dir, Artifact::Lds, &envoy, &mut stats),
                    Verdict::Open => return Ok(self.waiting(Artifact::Lds)),
                    Verdict::Gone => word,
                }
            }
            Voice::Silent(why) => return Ok(Word::Waiting(why)),
        };
        self.forget_old(Artifact::Lds)?;
        Ok(word)
    }

    fn put(&mut self, dir: &Dir, artifact: Artifact, staged: &str, digest: &Digest) -> Result<()> {
        let (dir, name) = place(dir, artifact)?;
        let before = self.owned.get(&artifact).cloned();
        // Until it is known how it went, both may be there.
        self.owned
            .entry(artifact)
            .or_insert_with(nothing)
            .insert(Some(digest.clone()));
        match self.room.staging.move_to(staged, &dir, name, before.is_some()) {
            Ok(()) => {
                self.owned.insert(artifact, Known::from([Some(digest.clone())]));
                Ok(())
            }
            Err(error) => {
                if matches!(error, ApplyError::Foreign { .. }) {
                    self.owned.remove(&artifact);
                }
                Err(error)
            }
        }
    }

    /// Puts the same text in place once more, so that Envoy reads it again.
    fn put_again(&mut self, dir: &Dir, artifact: Artifact) -> Result<()> {
        let Content::Text(text) = read(dir, artifact)? else {
            return Ok(());
        };
        let name = format!("{}-again", self.job.index);
        self.room
            .staging
            .create_durable(&name, &text, self.room.target.file())?;
        self.put(dir, artifact, &name, &Digest::of(&text))
    }

    fn remove(&mut self, dir: &Dir, artifact: Artifact) -> Result<()> {
        if let Some((dir, name)) = find(dir, artifact)? {
            self.owned.entry(artifact).or_default().insert(None);
            dir.remove(name)?;
        }
        self.owned.remove(&artifact);
        if artifact == Artifact::Lds {
            self.forget_old(artifact)?;
        }
        Ok(())
    }

    /// Where the text lies that a refused one replaced.
    ///
    /// Listeners outlive this run there: they are what to go back to as long as Envoy has not judged the new ones.
    fn old(&self, artifact: Artifact) -> (&'r Dir, String) {
        if artifact == Artifact::Lds {
            (&self.room.undo, undo_name(&self.job.change.proxy))
        } else {
            (&self.room.staging, format!("{}-old", self.job.index))
        }
    }

    fn keep_old(&self, dir: &Dir, artifact: Artifact) -> Result<()> {
        let (kept, kept_name) = self.old(artifact);
        let (dir, name) = place(dir, artifact)?;
        if kept.exists(&kept_name)? || !dir.exists(name)? {
            return Ok(());
        }
        // A link takes no room; not every file system has them.
        if dir.link_to(name, kept, &kept_name).is_err()
            && let Content::Text(text) = dir.read(name)?
        {
            kept.create_durable(&kept_name, &text, self.room.target.file())?;
        }
        Ok(())
    }

    fn forget_old(&self, artifact: Artifact) -> Result<()> {
        let (kept, name) = self.old(artifact);
        kept.remove(&name)
    }

    /// Puts the text before a refused one back, so that Envoy also starts with what it has.
    fn put_back(&mut self, dir: &Dir, artifact: Artifact, envoy: &Envoy, stats: &mut Stats) -> Result<Word> {
        let reason = if artifact == Artifact::Lds {
            envoy.refusal()
        } else {
            None
        };
        let reason = reason.unwrap_or_else(|| format!("Envoy refused {}; its log says why", artifact.path()));
        let (kept, kept_name) = self.old(artifact);
        if let Content::Text(text) = kept.read(&kept_name)? {
            let (dir, name) = place(dir, artifact)?;
            let digest = Some(Digest::of(&text));
            self.owned.entry(artifact).or_default().insert(digest.clone());
            kept.move_to(&kept_name, &dir, name, true)?;
            self.owned.insert(artifact, Known::from([digest]));
            // Listeners that were taken beside a refused one go back too; nothing depends on when.
            envoy.verdict(artifact, None, stats);
        }
        Ok(Word::Rejected(reason))
    }
}

/// The directory and the name of a file; the directory is there.
fn place(dir: &Dir, artifact: Artifact) -> Result<(Dir, &'static str)> {
    let missing = || ApplyError::new("open", &dir.path().join(artifact.path()), rustix::io::Errno::NOENT);
    find(dir, artifact)?.ok_or_else(missing)
}

/// The directory and the name of a file, if the directory is there.
fn find(dir: &Dir, artifact: Artifact) -> Result<Option<(Dir, &'static str)>> {
    let (parent, name) = split(artifact);
    Ok(dir.below(parent)?.map(|parent| (parent, name)))
}

fn split(artifact: Artifact) -> (&'static str, &'static str) {
    artifact.path().rsplit_once('/').unwrap_or((".", artifact.path()))
}

/// What stands at the place of a file.
pub(super) fn read(dir: &Dir, artifact: Artifact) -> Result<Content> {
    match find(dir, artifact)? {
        Some((dir, name)) => dir.read(name),
        None => Ok(Content::Missing),
    }
}

/// Gives a file a second name in another directory.
pub(super) fn link(dir: &Dir, artifact: Artifact, to: &Dir, new_name: &str) -> Result<()> {
    let (dir, name) = place(dir, artifact)?;
    dir.link_to(name, to, new_name)
}

/// Makes the directories of what a change puts in place.
pub(super) fn make_directories(room: &Room, change: &Change) -> Result<()> {
    if change.action == Action::Remove {
        return Ok(());
    }
    let dir = proxy_directories(room, &change.proxy, |dir, name, access| {
        let dir = dir.make_child(name, access)?;
        // A kill between making it and opening it to Envoy leaves it closed. Where that fails it is told of at the end.
        let _ = dir.mend(access);
        Ok(Some(dir))
    })?;
    if let Some(dir) = dir.last()
        && change.after.keys().any(|artifact| split(*artifact).0 == XDS)
    {
        let _ = dir
            .make_child(XDS, room.target.directory())?
            .mend(room.target.directory());
    }
    Ok(())
}

/// The directories of a proxy, the outermost first, as far as they are there.
fn proxy_directories(
    room: &Room,
    proxy: &ProxyKey,
    enter: impl Fn(&Dir, &str, Access) -> Result<Option<Dir>>,
) -> Result<Vec<Dir>> {
    let path = proxy.directory();
    let mut dirs: Vec<Dir> = Vec::new();
    for (part, access) in path
        .split('/')
        .zip([room.target.directory(), room.target.proxy_directory()])
    {
        match enter(dirs.last().unwrap_or(&room.root), part, access)? {
            Some(dir) => dirs.push(dir),
            None => break,
        }
    }
    Ok(dirs)
}

/// Removes what a proxy without files leaves: its socket and empty directories. `false` while its Envoy still runs.
pub(super) fn remove_directories(room: &Room, proxy: &ProxyKey) -> Result<bool> {
    let path = proxy.directory();
    let (mesh, name) = path.split_once('/').unwrap_or((&path, "."));
    let Some(parent) = room.root.child(mesh)? else {
        return Ok(true);
    };
    if let Some(dir) = parent.child(name)? {
        if dir.is_socket(ADMIN_SOCKET) {
            let deadline = Instant::now() + room.target.confirm_timeout;
            match Connection::unix(&dir.path().join(ADMIN_SOCKET), deadline) {
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => dir.remove(ADMIN_SOCKET)?,
                Ok(_) | Err(_) => return Ok(false),
            }
        }
        dir.remove_empty(XDS)?;
    }
    parent.remove_empty(name)?;
    room.root.remove_empty(mesh)?;
    Ok(true)
}

/// Gives back mode and owner to the files and directories of a proxy; says to how many.
pub(super) fn mend(room: &Room, proxy: &ProxyKey, files: &Owned, with_mesh: bool) -> Result<usize> {
    let dirs = proxy_directories(room, proxy, |dir, name, _| dir.child(name))?;
    let [mesh, dir] = dirs.as_slice() else { return Ok(0) };
    let mut mended = usize::from(dir.mend(room.target.proxy_directory())?);
    if with_mesh {
        mended += usize::from(mesh.mend(room.target.directory())?);
    }
    if let Some(xds) = dir.child(XDS)? {
        mended += usize::from(xds.mend(room.target.directory())?);
    }
    for &artifact in files.keys() {
        if let Some((dir, name)) = find(dir, artifact)? {
            mended += usize::from(dir.mend_file(name, room.target.file())?);
        }
    }
    Ok(mended)
}
