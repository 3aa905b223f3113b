//! The submodules of a work tree, compared with the commits that its index names.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::Result;
use super::repository::{Repository, find};
use super::tree::entries;
use crate::source::filter::Filter;

/// The mode of a submodule in an index.
const GITLINK: &[u8] = b"160000 ";

impl Repository {
    /// The submodules below a path whose files are missing, or belong to another commit than the index names; each with
    /// the reason, by the path below that path. The files of a submodule without a repository are taken as they are.
    ///
    /// # Errors
    /// When Git cannot be asked.
    pub(in crate::source) fn unsound_submodules(
        &self,
        below: &Path,
        filter: &Filter,
    ) -> Result<Vec<(PathBuf, String)>> {
        let pathspec = if below.as_os_str().is_empty() {
            Path::new(".")
        } else {
            below
        };
        let top = ["--literal-pathspecs".as_ref(), "-C".as_ref(), self.top.as_os_str()];
        let command = ["ls-files".as_ref(), "--stage".as_ref(), "-z".as_ref(), "--".as_ref()];
        let arguments = top.into_iter().chain(command).chain([pathspec.as_os_str()]);
        let listed = self.ask(arguments)?;
        let mut unsound = Vec::new();
        for line in listed.split(|byte| *byte == 0).filter(|line| line.starts_with(GITLINK)) {
            for (path, entry) in entries(&as_tree(line)) {
                let Ok(seen) = path.strip_prefix(below) else { continue };
                let is_read = filter.reaches(seen) && filter.enters(seen) && !filter.leaves_out(seen);
                if let Some(why) = is_read.then(|| fault(&self.top.join(&path), &entry.id)).flatten() {
                    unsound.push((seen.to_owned(), why));
                }
            }
        }
        Ok(unsound)
    }
}

/// A line of `ls-files --stage`, `160000 ID STAGE<tab>PATH`, in the form of `ls-tree`, `160000 commit ID<tab>PATH`.
fn as_tree(line: &[u8]) -> Vec<u8> {
    let rest = &line[GITLINK.len()..];
    let id = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
    let path = rest.split(|byte| *byte == b'\t').nth(1).unwrap_or_default();
    [GITLINK, b"commit ", id, b"\t", path].concat()
}

/// The reason why the files of a submodule are not those of the commit that is wanted.
fn fault(directory: &Path, wanted: &str) -> Option<String> {
    let is_empty = fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none());
    if is_empty {
        return Some("the submodule has no files: it is not initialized".to_owned());
    }
    let (repository, below) = find(directory)?;
    if !below.as_os_str().is_empty() {
        return None;
    }
    let found = repository.head().ok()?;
    let short = |id: &str| id.get(..7).unwrap_or(id).to_owned();
    (found.id != wanted).then(|| {
        let (found, wanted) = (short(&found.id), short(wanted));
        format!("the submodule is at {found}, and the repository names {wanted}")
    })
}
