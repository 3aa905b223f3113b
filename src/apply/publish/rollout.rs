//! The rollout of one proxy: its files are renamed into place one after the other, each when its Envoy is ready for
//! it.

use std::time::Duration;

use super::context::PublishContext;
use super::publication::Delivery;
use super::task::{StagedFile, StagedStep, Task, nothing};
use crate::apply::envoy::{Ack, AdminProbe, Envoy, Stats};
use crate::apply::error::{ApplyError, Result};
use crate::apply::store::dir::{Content, Dir};
use crate::apply::store::files::PlacedFiles;
use crate::apply::store::inventory::Owned;
use crate::apply::store::known::Known;
use crate::apply::store::output::undo_name;
use crate::envoy::artifact::Artifact;
use crate::envoy::xds;
use crate::keep::Digest;
use crate::plan::Action;

/// The pause between the steps for an Envoy that cannot be asked. Envoy itself needs milliseconds.
const PAUSE: Duration = Duration::from_secs(1);

/// The result of a task.
#[derive(Debug)]
pub(super) struct RolledOut {
    /// The files of the proxy that are ours after the last step.
    pub(super) owned: Owned,
    pub(super) delivery: Result<Delivery>,
    /// Whether nothing was done because its Envoy did not answer the first request.
    pub(super) was_silent: bool,
}

/// Carries out one task. Its Envoy has to answer the first request within `timeout`.
pub(super) fn roll_out(context: &PublishContext, task: &Task, timeout: Duration) -> RolledOut {
    let mut rollout = Rollout {
        context,
        task,
        timeout,
        owned: task.owned.clone(),
        was_silent: false,
    };
    let delivery = rollout.run();
    RolledOut {
        owned: rollout.owned,
        delivery,
        was_silent: rollout.was_silent,
    }
}

/// The reason why listeners without a sampling of their own wait.
const RESTART: &str =
    "Envoy reads the sampling from xds/rtds.yaml once it has started again; its listeners stay as they are until then";

/// A task under way.
struct Rollout<'r, 'p> {
    context: &'r PublishContext<'r>,
    task: &'r Task<'p>,
    timeout: Duration,
    owned: Owned,
    was_silent: bool,
}

