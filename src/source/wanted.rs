//! The directories that are watched, and the paths whose events matter.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::base;
use super::read_mode::ReadMode;
use super::sources::Sources;
use super::worktree;

/// The names in the directory of a repository that decide which commit is read.
const REFERENCES: [&str; 3] = ["HEAD", "packed-refs", "config"];

/// File systems without events for changes by other machines, by the numbers of statfs(2).
const SILENT: [(i64, &str); 8] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x4750_4653, "GPFS"),
];

/// The paths whose events matter.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Concerns {
    /// Directories of which everything matters.
    pub(super) trees: BTreeSet<PathBuf>,
    /// Single paths that matter: links, and roots that may be replaced.
    pub(super) paths: BTreeSet<PathBuf>,
    /// Files of a repository whose changes tell of Git operations on a work tree. They are checked with each reading.
    pub(super) signs: BTreeSet<PathBuf>,
}

impl Concerns {
    /// Whether an event of a path matters.
    pub(super) fn contain(&self, path: &Path) -> bool {
        self.paths.contains(path)
            || self.signs.contains(path)
            || path.ancestors().any(|above| self.trees.contains(above))
    }
}

/// The identity of a directory: device and inode.
pub(super) type Identity = (u64, u64);

/// The directories and paths to watch.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) directories: BTreeMap<PathBuf, Identity>,
    pub(super) concerns: Concerns,
    /// The reason why events may be missed.
    pub(super) silent: Option<String>,
}

impl Wanted {
    pub(super) fn for_sources(sources: &Sources) -> Self {
        let mut wanted = Self::default();
        wanted.add(sources);
        if !sources.bases.is_empty() {
            wanted.add(&base::sources(&sources.bases, |_| true));
        }
        wanted
    }

    /// Adds the directories and paths of all roots.
    fn add(&mut self, sources: &Sources) {
        let wanted = self;
        for root in &sources.roots {
            wanted.way_to(&root.path, 0);
            match ReadMode::for_root(&root.path, sources.mode) {
                Ok(ReadMode::Git { repository, .. }) => {
                    // The checkout around the root may be replaced as a whole.
                    wanted.way_to(&repository.top, 0);
                    // Its index describes files, which are not read in this mode.
                    wanted.repository(&repository.git_dir, REFERENCES);
                    let common = repository.common_dir();
                    wanted.repository(&common, REFERENCES);
                    wanted.tree(&common.join("refs"), |_| true);
                    wanted.silent(&common);
                }
                Ok(ReadMode::Worktree { repository }) => {
                    wanted.way_to(&repository.top, 0);
                    wanted.repository(&repository.git_dir, []);
                    let signs = REFERENCES.into_iter().chain(worktree::signs());
                    let signs = signs.map(|name| repository.git_dir.join(name));
                    wanted.concerns.signs.extend(signs);
                    wanted.files(&root.path, sources);
                    wanted.links(&root.path, &repository.top);
                }
                Ok(ReadMode::Plain) | Err(_) => wanted.files(&root.path, sources),
            }
        }
    }

    /// Adds the directory of a repository, in which these names matter.
    fn repository(&mut self, git_dir: &Path, names: impl IntoIterator<Item = &'static str>) {
        self.directory(git_dir);
        let reftable = git_dir.join("reftable");
        if reftable.is_dir() {
            self.directory(&reftable);
            self.concerns.trees.insert(reftable);
        }
        for name in names {
            self.concerns.paths.insert(git_dir.join(name));
        }
    }

    /// Adds the directories of a root.
    fn files(&mut self, root: &Path, sources: &Sources) {
        let Ok(resolved) = fs::canonicalize(root) else { return };
        self.silent(&resolved);
        if resolved.is_file() {
            self.concerns.paths.insert(resolved.clone());
            if let Some(parent) = resolved.parent() {
                self.directory(parent);
            }
            return;
        }
        let below = |path: &Path| path.strip_prefix(&resolved).unwrap_or(path).to_owned();
        self.tree(&resolved, |path| sources.filter.enters(&below(path)));
    }

