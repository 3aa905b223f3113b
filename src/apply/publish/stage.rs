//! The staging of a plan: all its texts are written aside before anything that is published changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::context::{PublishContext, Request};
use super::publication::{Delivery, Publication};
use super::task::{StagedFile, StagedStep, Task};
use super::validate::Validator;
use crate::apply::error::{ApplyError, Result};
use crate::apply::store::dir::Content;
use crate::apply::store::files::PlacedFiles;
use crate::apply::store::inventory::{Entry, Inventory, Left, Owned};
use crate::apply::store::known::Known;
use crate::envoy::artifact::{Artifact, Elsewhere, Files};
use crate::envoy::xds;
use crate::plan::{self, Action, Change, Step};
use crate::system::parallel;

/// Writes aside the texts of a plan, and gives a task for each change. A proxy whose Envoy has rejected these texts
/// before, or in whose way somebody else's files are, gets its result at once.
pub(super) fn stage_all<'p>(
    request: &Request<'p>,
    context: &PublishContext,
    inventory: &Inventory,
    validator: Option<&Validator>,
    publication: &mut Publication,
) -> Result<Vec<Task<'p>>> {
    let mut open = Vec::new();
    for (index, change) in request.plan.changes.iter().enumerate() {
        let entry = inventory.proxies.get(&change.proxy);
        match rejection(change, entry, validator) {
            Some(reason) => publication.set(change, Ok(Delivery::Nacked(reason))),
            None => open.push((index, change, entry)),
        }
    }
    let threads = parallel::threads_for(open.len());
    let looked_at = parallel::map("looking at places", &open, threads, |&(index, change, entry)| {
        let wanted = request.places.and_then(|places| places.of(&change.proxy));
        let directory = context.output.root.path().join(change.proxy.directory());
        let placed = Placed::of(entry.cloned().unwrap_or_default(), &directory, wanted);
        Ok(Begun {
            index,
            change,
            adopted: adopt(context, change, &placed)?,
            placed,
        })
    });
    let mut begun = Vec::new();
    for (looked_at, (_, change, _)) in looked_at.into_iter().zip(open) {
        match looked_at {
            Ok(one) => begun.push(one),
            Err(error @ (ApplyError::Foreign { .. } | ApplyError::Link { .. })) => publication.set(change, Err(error)),
            Err(error) => return Err(error),
        }
    }
    let threads = parallel::threads_for(begun.len());
    let staged = parallel::map("writing files aside", &begun, threads, |one| one.stage(context));
    let tasks = begun.into_iter().zip(staged);
    tasks.map(|(begun, steps)| Ok(begun.task(steps?))).collect()
}

/// The reason why the Envoy of a proxy has rejected the files that it would get, if it has.
fn rejection(change: &Change, entry: Option<&Entry>, validator: Option<&Validator>) -> Option<String> {
    let nack = entry?.nack.as_ref()?;
    let by = validator.map(|validator| validator.identity(&change.proxy));
    let is_known = change.action != Action::Remove && nack.is_of(&change.after, by.as_deref());
    is_known.then(|| nack.reason.clone())
}

/// A change whose texts may be written.
struct Begun<'p> {
    index: usize,
    change: &'p Change,
    placed: Placed,
    /// The files that become ours, since they hold what they would get.
    adopted: Files,
}

impl<'p> Begun<'p> {
    /// Writes aside the texts of all steps.
    fn stage(&self, context: &PublishContext) -> Result<Vec<StagedStep>> {
        let stage = |(number, step)| match step {
            Step::Remove(artifact) => Ok(StagedStep::Remove(artifact)),
            Step::Write(artifact, text) => {
                let name = format!("{}-{number}", self.index);
                let content = text.text();
                let (staging, access) = (&context.output.staging, context.output.out.file());
                staging.create(&name, &content, access)?;
                Ok(StagedStep::Put(StagedFile {
                    artifact,
                    name,
                    digest: text.digest(),
                    version: artifact.is_dynamic().then(|| xds::version(&content)).flatten(),
                }))
            }
        };
        self.steps().into_iter().enumerate().map(stage).collect()
    }

    fn steps(&self) -> Vec<Step> {
        let mut found = self.change.before.clone();
        found.extend(self.adopted.clone());
        for artifact in self.placed.owned.keys().filter(|artifact| !self.stays(artifact)) {
            // Ours and not desired, without a text that could be read: removed in the same order as if there were one.
            found.entry(*artifact).or_default();
        }
        plan::steps(&found, &self.change.after)
    }

