//! What files were about when they could be read last.
//!
//! A file that becomes unreadable holds the meshes it was about. That is remembered beside the published files,
//! so that a restart does not forget it.

use super::lock::held;
use super::tree::Content;
use super::{Lock, Result, Target, open};
use crate::resource::Contributions;

const NAME: &str = "contributions.json";

/// What is remembered; nothing when it cannot be understood, since it only adds caution.
///
/// # Errors
/// When it is there and cannot be read.
pub fn known(target: &Target) -> Result<Contributions> {
    let Some((_, meta)) = open(target)? else {
        return Ok(Contributions::new());
    };
    Ok(match meta.read(NAME)? {
        Content::Text(text) => serde_json::from_str(&text).unwrap_or_default(),
        Content::Missing | Content::Binary | Content::Other => Contributions::new(),
    })
}

/// Remembers it for the next time; durable when it returns.
///
/// # Errors
/// When it cannot be written; what was remembered before then stays.
pub fn remember(contributions: &Contributions, target: &Target, lock: &Lock) -> Result<()> {
    if known(target)? == *contributions {
        return Ok(());
    }
    let (_, meta) = held(target, lock)?;
    let text = serde_json::to_string_pretty(contributions).expect("plain data always is JSON");
    super::replace(target, &meta, NAME, &(text + "\n"))
}
