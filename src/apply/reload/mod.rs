//! Brings Envoys to read what they read only when they start: by a signal, a unit of systemd, or a command.
//!
//! What is due follows from what is published and what each Envoy was told to read last, which is remembered on disk; so a
//! reload is made once for a change, also when a crash comes between. Threads make the reloads, and hold up nobody.
//! Start with [`Reloader`]; when something is published is not known here.

mod call;
mod command;
mod memory;
mod queue;
mod signal;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use self::call::Call;
use self::memory::{Loaded, Memory};
use self::queue::{Queue, State, Wanted};
use super::{Bases, Lock, Target};
use crate::envoy::artifact::{Files, ProxyKey};
use crate::plan::digest::Digest;
use crate::plan::drift::Drift;
use crate::plan::{Applied, Change};
use crate::settings::reload::Reload;
use crate::words::{plural, with_causes};

/// By which entry of the settings each proxy is reloaded; `None` for one that no entry fits.
pub type Entries = BTreeMap<ProxyKey, Option<usize>>;

/// The bootstraps of their own that these proxies have, as the entries for them say.
#[must_use]
pub fn bases<'p>(
    proxies: impl Iterator<Item = &'p ProxyKey>,
    entries: Option<&Entries>,
    reloads: &[Reload],
    target: &Target,
) -> Bases {
    let root = target.root.to_string_lossy();
    let base = |proxy: &ProxyKey| {
        let entry = reloads.get(entry(proxy, entries, reloads)?)?;
        Some((proxy.clone(), call::path(entry.base.as_ref()?, proxy, &root)))
    };
    proxies.filter_map(base).collect()
}

/// The entry for a proxy: of one that is in no policies by its name alone.
fn entry(proxy: &ProxyKey, entries: Option<&Entries>, reloads: &[Reload]) -> Option<usize> {
    let unseen = || {
        let fits = |reload: &Reload| reload.select.fits_unseen(&proxy.mesh, &proxy.dataplane);
        reloads.iter().position(fits)
    };
    entries
        .and_then(|entries| entries.get(proxy).copied())
        .unwrap_or_else(unseen)
}

/// What is published, and how it came to be.
#[derive(Debug)]
pub struct Offer<'a> {
    /// What is published now.
    pub published: &'a Applied,
    /// What was changed just now.
    pub changes: &'a [Change],
    /// Published files that somebody changed, and that are so still: nobody is made to read them.
    pub drift: &'a [Drift],
    /// The entries for the proxies; `None` when the policies cannot be read.
    pub entries: Option<&'a Entries>,
}

/// A reload that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// The proxies that it was for.
    pub proxies: Vec<ProxyKey>,
    /// What was signalled, started or called.
    pub target: String,
    /// How long it took, or why it failed.
    pub result: Result<Duration, String>,
    /// How often it was tried, this time included.
    pub attempts: u32,
}

impl Reloaded {
    /// The proxies in few words.
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
    /// The proxy that it is for.
    pub proxy: ProxyKey,
    /// What is signalled, started or called.
    pub target: String,
    /// Why it failed last.
    pub why: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// Makes the reloads that are due.
#[derive(Debug, Default)]
pub struct Reloader {
    queue: Arc<Queue>,
    /// Read when it is needed first.
    memory: Option<Memory>,
    /// The entries as they were known last.
    entries: Option<Entries>,
    ended: Vec<Reloaded>,
    /// What was said last of the memory.
    complaint: Option<String>,
}

impl Reloader {
    /// Calls `wake` whenever a reload has ended, from any thread.
    pub fn on_end(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.queue.on_end(wake);
    }

    /// Forgets which entry is for which proxy: there are other ones.
    pub fn forget_entries(&mut self) {
        self.entries = None;
    }

    /// Begins what is due now, without waiting for it.
    pub fn offer(&mut self, offer: &Offer, reloads: &[Reload], target: &Target, lock: &Lock) {
        let mut memory = match self.memory.take() {
            Some(memory) => memory,
            // Without reloads it is there only to be emptied.
            None if reloads.is_empty() => Memory::read(target).unwrap_or_default(),
            None => self.read(target),
        };
        let queue = Arc::clone(&self.queue);
        let mut state = queue.lock();
        self.absorb(&mut state, &mut memory);
        if !reloads.is_empty() || !memory.proxies.is_empty() || !state.is_empty() {
            self.learn(offer);
            let due = self.due(offer, reloads, target, &mut memory);
            state.set(due);
            // Before a thread begins: whatever happens then, it is known to be open.
            self.write(&mut memory, target, lock);
            queue.serve(&mut state);
        }
        self.memory = Some(memory);
    }

