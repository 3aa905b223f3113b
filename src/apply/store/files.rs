//! The files of a proxy: in its directory, but for those that have a place of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::dir::{Content, Dir};
use crate::apply::error::{ApplyError, Result};
use crate::envoy::artifact::{Artifact, Elsewhere, Fragments, ProxyKey};

/// The places where the files of desired proxies belong.
#[derive(Debug, Clone, Copy)]
pub struct Places<'p> {
    /// The desired proxies. Files of others stay where they are.
    pub desired: &'p Fragments,
    /// The places of files that are not below the directory of their proxy.
    pub elsewhere: &'p BTreeMap<ProxyKey, Elsewhere>,
}

impl<'p> Places<'p> {
    /// The places of files of a desired proxy that are not below its directory; `None` if it is not desired.
    pub(in crate::apply) fn of(&self, proxy: &ProxyKey) -> Option<&'p Elsewhere> {
        static NOWHERE: Elsewhere = Elsewhere::new();
        let is_desired = self.desired.contains_key(proxy);
        is_desired.then(|| self.elsewhere.get(proxy).unwrap_or(&NOWHERE))
    }
}

/// The files of a proxy.
#[derive(Debug)]
pub(in crate::apply) struct PlacedFiles<'e> {
    /// The directory, if it is there.
    dir: Option<Dir>,
    /// The path of the directory.
    path: PathBuf,
    elsewhere: &'e Elsewhere,
}

impl<'e> PlacedFiles<'e> {
    /// The files of a proxy below the output directory.
    pub(in crate::apply) fn of(root: &Dir, proxy: &ProxyKey, elsewhere: &'e Elsewhere) -> Result<Self> {
        let directory = proxy.directory();
        Ok(Self {
            path: root.path().join(&directory),
            dir: root.below(&directory)?,
            elsewhere,
        })
    }

    /// The files of a proxy whose directory is open.
    pub(in crate::apply) fn in_directory(dir: Dir, elsewhere: &'e Elsewhere) -> Self {
        Self {
            path: dir.path().to_owned(),
            dir: Some(dir),
            elsewhere,
        }
    }

    /// The path of the directory.
    pub(in crate::apply) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether neither the directory nor any other place is there.
    pub(in crate::apply) fn are_gone(&self) -> bool {
        self.dir.is_none() && self.elsewhere.is_empty()
    }

    /// The absolute path of a file.
    pub(in crate::apply) fn path_of(&self, artifact: Artifact) -> PathBuf {
        let own = || self.path.join(&*artifact.path());
        self.elsewhere.get(&artifact).cloned().unwrap_or_else(own)
    }

    /// The directory and the name of a file, the directory of which must be there.
    pub(in crate::apply) fn place(&self, artifact: Artifact) -> Result<(Dir, String)> {
        let missing = || ApplyError::new("open", &self.path_of(artifact), Errno::NOENT);
        self.find(artifact)?.ok_or_else(missing)
    }

    /// The directory and the name of a file, if the directory is there.
    pub(in crate::apply) fn find(&self, artifact: Artifact) -> Result<Option<(Dir, String)>> {
        if let Some(path) = self.elsewhere.get(&artifact) {
            return at(path);
        }
        let Some(dir) = &self.dir else { return Ok(None) };
        let parent = dir.below(artifact.subdirectory().unwrap_or("."))?;
        Ok(parent.map(|parent| (parent, artifact.file_name())))
    }

    /// The content at the place of a file.
    pub(in crate::apply) fn read(&self, artifact: Artifact) -> Result<Content> {
        match self.find(artifact)? {
            Some((dir, name)) => dir.read(&name),
            None => Ok(Content::Missing),
        }
    }

    /// Gives a file a second name in another directory.
    pub(in crate::apply) fn link(&self, artifact: Artifact, to: &Dir, new_name: &str) -> Result<()> {
        let (dir, name) = self.place(artifact)?;
        dir.link_to(&name, to, new_name)
    }
}

/// The directory and the name of a path outside of the output directory, if the directory is there. That directory belongs to the
/// machine, and may be reached through links.
pub(in crate::apply) fn at(path: &Path) -> Result<Option<(Dir, String)>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(None);
    };
    let name = name.to_string_lossy().into_owned();
    Ok(Dir::open(parent)?.map(|dir| (dir, name)))
}
