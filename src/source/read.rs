//! Reads all sources into a [`Snapshot`], each root in its own way.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::git::{self, GitError, Repository, Tree};
use super::text::Text;
use super::worktree::{self, Rest, UnderWay};
use super::{Commit, Mode, Origin, Root, Snapshot, SourceFile, Sources, Unreadable, Way, dir};

/// How careful a look is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Files as they lie, as somebody looks at them who is just changing them; also in a Git hook.
    AsIs,
    /// For publishing: no Git operation may be under way in a work tree.
    Settled,
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not there.
    #[error("there is no {}: name the directory with the policies by `--policies DIR`", .0.display())]
    Missing(PathBuf),
    /// It cannot be entered.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It changed during every attempt.
    #[error("{} keeps changing while it is read", .0.display())]
    Changing(PathBuf),
    /// A Git operation is under way in its work tree.
    #[error("{what} is under way in {}; if no git runs there any more, end it, or remove {}", .path.display(), .sign.display())]
    Busy {
        /// The top of the work tree.
        path: PathBuf,
        /// What is under way.
        what: &'static str,
        /// The file or directory by which that is known.
        sign: PathBuf,
    },
    /// Files are wanted, and there are none.
    #[error("{} is in a bare Git repository, which has no files; set `source: auto` to read its commit", .0.display())]
    Bare(PathBuf),
    /// A commit is wanted, and there is no repository.
    #[error("{} is in no Git repository, and `source: git` reads commits; set `source: auto` for a plain directory", .0.display())]
    NoRepository(PathBuf),
    /// `.git` leads to nothing that Git knows.
    #[error("{} leads to {}, which is no Git repository; if it was moved, `git worktree repair` or a new clone helps", .path.join(".git").display(), .git_dir.display())]
    Broken {
        /// The top of the work tree.
        path: PathBuf,
        /// Where `.git` leads to.
        git_dir: PathBuf,
    },
    /// A commit cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl ReadError {
    /// Whether it passes by itself: somebody is just changing the source.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Changing(_))
    }

    pub(super) fn unreadable(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing(path),
            _ => Self::Unreadable { path, source },
        }
    }
}

type Result<T> = std::result::Result<T, ReadError>;

/// Reads the files of all sources: those of a directory or commit that may hold policies, or the file that a root is.
///
/// Hidden files and directories are passed over, links are followed only within the root, and what is no regular file is
/// left alone. A file that two roots lead to is read once. A root that is reached through links is resolved once.
///
/// # Errors
/// When a root is missing or unreadable, keeps changing, or is just changed by Git.
pub fn read(sources: &Sources, max_file_bytes: u64, care: Care) -> Result<Snapshot> {
    for _ in 0..FLIPS {
        let snapshot = read_once(sources, max_file_bytes, care)?;
        if is_of_one_moment(&snapshot) {
            return Ok(snapshot);
        }
    }
    let first = sources.roots.first().map(|root| root.path.clone());
    Err(ReadError::Changing(first.unwrap_or_default()))
}

/// Whether all roots in one repository were read at the same commit: it may have moved between two of them.
fn is_of_one_moment(snapshot: &Snapshot) -> bool {
    let mut heads: BTreeMap<&Path, &str> = BTreeMap::new();
    snapshot.origins.iter().all(|origin| {
        let (Way::Git { repository, .. } | Way::Worktree { repository }) = &origin.way else {
            return true;
        };
        let Some(commit) = &origin.commit else { return true };
        *heads.entry(&repository.git_dir).or_insert(&commit.id) == commit.id
    })
}

fn read_once(sources: &Sources, max_file_bytes: u64, care: Care) -> Result<Snapshot> {
    let is_alone = sources.roots.len() == 1;
    let mut snapshot = Snapshot::default();
    let mut seen = BTreeSet::new();
    // Those with variables first: a file that two sources reach is the one that can be read.
    let (with_vars, without): (Vec<&Root>, Vec<&Root>) = sources.roots.iter().partition(|root| root.vars.is_some());
    for root in with_vars.into_iter().chain(without) {
        let look = Look {
            root,
            sources,
            limit: max_file_bytes,
            care,
            is_alone,
        };
        let read = look.follow(&seen)?;
        seen.extend(read.reached);
        snapshot.files.extend(read.files);
        snapshot.unreadable.extend(read.unreadable);
        snapshot.origins.push(read.origin);
    }
    snapshot.sort();
    Ok(snapshot)
}

