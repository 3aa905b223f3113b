//! The files with keys and certificates for collectors, which Envoys read by themselves.
//!
//! They are beside what is published and no part of it: no plan, difference or history has them.

use super::dir::{Access, Content};
use super::lock::{Lock, held};
use super::output::{OutputDir, STAGING};
use crate::apply::error::Result;
use crate::envoy::sds::SECRETS;
use crate::envoy::secrets::Secrets;

/// The access to these files, or to their directory: that of published files, but for others.
fn without_others(access: Access) -> Access {
    Access {
        mode: access.mode & 0o770,
        ..access
    }
}

/// Writes the files that are not as they should be; they are on disk when this returns. An Envoy sees each change at once, since a new
/// file takes the place of the old one.
///
/// # Errors
/// When a file cannot be written; those before it are then in place.
pub fn save_secrets(secrets: &Secrets, out: &OutputDir, lock: &Lock) -> Result<()> {
    if secrets.files.is_empty() {
        return Ok(());
    }
    let (root, meta) = held(out, lock)?;
    let staging = meta.make_child(STAGING, out.directory())?;
    let directory = root.make_child(SECRETS, without_others(out.directory()))?;
    let access = without_others(out.file());
    for (name, secret) in &secrets.files {
        if directory.read(name)? == Content::Text(secret.expose().to_owned()) {
            directory.restore_file_permissions(name, access)?;
            continue;
        }
        directory.replace(name, secret.expose(), access, &staging)?;
    }
    directory.sync()
}

/// A hash of these files as they are on disk; `None` when one of them is no text.
///
/// # Errors
/// When they cannot be read.
pub fn secrets_seal(out: &OutputDir) -> Result<Option<String>> {
    let directory = match out.open()? {
        Some((root, _)) => root.child(SECRETS)?,
        None => None,
    };
    directory.map_or(Ok(Some(String::new())), |directory| directory.seal(directory.names()?))
}

/// Removes the files that no Envoy needs any more.
///
/// # Errors
/// When the directory cannot be read, or a file cannot be removed.
pub fn remove_other_secrets(secrets: &Secrets, out: &OutputDir, lock: &Lock) -> Result<()> {
    let (root, _) = held(out, lock)?;
    let Some(directory) = root.child(SECRETS)? else {
        return Ok(());
    };
    for name in directory.names()? {
        if !secrets.files.contains_key(&name) {
            directory.remove(&name)?;
        }
    }
    root.remove_empty(SECRETS)
}
