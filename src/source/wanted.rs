//! The directories that are watched, and the paths whose events matter.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use walkdir::WalkDir;

use super::base;
use super::known::Fingerprint;
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
    /// The directories of the last time.
    known: ListedDirectories,
    listed: ListedDirectories,
}

/// The names of the directories in some directories, with the metadata of those: as long as they stay, the names do.
pub(super) type ListedDirectories = BTreeMap<PathBuf, (Fingerprint, Vec<OsString>)>;

impl Wanted {
    /// The directories and paths of some sources. Directories that are as in `listed` are not listed again, and then that has those of
    /// this time.
    pub(super) fn for_sources(sources: &Sources, listed: &mut ListedDirectories) -> Self {
        let mut wanted = Self {
            known: std::mem::take(listed),
            ..Self::default()
        };
        wanted.add(sources);
        if !sources.bases.is_empty() {
            wanted.add(&base::sources(&sources.bases, |_| true));
        }
        *listed = std::mem::take(&mut wanted.listed);
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
        let mut open = vec![root.to_owned()];
        while let Some(path) = open.pop() {
            let Some(names) = self.directories_in(&path, SystemTime::now()) else {
                continue;
            };
            // Hidden directories are entered too: links lead into them, as those of a ConfigMap do. Git's own is not.
            let names = names.into_iter().filter(|name| *name != ".git");
            open.extend(names.map(|name| path.join(name)).filter(|path| is_entered(path)));
            self.directory(&path);
        }
    }

    /// The names of the directories in a directory; `None` if it is not there.
    fn directories_in(&mut self, path: &Path, now: SystemTime) -> Option<Vec<OsString>> {
        let found = Fingerprint::from_metadata(&fs::metadata(path).ok()?);
        if let Some((known, names)) = self.known.remove(path).filter(|(known, _)| *known == found) {
            self.listed.insert(path.to_owned(), (known, names.clone()));
            return Some(names);
        }
        let entries = fs::read_dir(path).ok()?.flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let names: Vec<OsString> = directories.map(|entry| entry.file_name()).collect();
        if found.is_settled(now) {
            self.listed.insert(path.to_owned(), (found, names.clone()));
        }
        Some(names)
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
    use std::ffi::OsStr;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_directory_is_listed_again_when_it_has_changed() {
        let root = tempfile::tempdir().expect("a directory");
        let mut known = ListedDirectories::new();
        let mut look = |expected: &[&str], is_listed: bool| {
            let mut wanted = Wanted {
                known: std::mem::take(&mut known),
                ..Wanted::default()
            };
            // What was known stays without a look at the directory.
            if let Some((_, names)) = wanted.known.get_mut(root.path()) {
                names.push("known".into());
            }
            let later = SystemTime::now() + Duration::from_secs(3_600);
            let names = wanted.directories_in(root.path(), later).expect("there");
            let known_again = if is_listed { None } else { Some("known") };
            assert!(
                names
                    .iter()
                    .map(OsString::as_os_str)
                    .eq(expected.iter().copied().chain(known_again).map(OsStr::new))
            );
            known = wanted.listed;
        };
        look(&[], true);
        look(&[], false);
        fs::create_dir(root.path().join("a")).expect("a directory");
        // The clock of a file system may not have gone on since.
        let opened = fs::File::open(root.path()).expect("a directory");
        opened.set_modified(SystemTime::UNIX_EPOCH).expect("our own directory");
        look(&["a"], true);
        look(&["a"], false);
        let mut wanted = Wanted::default();
        wanted.directories_in(root.path(), SystemTime::now()).expect("there");
        assert!(wanted.listed.is_empty(), "it may change again without other times");
    }

    #[test]
    fn what_others_do_beside_the_root_is_no_concern() {
        let parent = tempfile::tempdir().expect("a directory");
        let root = parent.path().join("policies");
        fs::create_dir(&root).expect("a directory");
        let wanted = Wanted::for_sources(&Sources::one(&root), &mut ListedDirectories::new());
        let root = fs::canonicalize(&root).expect("there");
        assert!(wanted.concerns.contain(&root.join("a/b.yaml")));
        assert!(!wanted.concerns.contain(&root.with_file_name("other")));
        assert_eq!(wanted.directories.len(), 2);
    }
}
