//! What files were about when they could be read last.
//!
//! A file that becomes unreadable holds the meshes it was about. That is remembered beside the published files,
//! so that a restart does not forget it.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{ApplyError, Lock, Target};
use crate::resource::Contributions;

/// What is remembered; nothing when it cannot be understood, since it only adds caution.
///
/// # Errors
/// When it is there and cannot be read.
pub fn known(target: &Target) -> Result<Contributions, ApplyError> {
    let path = path(target);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(serde_json::from_str(&text).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Contributions::new()),
        Err(error) => Err(ApplyError::new("read", &path, error)),
    }
}

/// Remembers it for the next time.
///
/// # Errors
/// When it cannot be written.
pub fn remember(contributions: &Contributions, target: &Target, _lock: &Lock) -> Result<(), ApplyError> {
    if known(target)? == *contributions {
        return Ok(());
    }
    let path = path(target);
    let text = serde_json::to_string_pretty(contributions).expect("plain data always is JSON");
    let new = path.with_extension("json.new");
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
    written.map_err(|error| ApplyError::new("write", &path, error))
}

fn path(target: &Target) -> PathBuf {
    target.root.join(super::META).join("contributions.json")
}
