//! The files of a proxy, in its directory.

use super::dir::{Content, Dir};
use crate::apply::error::{ApplyError, Result};
use crate::envoy::artifact::Artifact;

/// The directory of the files that a running Envoy watches, below that of a proxy.
pub(in crate::apply) const XDS: &str = "xds";

/// The directory and the name of a file, the directory of which must be there.
pub(in crate::apply) fn place(dir: &Dir, artifact: Artifact) -> Result<(Dir, &'static str)> {
    let missing = || ApplyError::new("open", &dir.path().join(artifact.path()), rustix::io::Errno::NOENT);
    find(dir, artifact)?.ok_or_else(missing)
}

/// The directory and the name of a file, if the directory is there.
pub(in crate::apply) fn find(dir: &Dir, artifact: Artifact) -> Result<Option<(Dir, &'static str)>> {
    let (parent, name) = split(artifact);
    Ok(dir.below(parent)?.map(|parent| (parent, name)))
}

pub(in crate::apply) fn split(artifact: Artifact) -> (&'static str, &'static str) {
    artifact.path().rsplit_once('/').unwrap_or((".", artifact.path()))
}

/// The content at the place of a file.
pub(in crate::apply) fn read(dir: &Dir, artifact: Artifact) -> Result<Content> {
    match find(dir, artifact)? {
        Some((dir, name)) => dir.read(name),
        None => Ok(Content::Missing),
    }
}

/// Gives a file a second name in another directory.
pub(in crate::apply) fn link(dir: &Dir, artifact: Artifact, to: &Dir, new_name: &str) -> Result<()> {
    let (dir, name) = place(dir, artifact)?;
    dir.link_to(name, to, new_name)
}
