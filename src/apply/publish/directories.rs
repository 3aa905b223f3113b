//! The directories of a proxy: made before its files, removed after them.

use std::collections::BTreeSet;
use std::time::Instant;

use super::context::PublishContext;
use super::task::Task;
use crate::apply::error::{ApplyError, Result};
use crate::apply::store::dir::{Access, Dir};
use crate::apply::store::files::PlacedFiles;
use crate::apply::store::inventory::Entry;
use crate::envoy::ADMIN_SOCKET;
use crate::envoy::artifact::{ProxyKey, SUBDIRECTORIES};
use crate::plan::Action;
use crate::system::http_client::Connection;

/// Makes the directories of the files that a change puts in place.
pub(super) fn make_directories(context: &PublishContext, task: &Task) -> Result<()> {
    let change = task.change;
    if change.action == Action::Remove {
        return Ok(());
    }
    let places = task
        .elsewhere
        .iter()
        .filter(|(artifact, _)| change.after.contains_key(artifact));
    for parent in places.filter_map(|(_, path)| path.parent()) {
        // Directories out of the output directory belong to the machine: they come with its usual modes, and stay.
        std::fs::create_dir_all(parent).map_err(|error| ApplyError::new("create", parent, error))?;
    }
    let dir = proxy_directories(context, &change.proxy, |dir, name, access| {
        let dir = dir.make_child(name, access)?;
        // A kill between making a directory and opening it to Envoy leaves it closed. A failure here is reported at
        // the end.
        let _ = dir.restore_permissions(access);
        Ok(Some(dir))
    })?;
    if let Some(dir) = dir.last() {
        let subdirectories: BTreeSet<&str> = change.after.keys().filter_map(|file| file.subdirectory()).collect();
        for name in subdirectories {
            let _ = dir
                .make_child(name, context.output.out.directory())?
                .restore_permissions(context.output.out.directory());
        }
    }
    Ok(())
}

/// The directories of a proxy, the outermost first, as far as they are there.
fn proxy_directories(
    context: &PublishContext,
    proxy: &ProxyKey,
    enter: impl Fn(&Dir, &str, Access) -> Result<Option<Dir>>,
) -> Result<Vec<Dir>> {
    let path = proxy.directory();
    let mut dirs: Vec<Dir> = Vec::new();
    for (part, access) in path
        .split('/')
        .zip([context.output.out.directory(), context.output.out.proxy_directory()])
    {
        match enter(dirs.last().unwrap_or(&context.output.root), part, access)? {
            Some(dir) => dirs.push(dir),
            None => break,
        }
    }
    Ok(dirs)
}

/// Removes the socket and the empty directories of a proxy without files; `false` while its Envoy still runs.
pub(super) fn remove_directories(context: &PublishContext, proxy: &ProxyKey) -> Result<bool> {
    let path = proxy.directory();
    let (mesh, name) = path.split_once('/').unwrap_or((&path, "."));
    let Some(parent) = context.output.root.child(mesh)? else {
        return Ok(true);
    };
    if let Some(dir) = parent.child(name)? {
        if dir.is_socket(ADMIN_SOCKET) {
            let deadline = Instant::now() + context.envoy.confirm_timeout;
            match Connection::unix(&dir.path().join(ADMIN_SOCKET), deadline) {
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => dir.remove(ADMIN_SOCKET)?,
                Ok(_) | Err(_) => return Ok(false),
            }
        }
        for name in SUBDIRECTORIES {
            dir.remove_empty(name)?;
        }
    }
    parent.remove_empty(name)?;
    context.output.root.remove_empty(mesh)?;
    Ok(true)
}

/// Gives back mode and owner to the files and directories of a proxy that lost them, and counts these.
pub(super) fn restore_permissions(
    context: &PublishContext,
    proxy: &ProxyKey,
    entry: &Entry,
    with_mesh: bool,
) -> Result<usize> {
    let dirs = proxy_directories(context, proxy, |dir, name, _| dir.child(name))?;
    let Ok([mesh, dir]) = <[Dir; 2]>::try_from(dirs) else {
        return Ok(0);
    };
    let mut restored = usize::from(dir.restore_permissions(context.output.out.proxy_directory())?);
    if with_mesh {
        restored += usize::from(mesh.restore_permissions(context.output.out.directory())?);
    }
    for name in SUBDIRECTORIES {
        if let Some(dir) = dir.child(name)? {
            restored += usize::from(dir.restore_permissions(context.output.out.directory())?);
        }
    }
    let files = PlacedFiles::in_directory(dir, &entry.elsewhere);
    for &artifact in entry.files.keys() {
        if let Some((dir, name)) = files.find(artifact)? {
            restored += usize::from(dir.restore_file_permissions(&name, context.output.out.file())?);
        }
    }
    Ok(restored)
}