/// How the roots are read, and which commit that is, without reading their files: `git, main@3f2c1ab`.
#[must_use]
pub fn describe(sources: &Sources) -> String {
    let ways: BTreeSet<String> = (sources.roots.iter())
        .map(|root| match Way::of(&root.path, sources.mode) {
            Ok(way) => way.describe(),
            Err(_) => "not there yet".to_owned(),
        })
        .collect();
    ways.into_iter().collect::<Vec<_>>().join("; ")
}

impl Way {
    /// How a root is read.
    ///
    /// # Errors
    /// When only a commit would do, and there is no repository.
    pub(super) fn of(root: &Path, mode: Mode) -> Result<Self> {
        Self::at(root, &resolve(root)?, mode)
    }

    /// The same for a root whose real place is known.
    fn at(root: &Path, resolved: &Path, mode: Mode) -> Result<Self> {
        let found = git::find(resolved);
        Ok(match (mode, found) {
            (Mode::Git, Some((repository, below))) => Self::Git { repository, below },
            // Machines keep a dataplane of their own beside the repository.
            (Mode::Git, None) if resolved.is_file() => Self::Plain,
            (Mode::Git, None) if resolved.exists() => return Err(ReadError::NoRepository(root.to_owned())),
            (Mode::Auto, Some((repository, below))) if repository.is_bare => Self::Git { repository, below },
            (Mode::Worktree, Some((repository, _))) if repository.is_bare => {
                return Err(ReadError::Bare(root.to_owned()));
            }
            (_, Some((repository, _))) if !repository.is_bare => Self::Worktree { repository },
            (_, None) if !resolved.exists() => return Err(ReadError::Missing(root.to_owned())),
            _ => Self::Plain,
        })
    }

    fn describe(&self) -> String {
        let with_head = |word: &str, repository: &Repository| match repository.head() {
            Ok(commit) => format!("{word}, {}", commit.name()),
            Err(_) => word.to_owned(),
        };
        match self {
            Self::Git { repository, .. } => with_head("git", repository),
            Self::Worktree { repository } => with_head("worktree", repository),
            Self::Plain => "plain files".to_owned(),
        }
    }
}

/// Where a path really is, as far as it is there: the rest of it may be a path in a bare repository.
fn resolve(root: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(root).map_err(|error| ReadError::unreadable(root, error))?;
    for there in absolute.ancestors() {
        match std::fs::canonicalize(there) {
            Ok(resolved) => {
                let rest = absolute.strip_prefix(there).unwrap_or(Path::new(""));
                return Ok(if rest.as_os_str().is_empty() {
                    resolved
                } else {
                    resolved.join(rest)
                });
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(ReadError::unreadable(root, error)),
        }
    }
    Ok(absolute)
}

/// The name of a directory on the way to a root that is reached through links, where that is the hash of a commit.
fn link(root: &Path, resolved: &Path) -> Option<String> {
    let written = std::path::absolute(root).ok()?;
    let name = resolved.iter().rev().find(|name| {
        let is_hash = |name: &[u8]| name.len() >= 40 && name.iter().all(u8::is_ascii_hexdigit);
        is_hash(name.as_encoded_bytes()) && !written.iter().any(|other| other == *name)
    })?;
    Some(name.to_str()?[..7].to_owned())
}

/// What stands before the paths of the files of one of several roots.
fn prefix(root: &Path, way: &Way) -> String {
    let is_file = match way {
        Way::Git { repository, .. } if repository.is_bare => false,
        Way::Git { .. } | Way::Worktree { .. } | Way::Plain => root.is_file(),
    };
    let directory = if is_file {
        root.parent().unwrap_or(Path::new(""))
    } else {
        root
    };
    match dir::show(directory).trim_end_matches('/') {
        "" if directory.has_root() => "/".to_owned(),
        "" => String::new(),
        directory => format!("{directory}/"),
    }
}

/// How often a root is followed that leads elsewhere by the time it was read.
const FLIPS: usize = 5;

/// How a root is to be read.
struct Look<'r> {
    root: &'r Root,
    sources: &'r Sources,
    limit: u64,
    care: Care,
    is_alone: bool,
}

/// What one root holds.
struct Read {
    files: Vec<Arc<SourceFile>>,
    unreadable: Vec<Unreadable>,
    /// Where each of them really is.
    reached: Vec<PathBuf>,
    origin: Origin,
}

