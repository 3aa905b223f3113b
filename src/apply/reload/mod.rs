//! Reloads of Envoys that read their files only when they start, by a signal, a unit of systemd, or a command.
//!
//! A reload is due when the published files differ from those that an Envoy was told to read last. These are
//! remembered on disk, so a reload is made once for a change, also when a crash comes between. Threads make the
//! reloads, and delay nothing else. Start with [`Reloader`].

mod command;

mod signal;

mod call;

mod state;

mod queue;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use self::call::Call;
use self::queue::{Queue, State, Wanted};
use self::state::{Loaded, ReloadState};
use super::publish::Bases;
use super::store::{Lock, OutputDir};
use crate::envoy::artifact::{ArtifactKind, Files, ProxyKey};
use crate::keep::Digest;
use crate::plan::drift::Drift;
use crate::plan::{Action, Applied, Change};
use crate::settings::reload::Reload;
use crate::words::{plural, with_causes};

/// The index of the entry of the settings that each proxy is reloaded by; `None` for a proxy that no entry fits.
pub type Entries = BTreeMap<ProxyKey, Option<usize>>;

/// The users' own bootstraps of these proxies, as their entries say.
#[must_use]
pub fn bases<'p>(
    proxies: impl Iterator<Item = &'p ProxyKey>,
    entries: Option<&Entries>,
    reloads: &[Reload],
    out: &OutputDir,
) -> Bases {
    let root = out.root.to_string_lossy();
    let base = |proxy: &ProxyKey| {
        let entry = reloads.get(entry(proxy, entries, reloads)?)?;
        Some((proxy.clone(), call::path(entry.base.as_ref()?, proxy, &root)))
    };
    proxies.filter_map(base).collect()
}

/// The reload that follows a change, with the placeholders of its entry; `None` if none does.
#[must_use]
pub fn announced(change: &Change, entries: &Entries, reloads: &[Reload]) -> Option<String> {
    let reload = reloads.get(entry(&change.proxy, Some(entries), reloads)?)?;
    let is_due =
        change.action == Action::Change && change.changed().any(|artifact| reload.files.contains(&artifact.kind()));
    is_due.then(|| reload.means.to_string())
}

/// The index of the entry for a proxy. A proxy that is not in the policies is matched by its name alone.
fn entry(proxy: &ProxyKey, entries: Option<&Entries>, reloads: &[Reload]) -> Option<usize> {
    let unseen = || {
        let fits = |reload: &Reload| reload.select.fits_unseen(&proxy.mesh, &proxy.dataplane);
        reloads.iter().position(fits)
    };
    entries
        .and_then(|entries| entries.get(proxy).copied())
        .unwrap_or_else(unseen)
}

/// The state of published files after a publication.
#[derive(Debug)]
pub struct Offer<'a> {
    /// The files that are published now.
    pub published: &'a Applied,
    /// The changes that were carried out just now.
    pub changes: &'a [Change],
    /// The published files that are not as they were published. No Envoy is made to read them.
    pub drift: &'a [Drift],
    /// The proxies whose Envoys somebody configured: they run before anything is published for them.
    pub overlays: Option<&'a BTreeSet<ProxyKey>>,
    /// The entries for the proxies; `None` when the policies cannot be read.
    pub entries: Option<&'a Entries>,
}

/// A reload that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// The proxies that were reloaded.
    pub proxies: Vec<ProxyKey>,
    /// The process, unit or command.
    pub target: String,
    /// The time that it took, or the reason why it failed.
    pub result: Result<Duration, String>,
    /// The number of attempts, this one included.
    pub attempts: u32,
}

impl Reloaded {
    /// The name of the proxy, or the number of proxies.
    #[must_use]
    pub fn who(&self) -> String {
        match self.proxies.as_slice() {
            [one] => one.to_string(),
            more => plural(more.len(), "proxy"),
        }
    }
}

/// A reload that failed and is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The proxy that is to be reloaded.
    pub proxy: ProxyKey,
    /// The process, unit or command that is tried.
    pub target: String,
    /// The reason why the last attempt failed.
    pub why: String,
    /// The number of attempts.
    pub attempts: u32,
}

