//! What is published, read back from the disk.

use super::inventory::{Inventory, Known};
use super::tree::{Content, Dir};
use super::{ApplyError, Result, Target, UNDO, open, publish, undo_name};
use crate::envoy::artifact::{Artifact, ProxyKey};
use crate::plan::Observed;
use crate::plan::digest::Digest;
use crate::plan::drift::{Drift, DriftKind};

/// Reads back what is published, and how it differs from what was.
///
/// # Errors
/// When the inventory cannot be understood, or directories and files cannot be opened for want of something.
pub fn observe(target: &Target) -> Result<Observed> {
    let mut observed = Observed::default();
    let Some((root, meta)) = open(target)? else {
        return Ok(observed);
    };
    let undo = meta.child(UNDO)?;
    for (proxy, entry) in Inventory::read(&meta)?.proxies {
        if entry.files.is_empty() {
            continue;
        }
        let place = Place::of(&root, &proxy)?;
        let is_judged = match &undo {
            Some(undo) => !undo.exists(&undo_name(&proxy)).unwrap_or(true),
            None => true,
        };
        let files = observed.applied.entry(proxy.clone()).or_default();
        for (artifact, known) in entry.files {
            if artifact == Artifact::Lds && !is_judged {
                continue;
            }
            let content = place.read(artifact)?;
            let kind = drift(&content, &known);
            if let Content::Text(text) = content {
                files.insert(artifact, text);
            }
            observed.drift.extend(kind.map(|kind| Drift {
                proxy: proxy.clone(),
                artifact,
                kind,
                published: known.into_iter().flatten().collect(),
            }));
        }
    }
    Ok(observed)
}

/// The directory of a proxy, as far as there is one.
enum Place {
    There(Dir),
    Missing,
    /// What lies behind a link is not ours; publishing there fails and says so.
    Other,
}

impl Place {
    fn of(root: &Dir, proxy: &ProxyKey) -> Result<Self> {
        Ok(match look(|| root.below(&proxy.directory()))? {
            Some(Some(dir)) => Self::There(dir),
            Some(None) => Self::Missing,
            None => Self::Other,
        })
    }

    /// What stands at the place of a file. What cannot be read is something else than we wrote.
    fn read(&self, artifact: Artifact) -> Result<Content> {
        match self {
            Self::There(dir) => Ok(look(|| publish::read(dir, artifact))?.unwrap_or(Content::Other)),
            Self::Missing => Ok(Content::Missing),
            Self::Other => Ok(Content::Other),
        }
    }
}

/// What a look finds; `None` if it fails whenever it is made, for another reason than that this process lacks something.
///
/// One failure may be a moment's, and then an Envoy reads what we take for gone: its listeners would lose clusters that
/// the plan knows nothing of. After a second one an Envoy that starts there finds as little as we do.
fn look<T>(made: impl Fn() -> Result<T>) -> Result<Option<T>> {
    let found = match made() {
        Err(error) if !error.is_shortage() => made(),
        found => found,
    };
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_shortage() => Err(error),
        Err(_) => Ok(None),
    }
}

/// What became of a file, if it is not as we know it.
fn drift(content: &Content, known: &Known) -> Option<DriftKind> {
    match content {
        Content::Text(text) if known.contains(&Some(Digest::of(text))) => None,
        Content::Missing if known.contains(&None) => None,
        Content::Text(_) | Content::Binary => Some(DriftKind::Edited),
        Content::Missing => Some(DriftKind::Missing),
        Content::Other => Some(DriftKind::Replaced),
    }
}

impl ApplyError {
    /// Whether it is this process that has too little of something, so that it says nothing of the file.
    fn is_shortage(&self) -> bool {
        use rustix::io::Errno;
        let (Self::Failed { source, .. } | Self::Denied { source, .. } | Self::NoSpace { source, .. }) = self else {
            return false;
        };
        let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
        shortages
            .iter()
            .any(|errno| source.raw_os_error() == Some(errno.raw_os_error()))
    }
}