impl<'r> Rollout<'r, '_> {
    fn run(&mut self) -> Result<Delivery> {
        let files = PlacedFiles::of(&self.context.output.root, &self.task.change.proxy, &self.task.elsewhere)?;
        if files.are_gone() {
            // Another process removed the whole directory already.
            self.owned.clear();
            self.forget_old(Artifact::Lds)?;
            return Ok(Delivery::NotApplicable);
        }
        match self.task.change.action {
            Action::Add
                if self
                    .task
                    .change
                    .after
                    .keys()
                    .any(|artifact| artifact.is_read_by_envoy()) =>
            {
                return self.carry_out(&files, None, Duration::ZERO, Delivery::NotRunning);
            }
            Action::Change if self.task.moves() => {
                return self.carry_out(&files, None, Duration::ZERO, Delivery::NotApplicable);
            }
            Action::Change if self.task.steps.iter().any(StagedStep::is_dynamic) => {}
            Action::Add | Action::Change | Action::Remove => {
                return self.carry_out(&files, None, Duration::ZERO, Delivery::NotApplicable);
            }
        }
        let (admin, proxy) = (self.context.envoy, &self.task.change.proxy);
        match admin.probe(proxy, files.path(), self.timeout) {
            AdminProbe::Up(envoy, stats) => self
                .carry_out(&files, Some((envoy, stats)), Duration::ZERO, Delivery::Acked)
                .and_then(|delivery| self.probe_again(&files, delivery)),
            AdminProbe::Down => self
                .carry_out(&files, None, Duration::ZERO, Delivery::NotRunning)
                .and_then(|delivery| self.probe_again(&files, delivery)),
            AdminProbe::Unverifiable => self.carry_out(&files, None, PAUSE, Delivery::Unverifiable),
            // Envoy would see several steps at once when it wakes, in no certain order.
            AdminProbe::TimedOut(why) => {
                self.was_silent = true;
                Ok(Delivery::Pending(why))
            }
        }
    }

    fn carry_out(
        &mut self,
        files: &PlacedFiles,
        mut envoy: Option<(Envoy, Stats)>,
        pause: Duration,
        mut delivery: Delivery,
    ) -> Result<Delivery> {
        let steps = &self.task.steps;
        if let Some((envoy, stats)) = &mut envoy
            && let Some(delivery) = self.wait_for_clusters(files, envoy, stats)?
        {
            return Ok(delivery);
        }
        for (i, step) in steps.iter().enumerate() {
            let file = match step {
                StagedStep::Remove(artifact) => {
                    self.remove(files, *artifact)?;
                    continue;
                }
                StagedStep::Put(file) => file,
            };
            match &mut envoy {
                Some((_, stats)) if self.lacks_runtime(stats) && file.artifact == Artifact::Lds => {
                    return Ok(Delivery::Pending(RESTART.to_owned()));
                }
                Some((asked, stats))
                    if step.is_dynamic() && !(self.lacks_runtime(stats) && file.artifact == Artifact::Rtds) =>
                {
                    self.keep_old(files, file.artifact)?;
                    self.put(files, file.artifact, &file.name, &file.digest)?;
                    match asked.wait_for_ack(file.artifact, file.version.as_deref(), stats) {
                        Ack::Acked => self.forget_old(file.artifact)?,
                        Ack::Nacked => return self.put_back(files, file.artifact, asked, stats),
                        Ack::Pending => return Ok(self.waiting(file.artifact)),
                        Ack::Disconnected => (envoy, delivery) = (None, Delivery::NotRunning),
                    }
                }
                _ => {
                    let is_running_later = delivery == Delivery::NotRunning;
                    self.put_without_ack(files, file, pause, is_running_later)?;
                    if step.is_dynamic() && steps[i + 1..].iter().any(StagedStep::is_dynamic) {
                        std::thread::sleep(pause);
                    }
                }
            }
        }
        Ok(delivery)
    }

    /// Whether the sampling is in a file that the Envoy does not read, since it started from another bootstrap.
    fn lacks_runtime(&self, stats: &Stats) -> bool {
        self.task.change.after.contains_key(&Artifact::Rtds) && !stats.has_runtime()
    }

    /// Puts a file in place for an Envoy that does not answer now. Listeners that it may judge later, when it has
    /// started, can be put back then.
    fn put_without_ack(
        &mut self,
        files: &PlacedFiles,
        file: &StagedFile,
        pause: Duration,
        is_running_later: bool,
    ) -> Result<()> {
        let StagedFile {
            artifact, name, digest, ..
        } = file;
        let is_listeners = *artifact == Artifact::Lds;
        let is_judged_later = self.task.change.action == Action::Change && is_running_later;
        if is_listeners && is_judged_later {
            self.keep_old(files, *artifact)?;
        }
        self.put(files, *artifact, name, digest)?;
        if is_listeners && !is_judged_later {
            self.forget_old(*artifact)?;
        }
        if is_listeners && !pause.is_zero() {
            // Envoy rejects them if it has not read the clusters yet, and does not try again when it has.
            std::thread::sleep(pause);
            self.put_again(files, *artifact)?;
        }
        Ok(())
    }

    /// Makes sure that Envoy has the clusters on disk, if the first step relies on them.
    ///
    /// An Envoy may lack them when an earlier run did not wait for it to the end.
    fn wait_for_clusters(&mut self, files: &PlacedFiles, envoy: &Envoy, stats: &mut Stats) -> Result<Option<Delivery>> {
        let text = match self.task.steps.first() {
            Some(StagedStep::Put(file)) if file.artifact == Artifact::Lds => {
                self.task.change.before.get(&Artifact::Cds)
            }
            _ => None,
        };
        let Some(version) = text.and_then(|text| xds::version(&text.text())) else {
            return Ok(None);
        };
        if stats.of(Artifact::Cds).version == version {
            return Ok(None);
        }
        self.put_again(files, Artifact::Cds)?;
        Ok(match envoy.wait_for_ack(Artifact::Cds, Some(&version), stats) {
            Ack::Pending => Some(self.waiting(Artifact::Cds)),
            // Whether its clusters suffice shows when it gets the listeners.
            Ack::Acked | Ack::Nacked | Ack::Disconnected => None,
        })
    }

    fn waiting(&self, artifact: Artifact) -> Delivery {
        let (path, timeout) = (artifact.path(), self.context.envoy.confirm_timeout);
        Delivery::Pending(format!("Envoy did not confirm {path} within {timeout:?}"))
    }

    /// Probes an Envoy that did not run once more: it may have started meanwhile.
    ///
    /// An Envoy that read the clusters before they changed and the listeners after has rejected these, and gets
    /// them again. An Envoy that starts after this probe finds everything in place.
    fn probe_again(&mut self, files: &PlacedFiles, delivery: Delivery) -> Result<Delivery> {
        let listeners = self.task.steps.iter().find_map(|step| match step {
            StagedStep::Put(file) if file.artifact == Artifact::Lds => Some(file.version.as_deref()),
            StagedStep::Put(_) | StagedStep::Remove(_) => None,
        });
        let (Some(version), Delivery::NotRunning) = (listeners, &delivery) else {
            return Ok(delivery);
        };
        let (admin, proxy) = (self.context.envoy, &self.task.change.proxy);
        let delivery = match admin.probe(proxy, files.path(), admin.confirm_timeout) {
            AdminProbe::Down | AdminProbe::Unverifiable => delivery,
            AdminProbe::Up(_, stats) if version == Some(&stats.of(Artifact::Lds).version) => Delivery::Acked,
            AdminProbe::Up(envoy, mut stats) => {
                self.put_again(files, Artifact::Lds)?;
                match envoy.wait_for_ack(Artifact::Lds, version, &mut stats) {
                    Ack::Acked => Delivery::Acked,
                    Ack::Nacked => return self.put_back(files, Artifact::Lds, &envoy, &mut stats),
                    Ack::Pending => return Ok(self.waiting(Artifact::Lds)),
                    Ack::Disconnected => delivery,
                }
            }
            AdminProbe::TimedOut(why) => return Ok(Delivery::Pending(why)),
        };
        self.forget_old(Artifact::Lds)?;
        Ok(delivery)
    }

    fn put(&mut self, files: &PlacedFiles, artifact: Artifact, staged: &str, digest: &Digest) -> Result<()> {
        let (dir, name) = files.place(artifact)?;
        let before = self.owned.get(&artifact).cloned();
        // Until it is known whether the move succeeded, either text may be there.
        self.owned.entry(artifact).or_insert_with(nothing).insert(Some(*digest));
        match self
            .context
            .output
            .staging
            .move_to(staged, &dir, &name, before.is_some())
        {
            Ok(()) => {
                self.owned.insert(artifact, Known::only(Some(*digest)));
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
    fn put_again(&mut self, files: &PlacedFiles, artifact: Artifact) -> Result<()> {
        let Content::Text(text) = files.read(artifact)? else {
            return Ok(());
        };
        let name = format!("{}-again", self.task.index);
        self.context
            .output
            .staging
            .create_durable(&name, &text, self.context.output.out.file())?;
        self.put(files, artifact, &name, &Digest::of(&text))
    }

    fn remove(&mut self, files: &PlacedFiles, artifact: Artifact) -> Result<()> {
        if let Some((dir, name)) = files.find(artifact)? {
            self.owned.entry(artifact).or_default().insert(None);
            dir.remove(&name)?;
        }
        self.owned.remove(&artifact);
        if artifact == Artifact::Lds {
            self.forget_old(artifact)?;
        }
        Ok(())
    }

    /// The place of the text that a rejected one replaced.
    ///
    /// Listeners outlive this run there, to go back to as long as Envoy has neither accepted nor rejected the new
    /// ones.
    fn old(&self, artifact: Artifact) -> (&'r Dir, String) {
        if artifact == Artifact::Lds {
            (&self.context.output.undo, undo_name(&self.task.change.proxy))
        } else {
            (&self.context.output.staging, format!("{}-old", self.task.index))
        }
    }

    fn keep_old(&self, files: &PlacedFiles, artifact: Artifact) -> Result<()> {
        let (kept, kept_name) = self.old(artifact);
        let (dir, name) = files.place(artifact)?;
        if kept.exists(&kept_name)? || !dir.exists(&name)? {
            return Ok(());
        }
        // A link takes no space, but not every file system has links.
        if dir.link_to(&name, kept, &kept_name).is_err()
            && let Content::Text(text) = dir.read(&name)?
        {
            kept.create_durable(&kept_name, &text, self.context.output.out.file())?;
        }
        Ok(())
    }

    fn forget_old(&self, artifact: Artifact) -> Result<()> {
        let (kept, name) = self.old(artifact);
        kept.remove(&name)
    }

    /// Puts back the text before a rejected one, so that Envoy would start with the configuration that it runs with.
    fn put_back(
        &mut self,
        files: &PlacedFiles,
        artifact: Artifact,
        envoy: &Envoy,
        stats: &mut Stats,
    ) -> Result<Delivery> {
        let reason = if artifact == Artifact::Lds {
            envoy.rejection()
        } else {
            None
        };
        let reason = reason.unwrap_or_else(|| format!("Envoy refused {}; its log says why", artifact.path()));
        let (kept, kept_name) = self.old(artifact);
        if let Content::Text(text) = kept.read(&kept_name)? {
            let (dir, name) = files.place(artifact)?;
            let digest = Some(Digest::of(&text));
            self.owned.entry(artifact).or_default().insert(digest);
            kept.move_to(&kept_name, &dir, &name, true)?;
            self.owned.insert(artifact, Known::only(digest));
            // Listeners that were accepted beside a rejected one go back too; nothing depends on the time.
            envoy.wait_for_ack(artifact, None, stats);
        }
        Ok(Delivery::Nacked(reason))
    }
}
