//! The output directory: its parts, and who may do what there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::dir::{Access, Dir};
use crate::apply::error::Result;
use crate::envoy::artifact::ProxyKey;

/// The directory of meshtraced's own files, below the output directory.
pub(in crate::apply) const META: &str = ".meshtraced";

/// Whether a directory is one that files were published to.
#[must_use]
pub fn is_output(root: &Path) -> bool {
    root.join(META).exists()
}
/// The file that the only publisher to the directory locks, below [`META`].
pub(in crate::apply) const LOCK: &str = "lock";
/// The directory of files that are not published yet, below [`META`]. Nothing in it outlives a run.
pub(in crate::apply) const STAGING: &str = "staging";
/// The directory of the listeners that each Envoy accepted last, below [`META`], while it has not judged the new
/// ones.
const UNDO: &str = "undo";

/// The output directory, and the access to what is published there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputDir {
    /// The absolute path.
    pub root: PathBuf,
    /// The mode of files. Directories get `x` where files have `r`.
    pub mode: u32,
    /// The user id of files and directories; `None` leaves that of this process.
    pub owner: Option<u32>,
    /// The group id of files and directories; `None` leaves that of this process.
    pub group: Option<u32>,
    /// Whether the Envoys make their admin sockets in the directories of their proxies.
    pub has_sockets: bool,
}

impl OutputDir {
    /// The path of the directory of meshtraced's own files.
    #[must_use]
    pub fn own_directory(&self) -> PathBuf {
        self.root.join(META)
    }

    /// The path of the lock.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.own_directory().join(LOCK)
    }

    pub(in crate::apply) fn file(&self) -> Access {
        Access {
            mode: self.mode,
            owner: self.owner,
            group: self.group,
        }
    }

    pub(in crate::apply) fn directory(&self) -> Access {
        Access {
            mode: self.mode | (self.mode & 0o444) >> 2,
            ..self.file()
        }
    }

    /// The access to the directory of a proxy, in which its Envoy may make the admin socket.
    ///
    /// An Envoy of the group needs to write there. It must not take away what others put there (sticky), and the
    /// socket must be of the group too (setgid).
    pub(in crate::apply) fn proxy_directory(&self) -> Access {
        let is_shared = self.has_sockets && self.group.is_some();
        let directory = self.directory();
        Access {
            mode: directory.mode | if is_shared { 0o3030 } else { 0 },
            ..directory
        }
    }

    /// The directory and that of meshtraced's own files, as far as they are there.
    pub(in crate::apply) fn open(&self) -> Result<Option<(Dir, Dir)>> {
        let Some(root) = Dir::open(&self.root)? else {
            return Ok(None);
        };
        Ok(root.child(META)?.map(|meta| (root, meta)))
    }

    /// The directory of meshtraced's own files, made if it is not there.
    pub(in crate::apply) fn make_meta(&self) -> Result<Dir> {
        Dir::make(&self.root, self.directory())?.make_child(META, self.directory())
    }
}

/// The directories of a publication, held open.
#[derive(Debug)]
pub(in crate::apply) struct OpenOutput<'t> {
    pub(in crate::apply) out: &'t OutputDir,
    pub(in crate::apply) root: Dir,
    pub(in crate::apply) meta: Dir,
    pub(in crate::apply) staging: Dir,
    pub(in crate::apply) undo: Dir,
}

impl<'t> OpenOutput<'t> {
    /// The directories below `root` and `meta`, made if they are not there.
    pub(in crate::apply) fn new(out: &'t OutputDir, root: Dir, meta: Dir) -> Result<Self> {
        Ok(Self {
            staging: meta.make_child(STAGING, out.directory())?,
            undo: meta.make_child(UNDO, out.directory())?,
            out,
            root,
            meta,
        })
    }
}

/// The directory of the listeners that each Envoy accepted last, if it is there.
pub(in crate::apply) fn undo(meta: &Dir) -> Result<Option<Dir>> {
    meta.child(UNDO)
}

/// The names of the files in that directory; `None` where they cannot be listed.
pub(in crate::apply) fn undo_names(undo: &Dir) -> Option<BTreeSet<String>> {
    Some(undo.names().ok()?.into_iter().collect())
}

/// The name of a proxy's file in that directory.
pub(in crate::apply) fn undo_name(proxy: &ProxyKey) -> String {
    blake3::hash(proxy.directory().as_bytes()).to_hex()[..32].to_owned()
}
