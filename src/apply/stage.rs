//! New files, complete and with their final mode and owner, before any of them is visible.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::{ApplyError, Target, sync};
use crate::envoy::artifact::{Artifact, ProxyKey};
use crate::envoy::xds;
use crate::plan::Change;

/// The files that wait to be renamed into place.
pub(super) struct Staged {
    /// By the proxy and what they are for.
    files: BTreeMap<(ProxyKey, Part), PathBuf>,
}

/// What a staged file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// A file as it shall be.
    New(Artifact),
    /// The clusters for the time in between: the new ones and the old ones.
    Union,
    /// A file as it is, to go back to.
    Old(Artifact),
}

impl Staged {
    /// How many files are new.
    pub(super) fn files(&self) -> usize {
        self.files
            .keys()
            .filter(|(_, part)| matches!(part, Part::New(_)))
            .count()
    }

    /// The staged file; `None` where nothing changes.
    pub(super) fn path(&self, proxy: &ProxyKey, part: Part) -> Option<&Path> {
        self.files.get(&(proxy.clone(), part)).map(PathBuf::as_path)
    }
}

/// Writes all new files beside the published ones, and syncs them.
pub(super) fn stage(changes: &[&Change], target: &Target) -> Result<Staged, ApplyError> {
    let texts = texts(changes);
    let needed = texts.iter().map(|(.., text)| text.len() as u64).sum();
    let directory = directory(target);
    let full = |error: ApplyError| match error {
        ApplyError::Io { source, .. } if is_full(&source) => ApplyError::Full {
            directory: target.root.clone(),
            needed,
            source,
        },
        other => other,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .map_err(|error| full(ApplyError::new("create", &directory, error)))?;
    let mut staged = Staged { files: BTreeMap::new() };
    for (number, (proxy, part, text)) in texts.into_iter().enumerate() {
        let path = directory.join(number.to_string());
        write(&path, &text, target).map_err(|error| full(ApplyError::new("write", &path, error)))?;
        staged.files.insert((proxy, part), path);
    }
    sync(&directory).map_err(full)?;
    Ok(staged)
}

/// Removes what is staged, and what a killed run left there.
pub(super) fn clear(target: &Target) -> Result<(), ApplyError> {
    let directory = directory(target);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ApplyError::new("remove", &directory, error)),
        _ => Ok(()),
    }
}

fn directory(target: &Target) -> PathBuf {
    target.private().join("staging")
}

fn texts(changes: &[&Change]) -> Vec<(ProxyKey, Part, String)> {
    let mut texts = Vec::new();
    for change in changes {
        let mut add = |part: Part, text: &String| texts.push((change.proxy.clone(), part, text.clone()));
        for (&artifact, text) in change
            .after
            .iter()
            .filter(|(artifact, text)| change.before.get(artifact) != Some(text))
        {
            add(Part::New(artifact), text);
            let is_xds = matches!(artifact, Artifact::Cds | Artifact::Lds);
            if let Some(old) = change.before.get(&artifact).filter(|_| is_xds) {
                add(Part::Old(artifact), old);
            }
        }
        let clusters = (change.before.get(&Artifact::Cds), change.after.get(&Artifact::Cds));
        if let (Some(before), Some(after)) = clusters
            && let Some(union) = xds::union(before, after)
        {
            add(Part::Union, &union);
        }
    }
    texts
}

fn write(path: &Path, text: &str, target: &Target) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    fchown(&file, target.owner, target.group)?;
    file.set_permissions(fs::Permissions::from_mode(target.mode))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
