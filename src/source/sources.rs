//! The sources that policies are read from.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::Vars;
use super::filter::Filter;
use super::proxy_path::ProxyPath;

/// All roots, which together hold one set of resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Directories and files.
    pub roots: Vec<Root>,
    /// The choice of files in directories.
    pub filter: Filter,
    /// The way in which directories are read.
    pub mode: Mode,
    /// Whether the paths of files begin with that of their root even if there is only one.
    pub has_whole_paths: bool,
    /// The files of Envoys that are read beside the policies.
    pub bases: BTreeSet<ProxyPath>,
}

/// The way in which directories are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A bare repository is read as with `git`, any other directory as with `worktree`.
    #[default]
    Auto,
    /// The files are read; those of a Git work tree only while no Git operation is under way.
    Worktree,
    /// The objects of the commit that `HEAD` names are read, never the files.
    Git,
}

/// A directory or a file that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The path, as the settings name it.
    pub path: PathBuf,
    /// Values of the variables in its files; `None` when the files are no templates.
    pub vars: Option<Vars>,
}

impl Sources {
    /// A root alone, with default filter and mode.
    pub fn one(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            roots: vec![Root { path, vars: None }],
            filter: Filter::default(),
            ..Self::default()
        }
    }

    /// The prefix with which the paths of a snapshot's files can be opened: the root if there is only one, since the
    /// paths of several roots begin with theirs already.
    #[must_use]
    pub fn prefix(&self) -> String {
        let [Root { path, .. }] = self.roots.as_slice() else {
            return String::new();
        };
        let root = if path.is_file() {
            path.parent().unwrap_or(Path::new(""))
        } else {
            path
        };
        match root.to_string_lossy().trim_end_matches('/') {
            "" if root.has_root() => "/".to_owned(),
            "" => String::new(),
            root => format!("{root}/"),
        }
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<String> = self.roots.iter().map(|root| root.path.display().to_string()).collect();
        f.write_str(&paths.join(" + "))
    }
}