impl Look<'_> {
    /// Reads what the root leads to; where a link on the way was replaced and its target removed meanwhile, what it leads
    /// to now.
    fn follow(&self, seen: &BTreeSet<PathBuf>) -> Result<Read> {
        let mut flips = 0;
        loop {
            let resolved = resolve(&self.root.path)?;
            let read = self.read(&resolved, seen);
            flips += 1;
            if read.is_ok() || flips == FLIPS || resolve(&self.root.path)? == resolved {
                return read;
            }
        }
    }

    fn read(&self, resolved: &Path, seen: &BTreeSet<PathBuf>) -> Result<Read> {
        let way = Way::at(&self.root.path, resolved, self.sources.mode)?;
        let prefix = if self.is_alone {
            String::new()
        } else {
            prefix(&self.root.path, &way)
        };
        let mut reading = Reading {
            look: self,
            resolved,
            prefix,
            seen,
            files: Vec::new(),
            unreadable: Vec::new(),
            reached: Vec::new(),
        };
        let commit = match &way {
            Way::Git { repository, below } => Some(reading.commit(repository, below)?),
            Way::Worktree { repository } if self.care == Care::Settled => reading.at_rest(repository)?,
            Way::Worktree { .. } | Way::Plain => {
                reading.read_files()?;
                None
            }
        };
        let link = link(&self.root.path, resolved);
        Ok(Read {
            files: reading.files,
            unreadable: reading.unreadable,
            reached: reading.reached,
            origin: Origin { way, link, commit },
        })
    }
}

/// One root on its way into a snapshot.
struct Reading<'r> {
    look: &'r Look<'r>,
    /// Where the root really is.
    resolved: &'r Path,
    prefix: String,
    /// What was read already, by where it really is.
    seen: &'r BTreeSet<PathBuf>,
    files: Vec<Arc<SourceFile>>,
    unreadable: Vec<Unreadable>,
    /// Where what is read now really is.
    reached: Vec<PathBuf>,
}

/// Texts by their paths; `None` for those that are not to be had.
type Texts = BTreeMap<String, Option<String>>;

impl Reading<'_> {
    fn read_files(&mut self) -> Result<()> {
        let Look {
            root, sources, limit, ..
        } = self.look;
        for (path, really, text) in dir::read(&root.path, self.resolved, &sources.filter, *limit)? {
            self.add(&path, really, text);
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, really: PathBuf, text: Text) {
        if self.seen.contains(&really) {
            return;
        }
        let name = format!("{}{}", self.prefix, dir::show(path));
        match text {
            Ok(text) => {
                let vars = self.look.root.vars.clone();
                self.files.push(SourceFile::with_vars(name, text, vars));
            }
            Err((reason, beginning)) => self.unreadable.push(Unreadable {
                path: name,
                reason,
                beginning,
            }),
        }
        self.reached.push(really);
    }

    /// The files of the commit that `HEAD` names.
    fn commit(&mut self, repository: &Repository, below: &Path) -> Result<Commit> {
        let Tree { commit, files, is_file } = repository.read(below, &self.look.sources.filter, self.look.limit)?;
        let top = repository.top.join(below);
        for (path, text) in files {
            let really = if is_file { top.clone() } else { top.join(&path) };
            self.add(&path, really, text);
        }
        Ok(commit)
    }

    /// The files of a work tree in which nothing is under way.
    fn at_rest(&mut self, repository: &Repository) -> Result<Option<Commit>> {
        let before = rest(repository)?;
        self.read_files()?;
        // Only for people: that it is not known keeps nothing from being compiled.
        let commit = repository.head().ok();
        let commit = commit.map(|commit| Commit {
            is_modified: self.differs(repository),
            ..commit
        });
        if rest(repository)? == before {
            return Ok(commit);
        }
        Err(ReadError::Changing(repository.top.clone()))
    }

    /// Whether the files are others than those of the commit. How lines end is for Git to change.
    fn differs(&self, repository: &Repository) -> bool {
        let below = self.resolved.strip_prefix(&repository.top).unwrap_or(Path::new(""));
        let Ok(tree) = repository.read(below, &self.look.sources.filter, self.look.limit) else {
            return true;
        };
        let plain = |text: &str| text.replace("\r\n", "\n");
        let top = repository.top.join(below);
        let is_own = |path: &Path| {
            !self
                .seen
                .contains(&if tree.is_file { top.clone() } else { top.join(path) })
        };
        let committed: Texts = (tree.files.iter())
            .filter(|(path, _)| is_own(path))
            .map(|(path, text)| {
                (
                    format!("{}{}", self.prefix, dir::show(path)),
                    text.as_deref().ok().map(plain),
                )
            })
            .collect();
        let files = self
            .files
            .iter()
            .map(|file| (file.path.clone(), Some(plain(&file.text))));
        let unreadable = self.unreadable.iter().map(|file| (file.path.clone(), None));
        committed != files.chain(unreadable).collect::<Texts>()
    }
}