    /// Adds the targets of links that lead out of a root and stay in its repository.
    fn links(&mut self, root: &Path, top: &Path) {
        let Ok(resolved) = fs::canonicalize(root) else { return };
        let mut trees = vec![resolved];
        let mut i = 0;
        while let Some(tree) = trees.get(i).cloned() {
            i += 1;
            let entries = WalkDir::new(&tree).into_iter();
            let entries = entries.filter_entry(|entry| entry.file_name() != ".git").flatten();
            for link in entries.filter(|entry| entry.path_is_symlink()) {
                self.way_to(link.path(), 0);
                let target = fs::canonicalize(link.path()).ok();
                let target = target.filter(|target| target.is_dir() && target.starts_with(top));
                if let Some(target) = target.filter(|target| !trees.iter().any(|tree| target.starts_with(tree))) {
                    self.tree(&target, |_| true);
                    trees.push(target);
                }
            }
        }
    }

    fn tree(&mut self, root: &Path, is_entered: impl Fn(&Path) -> bool) {
        self.concerns.trees.insert(root.to_owned());
        // Hidden directories are entered too: links lead into them, as those of a ConfigMap do. Git's own is not.
        let entries = WalkDir::new(root).into_iter().filter_entry(|entry| {
            entry.depth() == 0
                || (entry.file_type().is_dir() && entry.file_name() != ".git" && is_entered(entry.path()))
        });
        for entry in entries.flatten() {
            self.directory(entry.path());
        }
    }

    /// Adds all links on the way to a path, and the path itself: each can be replaced, or may be created later. Only
    /// the directories above get events for that.
    fn way_to(&mut self, path: &Path, depth: usize) {
        let Ok(absolute) = std::path::absolute(path) else {
            return;
        };
        let mut above = PathBuf::new();
        for part in absolute.components() {
            let parent = above.clone();
            above.push(part);
            let Ok(metadata) = fs::symlink_metadata(&above) else {
                // The path may be created later.
                self.entry(&parent, &above);
                return;
            };
            if metadata.is_symlink() && depth < 40 {
                self.entry(&parent, &above);
                if let Ok(target) = fs::read_link(&above) {
                    self.way_to(&parent.join(target), depth + 1);
                }
            }
        }
        if let Some(parent) = absolute.parent() {
            self.entry(parent, &absolute);
        }
    }

    /// Adds an entry of a directory, under the path that events name.
    fn entry(&mut self, parent: &Path, path: &Path) {
        if let (Ok(parent), Some(name)) = (fs::canonicalize(parent), path.file_name()) {
            self.concerns.paths.insert(parent.join(name));
            self.directory(&parent);
        }
    }

    fn directory(&mut self, path: &Path) {
        if let Ok(metadata) = fs::metadata(path)
            && metadata.is_dir()
        {
            let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            self.directories.insert(path, (metadata.dev(), metadata.ino()));
        }
    }

    fn silent(&mut self, path: &Path) {
        let Ok(stat) = rustix::fs::statfs(path) else { return };
        // The width of the number differs between machines.
        #[allow(clippy::unnecessary_cast)]
        let kind = stat.f_type as i64 & 0xffff_ffff;
        if let Some((_, name)) = SILENT.iter().find(|(number, _)| *number == kind) {
            self.silent = Some(format!(
                "{} is on {name}, which does not report changes",
                path.display()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_do_beside_the_root_is_no_concern() {
        let parent = tempfile::tempdir().expect("a directory");
        let root = parent.path().join("policies");
        fs::create_dir(&root).expect("a directory");
        let wanted = Wanted::for_sources(&Sources::one(&root));
        let root = fs::canonicalize(&root).expect("there");
        assert!(wanted.concerns.contain(&root.join("a/b.yaml")));
        assert!(!wanted.concerns.contain(&root.with_file_name("other")));
        assert_eq!(wanted.directories.len(), 2);
    }
}
