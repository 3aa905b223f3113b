//! The meshes that each policy file was about when it could be read last.
//!
//! A file that becomes unreadable holds the meshes that it was about. They are remembered beside the published files,
//! so that a restart does not forget them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::document::{self, Document, Found};
use super::lock::{Lock, held};
use super::output::OutputDir;
use crate::apply::error::Result;
use crate::keep::Text;
use crate::resource::Contributions;

const NAME: &str = "file-meshes.json";

#[derive(Serialize, Deserialize)]
struct FileMeshes {
    known: Vec<Alike>,
}

/// The files that are about the same meshes.
#[derive(Serialize, Deserialize)]
struct Alike {
    meshes: BTreeSet<String>,
    files: Vec<Text>,
}

impl Document for FileMeshes {
    const FORMAT: u32 = 2;
}

impl FileMeshes {
    fn of(files: &Contributions) -> Self {
        let mut alike = BTreeMap::<&BTreeSet<String>, Vec<Text>>::new();
        for (path, meshes) in files {
            alike.entry(meshes).or_default().push(path.clone());
        }
        let known = alike.into_iter().map(|(meshes, files)| Alike {
            meshes: meshes.clone(),
            files,
        });
        Self { known: known.collect() }
    }

    fn into_files(self) -> Contributions {
        let each = self.known.into_iter().flat_map(|Alike { meshes, files }| {
            let meshes = Arc::new(meshes);
            files.into_iter().map(move |path| (path, Arc::clone(&meshes)))
        });
        each.collect()
    }
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
        Found::Document(known) => known.into_files(),
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
    document::replace(out, &meta, NAME, &FileMeshes::of(files))
}
