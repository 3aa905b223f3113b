//! Puts in order what a publication leaves: the inventory, empty directories, modes and owners.

use std::collections::BTreeSet;

use super::inventory::{Entry, Inventory, Known};
use super::publish::{self, Room};
use super::tree::{Access, Content, Dir};
use super::{ApplyError, Outcome, Target};
use crate::envoy::artifact::ProxyKey;
use crate::plan::Plan;
use crate::plan::digest::Digest;

/// Gives back mode and owner to the directories above the proxies.
pub(super) fn mend_top(root: &Dir, meta: &Dir, target: &Target, outcome: &mut Outcome) {
    let directory = target.directory();
    // Whoever took the right to write from the owner of the output directory may want just that.
    let readable = Access {
        mode: directory.mode & 0o077,
        ..directory
    };
    for (dir, access) in [(root, readable), (meta, directory)] {
        let mended = dir.mend(access);
        outcome.mended += usize::from(outcome.note(mended).unwrap_or(false));
    }
}

/// Forgets the refusals of proxies that never had files and are not wanted any more.
pub(super) fn forget_refused(plan: &Plan, inventory: &mut Inventory) {
    let is_wanted = |proxy: &ProxyKey| plan.changes.iter().any(|change| change.proxy == *proxy);
    let without_files = |entry: &Entry| entry.files.is_empty() && entry.rejection.is_some();
    inventory
        .proxies
        .retain(|proxy, entry| !without_files(entry) || is_wanted(proxy));
}

/// Removes what is left of proxies that have no files any more: sockets and empty directories.
pub(super) fn remove_leftovers(room: &Room, inventory: &mut Inventory, outcome: &mut Outcome) {
    inventory.proxies.retain(|proxy, entry| {
        if !entry.files.is_empty() || entry.rejection.is_some() {
            return true;
        }
        match publish::remove_directories(room, proxy) {
            Ok(is_gone) => !is_gone,
            Err(error) => {
                outcome.troubles.push((proxy.clone(), error));
                true
            }
        }
    });
}

/// Lists one digest for files of which a run before this one left it open.
pub(super) fn files_left_open(room: &Room, inventory: &mut Inventory) {
    for (proxy, entry) in &mut inventory.proxies {
        if entry.files.values().all(|known| known.len() == 1) {
            continue;
        }
        let Ok(dir) = room.root.below(&proxy.directory()) else {
            continue;
        };
        entry.files.retain(|artifact, known| {
            let content = dir
                .as_ref()
                .map_or(Ok(Content::Missing), |dir| publish::read(dir, *artifact));
            let found = match content {
                Ok(Content::Text(text)) => Some(Digest::of(&text)),
                Ok(Content::Missing) => None,
                // Neither of it, and for people to look at.
                Ok(Content::Binary | Content::Other) | Err(_) => return true,
            };
            if known.len() > 1 && known.contains(&found) {
                *known = Known::from([found]);
            }
            *known != Known::from([None])
        });
    }
}

/// Gives back mode and owner to what is ours.
pub(super) fn mend(room: &Room, inventory: &Inventory, outcome: &mut Outcome) {
    let mut mended_meshes = BTreeSet::new();
    for (proxy, entry) in inventory.proxies.iter().filter(|(_, entry)| !entry.files.is_empty()) {
        let with_mesh = mended_meshes.insert(&proxy.mesh);
        match publish::mend(room, proxy, &entry.files, with_mesh) {
            Ok(count) => outcome.mended += count,
            // Publishing has said that already, or will when there is something to publish.
            Err(ApplyError::Link { .. }) => {}
            Err(error) => outcome.troubles.push((proxy.clone(), error)),
        }
    }
}