    fn stays(&self, artifact: &Artifact) -> bool {
        self.change.after.contains_key(artifact) || self.change.left.contains(artifact)
    }

    /// The task, with its texts on disk.
    fn task(self, steps: Vec<StagedStep>) -> Task<'p> {
        let Placed {
            mut owned,
            elsewhere,
            left,
        } = self.placed;
        let adopted = self.adopted.iter();
        owned.extend(adopted.map(|(artifact, text)| (*artifact, Known::only(Some(text.digest())))));
        Task {
            change: self.change,
            index: self.index,
            steps,
            owned,
            elsewhere,
            left,
        }
    }
}

/// The files of a proxy that are ours.
struct Placed {
    /// The files that are where they belong.
    owned: Owned,
    /// The places of files that are not below the directory of the proxy.
    elsewhere: Elsewhere,
    /// The files at other places.
    left: BTreeMap<PathBuf, Left>,
}

impl Placed {
    /// The files that the inventory lists, by the places that are wanted; `None` wants them where they are. `directory` is that of
    /// the proxy.
    fn of(entry: Entry, directory: &Path, wanted: Option<&Elsewhere>) -> Self {
        let place = |elsewhere: &Elsewhere, file: Artifact| {
            let own = || directory.join(&*file.path());
            elsewhere.get(&file).cloned().unwrap_or_else(own)
        };
        let wanted = wanted.unwrap_or(&entry.elsewhere);
        let listed = entry.files.into_iter();
        let listed = listed.map(|(file, known)| (place(&entry.elsewhere, file), Left { file, known }));
        // A file that was left at a place to which it now comes back is ours there, too.
        let (right, left): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (entry.left.into_iter().chain(listed)).partition(|(path, left)| *path == place(wanted, left.file));
        Self {
            owned: right.into_values().map(|left| (left.file, left.known)).collect(),
            elsewhere: wanted.clone(),
            left,
        }
    }
}

/// The files that are not ours yet and hold what they would get.
fn adopt(context: &PublishContext, change: &Change, placed: &Placed) -> Result<Files> {
    let mut adopted = Files::new();
    let files = PlacedFiles::of(&context.output.root, &change.proxy, &placed.elsewhere)?;
    for (&artifact, text) in change
        .after
        .iter()
        .filter(|(artifact, _)| !placed.owned.contains_key(artifact))
    {
        match files.read(artifact) {
            Ok(Content::Missing) => {}
            Ok(Content::Text(found)) if found == text.text() => {
                adopted.insert(artifact, text.clone());
            }
            Err(error) if !matches!(error, ApplyError::Denied { .. }) => return Err(error),
            Ok(Content::Text(_) | Content::Binary | Content::Other) | Err(_) => {
                return Err(ApplyError::Foreign {
                    path: files.path_of(artifact),
                });
            }
        }
    }
    Ok(adopted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::Digest;

    #[test]
    fn a_file_that_comes_back_is_ours_where_it_was_left() {
        let known = |text: &str| Known::only(Some(Digest::of(text)));
        let own = |text: &str| (PathBuf::from("/out/p/xds/lds.yaml"), known(text));
        let elsewhere = Elsewhere::from([(Artifact::Lds, "/etc/lds.yaml".into())]);
        let (path, old) = own("old");
        let entry = Entry {
            files: Owned::from([(Artifact::Lds, known("new")), (Artifact::Cds, known("c"))]),
            elsewhere: elsewhere.clone(),
            left: BTreeMap::from([(
                path,
                Left {
                    file: Artifact::Lds,
                    known: old.clone(),
                },
            )]),
            nack: None,
        };
        let directory = Path::new("/out/p");
        let stays = Placed::of(entry.clone(), directory, None);
        assert_eq!((&stays.owned, &stays.left), (&entry.files, &entry.left));
        let back = Placed::of(entry, directory, Some(&Elsewhere::new()));
        assert_eq!(
            back.owned,
            Owned::from([(Artifact::Lds, old), (Artifact::Cds, known("c"))])
        );
        assert_eq!(back.left.keys().collect::<Vec<_>>(), [Path::new("/etc/lds.yaml")]);
    }
}