    /// What has ended since the last time.
    pub fn drain(&mut self, target: &Target, lock: &Lock) -> Vec<Reloaded> {
        if let Some(mut memory) = self.memory.take() {
            let queue = Arc::clone(&self.queue);
            self.absorb(&mut queue.lock(), &mut memory);
            self.write(&mut memory, target, lock);
            self.memory = Some(memory);
        }
        std::mem::take(&mut self.ended)
    }

    /// What failed and is tried again.
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

    /// Waits until everything that is due was tried once, as long as it takes or no longer than `limit`. What is not done
    /// then is made by the next process.
    pub fn finish(&self, limit: Option<Duration>) {
        self.queue.finish(limit);
    }

    fn read(&mut self, target: &Target) -> Memory {
        Memory::read(target).unwrap_or_else(|why| {
            self.complain(format!(
                "what was reloaded last cannot be read: {why}; proxies that were to be reloaded since are not, until \
                 their files change"
            ));
            Memory::default()
        })
    }

    fn write(&mut self, memory: &mut Memory, target: &Target, lock: &Lock) {
        match memory.write(target, lock) {
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

    /// Takes over what has ended.
    fn absorb(&mut self, state: &mut State, memory: &mut Memory) {
        for ended in state.take_ended() {
            if ended.result.is_ok() {
                for (proxy, files) in &ended.wanted {
                    memory.loaded(proxy, files, state.is_open(proxy));
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

    /// Takes over which entry is for which proxy. Of a dataplane that is gone from the policies, and still published, what
    /// was known holds.
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

    /// What has to be reloaded, by what is to be done for it.
    fn due(&self, offer: &Offer, reloads: &[Reload], target: &Target, memory: &mut Memory) -> BTreeMap<Call, Wanted> {
        let root = target.root.to_string_lossy();
        let mut due: BTreeMap<Call, Wanted> = BTreeMap::new();
        let mut kept = BTreeSet::new();
        let changes: BTreeMap<_, _> = offer.changes.iter().map(|change| (&change.proxy, change)).collect();
        for (proxy, files) in offer.published {
            let reload = match self.entry(proxy, reloads) {
                Some(Some(index)) => reloads.get(index),
                Some(None) => None,
                // Who knows; it stays as it is until the policies can be read.
                None => {
                    kept.insert(proxy);
                    continue;
                }
            };
            let Some(reload) = reload else { continue };
            kept.insert(proxy);
            let known = memory.proxies.get(proxy).map(|entry| &entry.files);
            let wanted = wanted(proxy, files, reload, offer.drift, known);
            let before = match changes.get(proxy) {
                Some(change) if !change.before.is_empty() => loaded(&change.before, &wanted),
                _ => Loaded::new(),
            };
            if memory.is_due(proxy, &wanted, &before) {
                let call = Call::of(&reload.means, proxy, &root);
                due.entry(call).or_default().insert(proxy.clone(), wanted);
            }
        }
        memory.retain(&kept);
        due
    }

    /// The entry for a proxy; `None` while it cannot be known.
    fn entry(&self, proxy: &ProxyKey, reloads: &[Reload]) -> Option<Option<usize>> {
        let entries = self.entries.as_ref()?;
        Some(entry(proxy, Some(entries), reloads))
    }
}

/// The files with which the proxy is to run. One that somebody changed counts as it was when it was read last.
fn wanted(proxy: &ProxyKey, files: &Files, reload: &Reload, drift: &[Drift], known: Option<&Loaded>) -> Loaded {
    let is_drifted = |artifact| drift.iter().any(|d| d.proxy == *proxy && d.artifact == artifact);
    let mut wanted = Loaded::new();
    for artifact in reload.files.iter().copied() {
        let digest = if is_drifted(artifact) {
            match known.and_then(|known| known.get(&artifact)) {
                Some(digest) => digest.clone(),
                None => continue,
            }
        } else {
            files.get(&artifact).map(|text| Digest::of(text))
        };
        wanted.insert(artifact, digest);
    }
    wanted
}

/// The same files as in `like`, as they are in `files`.
fn loaded(files: &Files, like: &Loaded) -> Loaded {
    let digest = |artifact| files.get(artifact).map(|text| Digest::of(text));
    like.keys().map(|artifact| (*artifact, digest(artifact))).collect()
}
