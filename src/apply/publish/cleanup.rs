//! The cleanup after a publication: the inventory, empty directories, modes and owners.

use std::collections::BTreeSet;
use std::path::Path;

use super::context::{Looks, PublishContext, Request};
use super::directories;
use super::publication::Publication;
use crate::apply::error::{ApplyError, Result};
use crate::apply::store::OutputDir;
use crate::apply::store::dir::{Access, Content, Dir};
use crate::apply::store::files::{self, PlacedFiles};
use crate::apply::store::inventory::{Entry, Inventory};
use crate::apply::store::known::Known;
use crate::envoy::artifact::ProxyKey;
use crate::keep::Digest;
use crate::plan::Plan;
use crate::system::parallel;

/// Gives back mode and owner to the directories above the proxies.
pub(super) fn restore_top_permissions(root: &Dir, meta: &Dir, out: &OutputDir, publication: &mut Publication) {
    let directory = out.directory();
    // An operator who took the right to write from the owner of the output directory may want just that.
    let readable = Access {
        mode: directory.mode & 0o077,
        ..directory
    };
    for (dir, access) in [(root, readable), (meta, directory)] {
        let restored = dir.restore_permissions(access);
        publication.permissions_restored += usize::from(publication.or_warn(restored).unwrap_or(false));
    }
}

/// Puts in order what a publication leaves.
pub(super) fn clean_up(
    request: &Request,
    context: &PublishContext,
    inventory: &mut Inventory,
    publication: &mut Publication,
) {
    resolve_pending_entries(context, inventory);
    remove_left(inventory, publication);
    if request.looks == Looks::All {
        remove_copies(inventory);
    }
    forget_nacks(request.plan, inventory);
    remove_leftovers(context, inventory, publication);
    restore_permissions(request, context, inventory, publication);
}

/// Forgets what was rejected for proxies that never had files and are not desired any more.
fn forget_nacks(plan: &Plan, inventory: &mut Inventory) {
    let without_files = |entry: &Entry| entry.files.is_empty() && entry.left.is_empty() && entry.nack.is_some();
    inventory
        .proxies
        .retain(|proxy, entry| !without_files(entry) || plan.change(proxy).is_some());
}

/// Removes what is left of proxies that have no files any more: sockets and empty directories.
fn remove_leftovers(context: &PublishContext, inventory: &mut Inventory, publication: &mut Publication) {
    inventory.proxies.retain(|proxy, entry| {
        if !entry.files.is_empty() || !entry.left.is_empty() || entry.nack.is_some() {
            return true;
        }
        match directories::remove_directories(context, proxy) {
            Ok(is_gone) => !is_gone,
            Err(error) => {
                publication.cleanup_failures.push((proxy.clone(), error));
                true
            }
        }
    });
}

/// Removes files from the places where they do not belong any more, once they are where they belong.
fn remove_left(inventory: &mut Inventory, publication: &mut Publication) {
    let entries = inventory.proxies.iter_mut();
    for (proxy, entry) in entries.filter(|(_, entry)| !entry.left.is_empty()) {
        // Until all is in its place, the bootstrap on disk may name the old places.
        if publication.proxies.get(proxy).is_some_and(|result| !result.is_done()) {
            continue;
        }
        let files = &entry.files;
        entry.left.retain(|path, left| {
            if !files.is_empty() && !files.contains_key(&left.file) {
                return true;
            }
            let removed = remove_ours(path, &left.known);
            let failure = removed.map_err(|error| (proxy.clone(), error)).err();
            let is_failed = failure.is_some();
            publication.cleanup_failures.extend(failure);
            is_failed
        });
    }
}

/// Removes the copies that a killed process left beside files outside of the output directory.
fn remove_copies(inventory: &Inventory) {
    for path in inventory.proxies.values().flat_map(|entry| entry.elsewhere.values()) {
        if let Ok(Some((dir, name))) = files::at(path) {
            // A copy that stays is replaced by the next one.
            let _ = dir.remove_copy(&name);
        }
    }
}

/// Removes a file if it holds what we put there; somebody else's stays.
fn remove_ours(path: &Path, known: &Known) -> Result<()> {
    let Some((dir, name)) = files::at(path)? else {
        return Ok(());
    };
    match dir.read(&name)? {
        Content::Text(text) if known.contains(Some(Digest::of(&text))) => {
            dir.remove(&name)?;
            dir.sync()
        }
        Content::Text(_) | Content::Missing | Content::Binary | Content::Other => Ok(()),
    }
}

/// Lists one digest for each file for which an interrupted run left several possibilities.
fn resolve_pending_entries(context: &PublishContext, inventory: &mut Inventory) {
    for (proxy, entry) in &mut inventory.proxies {
        if entry.files.values().all(|known| known.all().len() == 1) {
            continue;
        }
        let Ok(files) = PlacedFiles::of(&context.output.root, proxy, &entry.elsewhere) else {
            continue;
        };
        entry.files.retain(|artifact, known| {
            let found = match files.read(*artifact) {
                Ok(Content::Text(text)) => Some(Digest::of(&text)),
                Ok(Content::Missing) => None,
                // Not one of the possibilities, so that it is reported as drift.
                Ok(Content::Binary | Content::Other) | Err(_) => return true,
            };
            if known.all().len() > 1 && known.contains(found) {
                *known = Known::only(found);
            }
            *known != Known::only(None)
        });
    }
}

/// Gives back mode and owner to published files and their directories.
fn restore_permissions(
    request: &Request,
    context: &PublishContext,
    inventory: &Inventory,
    publication: &mut Publication,
) {
    let mut restored_meshes = BTreeSet::new();
    let is_meant = |proxy: &ProxyKey| match request.looks {
        Looks::All => true,
        Looks::Changes => request.plan.change(proxy).is_some(),
    };
    let entries = inventory.proxies.iter().filter(|(_, entry)| !entry.files.is_empty());
    let entries = entries.filter(|(proxy, _)| is_meant(proxy));
    let entries: Vec<_> = entries
        .map(|(proxy, entry)| (proxy, entry, restored_meshes.insert(&proxy.mesh)))
        .collect();
    let restored = parallel::map(
        "restoring permissions",
        &entries,
        parallel::cpu_count(),
        |(proxy, entry, with_mesh)| directories::restore_permissions(context, proxy, entry, *with_mesh),
    );
    for ((proxy, ..), restored) in entries.iter().zip(restored) {
        match restored {
            Ok(count) => publication.permissions_restored += count,
            // The publication has reported it already, or will when there is something to publish.
            Err(ApplyError::Link { .. }) => {}
            Err(error) => publication.cleanup_failures.push(((*proxy).clone(), error)),
        }
    }
}
