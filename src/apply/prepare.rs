//! Writes aside what a plan puts in place, before anything that is published changes.

use super::inventory::{Inventory, Known, Owned};
use super::publish::{self, Job, Room, Staged};
use super::tree::Content;
use super::validate::Validator;
use super::{ApplyError, Outcome, Result, Word};
use crate::envoy::artifact::{Artifact, Files};
use crate::envoy::xds;
use crate::plan::digest::Digest;
use crate::plan::{self, Action, Change, Plan, Step};

/// Writes aside what the plan puts in place.
pub(super) fn prepare<'p>(
    plan: &'p Plan,
    room: &Room,
    inventory: &Inventory,
    validator: Option<&Validator>,
    outcome: &mut Outcome,
) -> Result<Vec<Job<'p>>> {
    let mut jobs = Vec::new();
    for (index, change) in plan.changes.iter().enumerate() {
        let entry = inventory.proxies.get(&change.proxy);
        if let Some(rejection) = entry.and_then(|entry| entry.rejection.as_ref())
            && change.action != Action::Remove
            && rejection.is_of(
                &change.after,
                validator.map(|validator| validator.identity(&change.proxy)).as_deref(),
            )
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
fn adopt(room: &Room, change: &Change, owned: &Owned) -> Result<Files> {
    let mut adopted = Files::new();
    let Some(dir) = room.root.below(&change.proxy.directory())? else {
        return Ok(adopted);
    };
    for (&artifact, text) in change
        .after
        .iter()
        .filter(|(artifact, _)| !owned.contains_key(artifact))
    {
        match publish::read(&dir, artifact) {
            Ok(Content::Missing) => {}
            Ok(Content::Text(found)) if found == *text => {
                adopted.insert(artifact, found);
            }
            Err(error) if !matches!(error, ApplyError::Denied { .. }) => return Err(error),
            Ok(Content::Text(_) | Content::Binary | Content::Other) | Err(_) => {
                return Err(ApplyError::Foreign {
                    path: dir.path().join(artifact.path()),
                });
            }
        }
    }
    Ok(adopted)
}

fn stage<'p>(room: &Room, index: usize, change: &'p Change, mut owned: Owned, adopted: &Files) -> Result<Job<'p>> {
    owned.extend(
        adopted
            .iter()
            .map(|(artifact, text)| (*artifact, Known::from([Some(Digest::of(text))]))),
    );
    let mut found = change.before.clone();
    found.extend(adopted.clone());
    let stays = |artifact: &Artifact| change.after.contains_key(artifact) || change.left.contains(artifact);
    for artifact in owned.keys().filter(|artifact| !stays(artifact)) {
        // Ours and not desired, and no text that was read: it goes in the same order as if there were one.
        found.entry(*artifact).or_default();
    }
    let steps = plan::steps(&found, &change.after);
    let mut staged = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        staged.push(match step {
            Step::Remove(artifact) => Staged::Remove(artifact),
            Step::Write(artifact, text) => {
                let name = format!("{index}-{number}");
                room.staging.create(&name, &text, room.target.file())?;
                Staged::Put {
                    artifact,
                    name,
                    digest: Digest::of(&text),
                    version: xds::version(&text),
                }
            }
        });
    }
    Ok(Job {
        change,
        index,
        steps: staged,
        owned,
    })
}
