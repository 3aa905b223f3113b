//! The last word of a daemon: its status, for those who look when it does not run.

use super::tree::{Content, Dir};
use super::{Lock, META, Result, STAGING, Target};

const NAME: &str = "status.json";

/// Leaves it. It says nothing that another run relies on, so it is not made durable.
///
/// # Errors
/// When it cannot be written.
pub fn leave(text: &str, target: &Target, _lock: &Lock) -> Result<()> {
    let root = Dir::make(&target.root, target.directory())?;
    let own = root.make_child(META, target.directory())?;
    let staging = own.make_child(STAGING, target.directory())?;
    staging.remove(NAME)?;
    staging.create(NAME, text, target.file())?;
    staging.move_to(NAME, &own, NAME, true)
}

/// What the last daemon left; `None` when there was none.
///
/// # Errors
/// When it cannot be read.
pub fn left(target: &Target) -> Result<Option<String>> {
    let Some(own) = Dir::open(&target.own_directory())? else {
        return Ok(None);
    };
    Ok(match own.read(NAME)? {
        Content::Text(text) => Some(text),
        Content::Missing | Content::Binary | Content::Other => None,
    })
}
