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
use crate::system::progress::Counter;

/// Writes aside the texts of a plan, and gives a task for each change. A proxy whose Envoy has rejected these texts
/// before, or in whose way somebody else's files are, gets its result at once.
pub(super) fn stage_all<'p>(
    request: &Request<'p>,
    context: &PublishContext,
    inventory: &Inventory,
    validator: Option<&Validator>,
    publication: &mut Publication,
) -> Result<Vec<Task<'p>>> {
    let mut begun = Vec::new();
    for (index, change) in request.plan.changes.iter().enumerate() {
        let entry = inventory.proxies.get(&change.proxy);
        if let Some(nack) = entry.and_then(|entry| entry.nack.as_ref())
            && change.action != Action::Remove
            && nack.is_of(
                &change.after,
                validator.map(|validator| validator.identity(&change.proxy)).as_deref(),
            )
        {
            publication.set(change, Ok(Delivery::Nacked(nack.reason.clone())));
            continue;
        }
        let wanted = request.places.and_then(|places| places.of(&change.proxy));
        let directory = context.output.root.path().join(change.proxy.directory());
        let placed = Placed::of(entry.cloned().unwrap_or_default(), &directory, wanted);
        match adopt(context, change, &placed) {
            Ok(adopted) => begun.push(Begun {
                index,
                change,
                placed,
                adopted,
            }),
            Err(error @ (ApplyError::Foreign { .. } | ApplyError::Link { .. })) => {
                publication.set(change, Err(error));
            }
            Err(error) => return Err(error),
        }
    }
    // The steps of many changes take longer than writing them, and do not touch the disk.
    let steps = parallel::map(
        "ordering steps",
        &begun,
        parallel::threads_for(begun.len()),
        Begun::steps,
    );
    let counter = Counter::begin("writing files aside", begun.len());
    let staged = begun.into_iter().zip(steps).map(|(begun, steps)| {
        let task = stage(context, begun, steps)?;
        counter.count();
        Ok(task)
    });
    staged.collect()
}

/// A change whose texts may be written.
struct Begun<'p> {
    index: usize,
    change: &'p Change,
    placed: Placed,
    /// The files that become ours, since they hold what they would get.
    adopted: Files,
}

impl Begun<'_> {
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

fn stage<'p>(context: &PublishContext, begun: Begun<'p>, steps: Vec<Step>) -> Result<Task<'p>> {
    let Begun {
        index,
        change,
        placed,
        adopted,
    } = begun;
    let Placed {
        mut owned,
        elsewhere,
        left,
    } = placed;
    let adopted = adopted.iter();
    owned.extend(adopted.map(|(artifact, text)| (*artifact, Known::only(Some(text.digest())))));
    let mut staged = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        staged.push(match step {
            Step::Remove(artifact) => StagedStep::Remove(artifact),
            Step::Write(artifact, text) => {
                let name = format!("{index}-{number}");
                let content = text.text();
                context
                    .output
                    .staging
                    .create(&name, &content, context.output.out.file())?;
                StagedStep::Put(StagedFile {
                    artifact,
                    name,
                    digest: text.digest(),
                    version: xds::version(&content),
                })
            }
        });
    }
    Ok(Task {
        change,
        index,
        steps: staged,
        owned,
        elsewhere,
        left,
    })
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
