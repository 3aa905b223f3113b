//! The last status of a daemon, for `meshtraced status` while none runs.

use super::dir::{Content, Dir};
use super::lock::Lock;
use super::output::{OutputDir, STAGING};
use crate::apply::error::Result;

const NAME: &str = "status.json";

/// Saves the text of a status. No other run relies on it, so that it is not synced.
///
/// # Errors
/// When it cannot be written.
pub fn save(text: &str, out: &OutputDir, _lock: &Lock) -> Result<()> {
    let own = out.make_meta()?;
    let staging = own.make_child(STAGING, out.directory())?;
    staging.remove(NAME)?;
    staging.create(NAME, text, out.file())?;
    staging.move_to(NAME, &own, NAME, true)
}

/// The text that the last daemon saved; `None` when there was none.
///
/// # Errors
/// When it cannot be read.
pub fn load(out: &OutputDir) -> Result<Option<String>> {
    let Some(own) = Dir::open(&out.own_directory())? else {
        return Ok(None);
    };
    Ok(match own.read(NAME)? {
        Content::Text(text) => Some(text),
        Content::Missing | Content::Binary | Content::Other => None,
    })
}
