//! The meshes that each policy file was about when it could be read last.
//!
//! A file that becomes unreadable holds the meshes that it was about. They are remembered beside the published files,
//! so that a restart does not forget them.

use serde::{Deserialize, Serialize};

use super::document::{self, Document, Found};
use super::lock::{Lock, held};
use super::output::OutputDir;
use crate::apply::error::Result;
use crate::resource::Contributions;

const NAME: &str = "file-meshes.json";

#[derive(Default, Serialize, Deserialize)]
struct FileMeshes {
    files: Contributions,
}

impl Document for FileMeshes {
    const FORMAT: u32 = 1;
}

/// The meshes of each file as they were known last; none when they cannot be understood, since they only add caution.
///
/// # Errors
/// When they are there and cannot be read.
pub fn load(out: &OutputDir) -> Result<Contributions> {
    let Some((_, meta)) = out.open()? else {
        return Ok(Contributions::new());
    };
    Ok(match document::load::<FileMeshes>(&meta, NAME)? {
        Found::Document(known) => known.files,
        Found::Missing | Found::Invalid(_) => Contributions::new(),
    })
}

/// Remembers the meshes of each file; they are on disk when this returns.
///
/// # Errors
/// When they cannot be written; those that were known before are then still there.
pub fn save(files: &Contributions, out: &OutputDir, lock: &Lock) -> Result<()> {
    if load(out)? == *files {
        return Ok(());
    }
    let (_, meta) = held(out, lock)?;
    let files = files.clone();
    document::replace(out, &meta, NAME, &FileMeshes { files })
}
