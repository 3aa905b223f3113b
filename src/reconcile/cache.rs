//! The cache of one reconciliation after another.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::last_run::{self, Key};
use super::overview::Overview;
use super::trusted::Trusted;
use crate::apply::{ApplyError, Lock, OutputDir, OutputWatch, Target, Touched, file_meshes};
use crate::compile::Compiler;
use crate::envoy::artifact::{Elsewhere, ProxyKey};
use crate::plan::{Applied, Plan};
use crate::resource::Contributions;
use crate::settings::Settings;
use crate::source::watch::{Health, Watcher};
use crate::source::{Reader, Scan};

/// The files that were read and compiled last, so that the next reconciliation repeats less of the work.
///
/// With an empty cache the result is the same, at more cost, but for one thing: what somebody else did to published files
/// without an event since the last reconciliation is seen at once, and not at the next rescan.
#[derive(Default)]
pub struct Cache {
    pub(super) reader: Reader,
    pub(super) compiler: Compiler,
    /// The meshes of each policy file as they are on disk, once they were read.
    pub(super) file_meshes: Option<Arc<Contributions>>,
    /// The published files, if all were as they should be when the last reconciliation ended.
    trusted: Option<Trusted>,
    /// The watch on published files, if there is one.
    output: Option<OutputWatch>,
    /// Whether the result of the last run was asked for, which is older than what this process did.
    is_last_run_taken: bool,
    /// The key of the result on disk, if it is known.
    saved: Option<Key>,
}

impl Cache {
    /// The meshes of each policy file when it could be read last.
    pub(super) fn known(&mut self, out: &OutputDir) -> Arc<Contributions> {
        // They only add caution, and a look at policies must not depend on the output directory.
        let load = || Arc::new(file_meshes::load(out).unwrap_or_default());
        Arc::clone(self.file_meshes.get_or_insert_with(load))
    }

    /// Remembers the meshes of each policy file, on disk too.
    pub(super) fn remember(
        &mut self,
        files: &Arc<Contributions>,
        out: &OutputDir,
        lock: &Lock,
    ) -> Result<(), ApplyError> {
        let is_same = |known: &Arc<Contributions>| Arc::ptr_eq(known, files) || known == files;
        if self.file_meshes.as_ref().is_some_and(is_same) {
            // The next time, the pointers tell it.
            self.file_meshes = Some(Arc::clone(files));
            return Ok(());
        }
        // Unless they are written, it is not known what is on disk.
        self.file_meshes = None;
        file_meshes::save(files, out, lock)?;
        self.file_meshes = Some(Arc::clone(files));
        Ok(())
    }

    /// The published files for a reconciliation that looks at changes only; `None` if somebody may have touched all of them.
    ///
    /// An edit without an event is found by the next rescan, which looks at all files. Until the reconciliation has come to its
    /// end, nothing is trusted.
    pub(super) fn take_trusted(&mut self, scan: Scan) -> Option<Trusted> {
        let touched = self.output.as_mut().map(OutputWatch::take_touched);
        let trusted = self.trusted.take().filter(|_| scan == Scan::Changes)?;
        match touched.unwrap_or_default() {
            Touched::All => None,
            Touched::Proxies(touched) => Some(Trusted { touched, ..trusted }),
        }
    }

    /// The result of `publish`, whose own events tell nothing.
    pub(super) fn publishing<T>(&mut self, plan: &Plan, publish: impl FnOnce() -> T) -> T {
        if let Some(output) = &self.output {
            output.begin_publication(plan.changes.iter().map(|change| change.proxy.clone()));
        }
        let result = publish();
        self.output.iter().for_each(OutputWatch::end_publication);
        result
    }

    /// Watches what is published now: after a look at all, all proxies, else those of which something was published.
    /// `elsewhere` has the files that are not below the output directory.
    pub(super) fn follow_output<'p>(
        &mut self,
        published: &Applied,
        elsewhere: &BTreeMap<ProxyKey, Elsewhere>,
        touched: impl Iterator<Item = &'p ProxyKey>,
        scan: Scan,
    ) {
        let Some(output) = &mut self.output else { return };
        for proxy in touched {
            if published.contains_key(proxy) {
                output.add(proxy, elsewhere.get(proxy));
            } else {
                output.remove(proxy);
            }
        }
        if scan == Scan::Full {
            output.follow(published.keys(), elsewhere);
        }
    }

    /// A cache that hears of edits of published files.
    pub fn watch_output(&mut self, output: OutputWatch) {
        self.output = Some(output);
    }

    /// Trusts the published files from now on; `None` if they are not all as they should be.
    pub(super) fn trust(&mut self, published: Option<Trusted>) {
        self.trusted = published;
    }

    /// The overview of the last run for the first reconciliation of this process, if nothing has changed since.
    pub(super) fn last_run(&mut self, settings: &Settings, target: &Target) -> Option<Overview> {
        let is_first = !std::mem::replace(&mut self.is_last_run_taken, true);
        let (key, overview) = is_first.then(|| last_run::load(settings, target)).flatten()?;
        self.saved = Some(key);
        Some(overview)
    }

    /// Saves the overview of a reconciliation that left nothing to do, for the next process; not if it looked at changes
    /// only.
    pub(super) fn save_run(&mut self, overview: &Overview, settings: &Settings, target: &Target, lock: &Lock) {
        let seal = self.reader.seal();
        let key = seal.and_then(|seal| Key::now(settings, target, seal));
        if let Some(key) = key.filter(|key| self.saved.as_ref() != Some(key)) {
            // Without it the next start is as slow as the first.
            self.saved = last_run::save(&key, overview, target, lock).map(|()| key);
        }
    }

    /// Empties the cache, but for the watch: after a panic it may hold half of a change.
    pub(super) fn forget(&mut self) {
        self.reader.forget();
        self.compiler = Compiler::default();
        self.forget_output();
    }

    /// Forgets what is on disk, since the output directory is another.
    pub fn forget_output(&mut self) {
        self.file_meshes = None;
        self.trusted = None;
    }

    /// A cache whose reader may rely on a watch.
    pub fn watch(&mut self, watcher: Watcher) {
        self.reader.watch(watcher);
    }

    /// The health of the watch, if there is one.
    #[must_use]
    pub fn watch_health(&self) -> Option<Health> {
        self.reader.health()
    }
}