fn rest(repository: &Repository) -> Result<Rest> {
    let looked = worktree::rest(repository).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Broken {
            path: repository.top.clone(),
            git_dir: repository.git_dir.clone(),
        },
        _ => ReadError::unreadable(&repository.top, error),
    })?;
    looked.map_err(|UnderWay { what, sign }| ReadError::Busy {
        path: repository.top.clone(),
        what,
        sign,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::source::UnreadableReason;

    fn files(root: &Path) -> Result<Snapshot> {
        read(&Sources::one(root), 100, Care::AsIs)
    }

    fn paths(snapshot: &Snapshot) -> Vec<&str> {
        snapshot.files.iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn only_visible_regular_files_with_the_right_names_are_read() {
        let root = tempfile::tempdir().expect("a directory");
        for path in ["b.yaml", "a/c.YML", "a/d.json", "e.txt", ".f.yaml", ".git/g.yaml"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, "x").expect("a file");
        }
        fs::create_dir(root.path().join("h.yaml")).expect("a directory");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.path().join("i.yaml"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .expect("a pipe");
        let snapshot = files(root.path()).expect("readable");
        assert_eq!(paths(&snapshot), ["a/c.YML", "a/d.json", "b.yaml"]);
        assert!(snapshot.unreadable.is_empty(), "{:?}", snapshot.unreadable);
    }

    #[test]
    fn links_are_followed_within_the_root_only() {
        let (root, outside) = (
            tempfile::tempdir().expect("a directory"),
            tempfile::tempdir().expect("a directory"),
        );
        fs::write(outside.path().join("x.yaml"), "x").expect("a file");
        fs::write(root.path().join("a.yaml"), "x").expect("a file");
        symlink(outside.path().join("x.yaml"), root.path().join("b.yaml")).expect("a link");
        symlink(outside.path(), root.path().join("out")).expect("a link");
        symlink("a.yaml", root.path().join("c.yaml")).expect("a link");
        symlink(".", root.path().join("loop")).expect("a link");
        symlink("nowhere", root.path().join("d.yaml")).expect("a link");
        assert_eq!(paths(&files(root.path()).expect("readable")), ["a.yaml", "c.yaml"]);
        // The root itself may be a link.
        let link = outside.path().join("link");
        symlink(root.path(), &link).expect("a link");
        assert_eq!(paths(&files(&link).expect("readable")), ["a.yaml", "c.yaml"]);
    }

    #[test]
    fn what_cannot_be_read_is_said_and_not_hidden() {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("large.yaml"), "x".repeat(101)).expect("a file");
        fs::write(root.path().join("latin.yaml"), b"a: 1\nb: \xe9\n").expect("a file");
        let reasons: Vec<_> = files(root.path())
            .expect("readable")
            .unreadable
            .into_iter()
            .map(|u| u.reason)
            .collect();
        let expected = [
            UnreadableReason::TooLarge { size: 101, limit: 100 },
            UnreadableReason::NotUtf8 { offset: 8, line: 2 },
        ];
        assert_eq!(reasons, expected);
    }

    #[test]
    fn a_single_file_is_a_source_too() {
        let root = tempfile::tempdir().expect("a directory");
        let file = root.path().join("all.txt");
        fs::write(&file, "x").expect("a file");
        assert_eq!(paths(&files(&file).expect("readable")), ["all.txt"]);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = files(Path::new("/no/such/directory")).expect_err("missing").to_string();
        assert!(
            error.contains("/no/such/directory") && error.contains("--policies"),
            "{error}"
        );
    }

    #[test]
    fn roots_in_one_repository_are_of_one_commit() {
        let origin = |git_dir: &str, id: &str| Origin {
            way: Way::Git {
                repository: Repository {
                    git_dir: git_dir.into(),
                    top: "/top".into(),
                    is_bare: false,
                },
                below: PathBuf::new(),
            },
            link: None,
            commit: Some(Commit {
                id: id.to_owned(),
                branch: None,
                subject: String::new(),
                is_modified: false,
            }),
        };
        let check = |origins: Vec<Origin>, expected: bool| {
            let snapshot = Snapshot {
                origins,
                ..Snapshot::default()
            };
            assert_eq!(is_of_one_moment(&snapshot), expected);
        };
        check(vec![origin("/a", "1"), origin("/a", "1"), origin("/b", "2")], true);
        check(vec![origin("/a", "1"), origin("/b", "2"), origin("/a", "2")], false);
    }
}