/// Makes the reloads that are due.
#[derive(Debug, Default)]
pub struct Reloader {
    queue: Arc<Queue>,
    /// The files that Envoys were told to read, read from disk when they are needed first.
    known: Option<ReloadState>,
    /// The entries of the last policies that could be read.
    entries: Option<Entries>,
    ended: Vec<Reloaded>,
    /// The last warning about the file with what is known.
    complaint: Option<String>,
}

impl Reloader {
    /// Calls `wake` whenever a reload has ended, from any thread.
    pub fn on_end(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.queue.on_end(wake);
    }

    /// Forgets the entries of all proxies, because the settings have others now.
    pub fn forget_entries(&mut self) {
        self.entries = None;
    }

    /// Begins the reloads that are due now, without waiting for them.
    pub fn offer(&mut self, offer: &Offer, reloads: &[Reload], out: &OutputDir, lock: &Lock) {
        let mut known = match self.known.take() {
            Some(known) => known,
            // Without reloads in the settings it is read only to be emptied.
            None if reloads.is_empty() => ReloadState::read(out).unwrap_or_default(),
            None => self.read(out),
        };
        let queue = Arc::clone(&self.queue);
        let mut state = queue.lock();
        self.absorb(&mut state, &mut known);
        if !reloads.is_empty() || !known.proxies.is_empty() || !state.is_empty() {
            self.learn(offer);
            let due = self.due(offer, reloads, out, &mut known);
            state.set(due);
            // Before a thread begins: whatever happens then, the reload is known to be open.
            self.write(&mut known, out, lock);
            queue.serve(&mut state);
        }
        self.known = Some(known);
    }

    /// The reloads that have ended since the last call.
    pub fn drain(&mut self, out: &OutputDir, lock: &Lock) -> Vec<Reloaded> {
        if let Some(mut known) = self.known.take() {
            let queue = Arc::clone(&self.queue);
            self.absorb(&mut queue.lock(), &mut known);
            self.write(&mut known, out, lock);
            self.known = Some(known);
        }
        std::mem::take(&mut self.ended)
    }

    /// The reloads that failed and are tried again.
    #[must_use]
    pub fn failing(&self) -> Vec<Failing> {
        let state = self.queue.lock();
        let each = state.failing().flat_map(|(call, wanted, failures)| {
            wanted.keys().map(|proxy| Failing {
                proxy: proxy.clone(),
                target: call.to_string(),
                why: failures.why.clone(),
                attempts: failures.count,
            })
        });
        each.collect()
    }

    /// Waits until every reload that is due was tried once, at most for `limit` if there is one. Reloads that are not
    /// done then are made by the next process.
    pub fn finish(&self, limit: Option<Duration>) {
        self.queue.finish(limit);
    }

    fn read(&mut self, out: &OutputDir) -> ReloadState {
        ReloadState::read(out).unwrap_or_else(|why| {
            self.complain(format!(
                "what was reloaded last cannot be read: {why}; proxies that were to be reloaded since are not, until \
                 their files change"
            ));
            ReloadState::default()
        })
    }

    fn write(&mut self, known: &mut ReloadState, out: &OutputDir, lock: &Lock) {
        match known.write(out, lock) {
            Ok(()) => self.complaint = None,
            Err(error) => self.complain(format!("cannot remember what was reloaded: {}", with_causes(&error))),
        }
    }

