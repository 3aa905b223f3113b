//! The files in which a commit differs from an earlier one, or from a work tree.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use super::commit::Part;
use super::error::Result;
use super::repository::Repository;
use super::tree::{Entry, Kind, changed, entries};
use crate::source::commit::Commit;
use crate::source::known::{Content, KnownFiles, Stamp};

/// Files by their paths below the root, each with its content and its stamp; `None` for a path without a file.
pub(in crate::source) type Files = BTreeMap<PathBuf, Option<(Content, Stamp)>>;

impl Repository {
    /// The files that one commit has otherwise than another one before it; `None` if these are not all that matters, since
    /// there are links, submodules or files that cannot be read.
    ///
    /// # Errors
    /// When Git cannot be asked, or no longer has the earlier commit.
    pub(in crate::source) fn difference(&self, before: &str, commit: &Commit, part: Part) -> Result<Option<Files>> {
        let command = ["diff-tree", "-r", "-z", "--raw", "--no-renames", before, &commit.id];
        let root = Some(part.below.to_owned()).filter(|below| !below.as_os_str().is_empty());
        let changed = changed(&self.ask(about(&command, root.into_iter().collect()))?);
        self.files(commit, changed, part)
    }

    /// The files of a commit at these paths below the root; `None` as in [`Self::difference`].
    ///
    /// # Errors
    /// When Git cannot be asked.
    pub(in crate::source) fn files_at(
        &self,
        paths: &BTreeSet<PathBuf>,
        commit: &Commit,
        part: Part,
    ) -> Result<Option<Files>> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| part.below.join(path)).collect();
        let mut found: BTreeMap<_, _> = paths.iter().map(|path| (path.clone(), None)).collect();
        if !paths.is_empty() {
            let command = ["ls-tree", "-z", "--full-tree", &commit.id];
            let listed = self.ask(about(&command, paths))?;
            found.extend(entries(&listed).into_iter().map(|(path, entry)| (path, Some(entry))));
        }
        self.files(commit, found, part)
    }

    /// The files of the entries that are read.
    fn files(&self, commit: &Commit, found: BTreeMap<PathBuf, Option<Entry>>, part: Part) -> Result<Option<Files>> {
        let (mut there, mut files) = (BTreeMap::new(), Files::new());
        for (path, entry) in found {
            let Ok(path) = path.strip_prefix(part.below) else {
                continue;
            };
            match entry {
                Some(Entry {
                    kind: Kind::Link | Kind::Submodule,
                    ..
                }) => return Ok(None),
                // A directory has taken the place of a file.
                None | Some(Entry { kind: Kind::Tree, .. }) => drop(files.insert(path.to_owned(), None)),
                Some(entry) => drop(there.insert(path.to_owned(), entry)),
            }
        }
        there.retain(|path, _| part.filter.wants(path));
        files.retain(|path, _| part.filter.wants(path));
        let contents = self.contents(commit, &there, part.limit, &KnownFiles::default())?;
        for ((path, entry), content) in there.into_iter().zip(contents) {
            let Ok(content) = content else { return Ok(None) };
            files.insert(path, Some((content, Stamp::of_object(&entry.id))));
        }
        Ok(Some(files))
    }
}

/// The arguments of a command about paths below the top; about everything if there is none.
fn about(command: &[&str], paths: Vec<PathBuf>) -> Vec<OsString> {
    let words = command.iter().chain(&["--"]).map(OsString::from);
    words.chain(paths.into_iter().map(PathBuf::into_os_string)).collect()
}
