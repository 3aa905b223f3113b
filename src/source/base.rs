//! The files of Envoys that somebody configured, which are read beside the policies as of the same moment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::file::{SourceFile, Unreadable, UnreadableReason};
use super::filter::{Filter, Patterns};
use super::proxy_path::ProxyPath;
use super::sources::{Mode, Root, Sources};
use crate::keep::Text;

/// Base files with their texts, by their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseFiles {
    files: BTreeMap<Text, Arc<SourceFile>>,
    unreadable: BTreeMap<String, Unreadable>,
}

impl BaseFiles {
    /// The files of a snapshot of [`sources`].
    pub(super) fn new(files: &[Arc<SourceFile>], unreadable: Vec<Unreadable>) -> Self {
        let files = files.iter().map(|file| (file.path.clone(), Arc::clone(file))).collect();
        let unreadable = unreadable.into_iter().map(|one| (one.path.clone(), one));
        Self {
            files,
            unreadable: unreadable.collect(),
        }
    }

    /// The file at a path.
    ///
    /// # Errors
    /// When it cannot be read; the reason is `None` if it does not exist.
    pub fn get(&self, path: &str) -> Result<&Arc<SourceFile>, Option<&UnreadableReason>> {
        let reason = || self.unreadable.get(path).map(|unreadable| &unreadable.reason);
        self.files.get(path).ok_or_else(reason)
    }

    /// All files that were read.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Arc<SourceFile>> {
        self.files.values()
    }

    /// The files that could not be read.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = &Unreadable> {
        self.unreadable.values()
    }
}

/// The sources that hold all files at some paths; those of roots that exist are read.
pub(super) fn sources(paths: &BTreeSet<ProxyPath>, exist: impl Fn(&Path) -> bool) -> Sources {
    let (mut roots, mut globs) = (BTreeSet::new(), Vec::new());
    for path in paths {
        let (root, glob) = path.parts();
        if exist(root) {
            roots.insert(root);
        }
        globs.extend(glob);
    }
    let deepest = globs
        .iter()
        .map(|glob| glob.matches('/').count() + 1)
        .max()
        .unwrap_or(1);
    // Nothing below is read, however large the tree is.
    let below = format!("{}/**", vec!["*"; deepest].join("/"));
    let patterns = |globs| Patterns::try_from(globs).unwrap_or_default();
    let roots: Vec<Root> = (roots.into_iter())
        .map(|path| Root {
            path: path.to_owned(),
            vars: None,
        })
        .collect();
    Sources {
        roots,
        filter: Filter::new(Some(patterns(globs)), patterns(vec![below])),
        mode: Mode::Auto,
        has_whole_paths: true,
        bases: BTreeSet::new(),
    }
}