    fn complain(&mut self, complaint: String) {
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::warn!("{complaint}");
        }
        self.complaint = Some(complaint);
    }

    /// Takes over the reloads that have ended.
    fn absorb(&mut self, state: &mut State, known: &mut ReloadState) {
        for ended in state.take_ended() {
            if ended.result.is_ok() {
                for (proxy, files) in &ended.wanted {
                    known.loaded(proxy, files, state.is_open(proxy));
                }
            }
            self.ended.push(Reloaded {
                proxies: ended.wanted.into_keys().collect(),
                target: ended.call.to_string(),
                result: ended.result,
                attempts: ended.attempts,
            });
        }
    }

    /// Takes over the entries of the proxies. For a dataplane that is gone from the policies, and still published,
    /// the entry that was known holds.
    fn learn(&mut self, offer: &Offer) {
        let Some(entries) = offer.entries else { return };
        let mut entries = entries.clone();
        for (proxy, entry) in self.entries.take().unwrap_or_default() {
            if offer.published.contains_key(&proxy) {
                entries.entry(proxy).or_insert(entry);
            }
        }
        self.entries = Some(entries);
    }

    /// The proxies that have to be reloaded, by the call that does so.
    fn due(
        &self,
        offer: &Offer,
        reloads: &[Reload],
        out: &OutputDir,
        known: &mut ReloadState,
    ) -> BTreeMap<Call, Wanted> {
        let root = out.root.to_string_lossy();
        let mut due: BTreeMap<Call, Wanted> = BTreeMap::new();
        let mut kept = BTreeSet::new();
        let changes: BTreeMap<_, _> = offer.changes.iter().map(|change| (&change.proxy, change)).collect();
        for (proxy, files) in offer.published {
            let reload = match self.entry(proxy, reloads) {
                Some(Some(index)) => reloads.get(index),
                Some(None) => None,
                // Unknown; the proxy stays as it is until the policies can be read.
                None => {
                    kept.insert(proxy);
                    continue;
                }
            };
            let Some(reload) = reload else { continue };
            kept.insert(proxy);
            let last = known.proxies.get(proxy).map(|entry| &entry.files);
            let wanted = wanted(proxy, files, reload, offer.drift, last);
            let before = match changes.get(proxy) {
                Some(change) if !change.before.is_empty() => loaded(&change.before, &wanted),
                // It runs with files of its own.
                Some(_) if offer.overlays.is_some_and(|overlays| overlays.contains(proxy)) => {
                    wanted.keys().map(|kind| (*kind, None)).collect()
                }
                _ => Loaded::new(),
            };
            if known.is_due(proxy, &wanted, &before) {
                let call = Call::of(&reload.means, proxy, &root);
                due.entry(call).or_default().insert(proxy.clone(), wanted);
            }
        }
        known.retain(&kept);
        due
    }

    /// The entry for a proxy; `None` while it cannot be known.
    fn entry(&self, proxy: &ProxyKey, reloads: &[Reload]) -> Option<Option<usize>> {
        let entries = self.entries.as_ref()?;
        Some(entry(proxy, Some(entries), reloads))
    }
}

/// The files with which a proxy is to run. A kind of file of which somebody changed one counts as it was when Envoy read it last.
fn wanted(proxy: &ProxyKey, files: &Files, reload: &Reload, drift: &[Drift], known: Option<&Loaded>) -> Loaded {
    let is_drifted = |kind| (drift.iter()).any(|drift| drift.proxy == *proxy && drift.artifact.kind() == kind);
    let mut wanted = Loaded::new();
    for kind in reload.files.iter().copied() {
        let digest = if is_drifted(kind) {
            match known.and_then(|known| known.get(&kind)) {
                Some(digest) => *digest,
                None => continue,
            }
        } else {
            digest(files, kind)
        };
        wanted.insert(kind, digest);
    }
    wanted
}

/// The same kinds of files as in `like`, as they are in `files`.
fn loaded(files: &Files, like: &Loaded) -> Loaded {
    like.keys().map(|kind| (*kind, digest(files, *kind))).collect()
}

/// The digest of all files of a kind; `None` if there is none.
fn digest(files: &Files, kind: ArtifactKind) -> Option<Digest> {
    let mut of_kind = files.iter().filter(|(artifact, _)| artifact.kind() == kind);
    if kind != ArtifactKind::Tracing {
        return of_kind.next().map(|(_, text)| text.digest());
    }
    let all: String = of_kind
        .map(|(artifact, text)| format!("{} {}\n", artifact.path(), text.digest()))
        .collect();
    (!all.is_empty()).then(|| Digest::of(&all))
}
