//! Reads a commit out of Git's objects, by Git's own program.
//!
//! What a commit holds never changes, so that a snapshot of it is whole by construction. Git knows all forms of
//! repositories; what it refuses is told in its words. It is asked for objects alone: it changes nothing, waits for
//! no lock, and reaches for no network.

mod program;
mod tree;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::filter::Filter;
use super::text::{Text, text};
use super::{Commit, LINKED};
use program::TIMEOUT;
use tree::{Entry, Kind, Links, TooMany, entries, is_entered, is_wanted};

/// Why a commit cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no `git`, or it cannot be run.
    #[error("cannot run `git`, which reads {}; install it, or set `source: worktree`", .repository.display())]
    Start {
        /// The repository.
        repository: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The repository does not let us in.
    #[error("cannot read {}", .path.display())]
    Closed {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Git ends with an error.
    #[error("Git cannot read {}: {message}", .repository.display())]
    Failed {
        /// The repository.
        repository: PathBuf,
        /// The message of Git, in its own words.
        message: String,
    },
    /// Git does not come to an end.
    #[error("Git does not finish reading {} within {TIMEOUT:?}", .repository.display())]
    Hangs {
        /// The repository.
        repository: PathBuf,
    },
    /// There is no commit yet.
    #[error("{} has no commit yet", .repository.display())]
    Unborn {
        /// The repository.
        repository: PathBuf,
    },
    /// The commit does not hold what is wanted.
    #[error("commit {commit} of {} has no {}", .repository.display(), .path.display())]
    Missing {
        /// The repository.
        repository: PathBuf,
        /// The commit.
        commit: String,
        /// The path in it.
        path: PathBuf,
    },
    /// Another repository begins there.
    #[error("{} is a submodule of {}: name its own directory as a source, or exclude it", .path.display(), .repository.display())]
    Submodule {
        /// The repository.
        repository: PathBuf,
        /// The path in it.
        path: PathBuf,
    },
    /// Links lead to directories with links.
    #[error("commit {commit} of {} shows more than {LINKED} files through links: links to directories multiply each other; remove them", .repository.display())]
    Multiplied {
        /// The repository.
        repository: PathBuf,
        /// The commit.
        commit: String,
    },
    /// Objects are not there, as in a partial clone.
    #[error("{} does not have all objects of commit {commit}, as a partial clone does not; fetch them, or clone it whole", .repository.display())]
    Partial {
        /// The repository.
        repository: PathBuf,
        /// The commit.
        commit: String,
    },
}

type Result<T> = std::result::Result<T, GitError>;

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repository {
    /// What Git calls its directory: `.git`, or that of a linked work tree or submodule.
    pub(super) git_dir: PathBuf,
    /// The directory that it is known by: of its files, or itself where it is bare.
    pub(super) top: PathBuf,
    /// Whether it has no files.
    pub(super) is_bare: bool,
}

/// The files of a commit, each by its path below the root.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) commit: Commit,
    pub(super) files: BTreeMap<PathBuf, Text>,
    /// Whether the root is a single file.
    pub(super) is_file: bool,
}

/// The repository that a path lies in, and the path below its top; the path need not be there.
pub(super) fn find(path: &Path) -> Option<(Repository, PathBuf)> {
    path.ancestors().find_map(|top| {
        let below = path.strip_prefix(top).ok()?.to_owned();
        let (git_dir, is_bare) = match git_dir(top) {
            Some(git_dir) => (git_dir, false),
            None if is_bare(top) => (top.to_owned(), true),
            None => return None,
        };
        let repository = Repository {
            git_dir,
            top: top.to_owned(),
            is_bare,
        };
        Some((repository, below))
    })
}

/// What `.git` in a directory is or leads to.
fn git_dir(top: &Path) -> Option<PathBuf> {
    let path = top.join(".git");
    if path.is_dir() {
        // As Git does: an empty directory of that name is none of its own. One that cannot be looked into may be.
        let head = fs::symlink_metadata(path.join("HEAD"));
        let is_empty = head.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        return (!is_empty).then(|| real(path));
    }
    let text = fs::read(&path).ok()?;
    let target = text.strip_prefix(b"gitdir: ")?.trim_ascii_end();
    Some(real(top.join(OsStr::from_bytes(target))))
}

/// The path that events name, without links and `..`; as it is where nothing is there.
fn real(path: PathBuf) -> PathBuf {
    fs::canonicalize(&path).unwrap_or(path)
}

fn is_bare(directory: &Path) -> bool {
    directory.join("HEAD").is_file() && directory.join("objects").is_dir() && directory.join("refs").exists()
}

impl Repository {
    /// Where what all linked work trees have in common lies: branches and objects.
    pub(super) fn common_dir(&self) -> PathBuf {
        match fs::read(self.git_dir.join("commondir")) {
            Ok(text) => real(self.git_dir.join(OsStr::from_bytes(text.trim_ascii_end()))),
            Err(_) => self.git_dir.clone(),
        }
    }

    /// The commit that `HEAD` names.
    pub(super) fn head(&self) -> Result<Commit> {
        let head = self.git_dir.join("HEAD");
        match fs::read(&head) {
            // Git only says that this is no repository.
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(GitError::Closed { path: head, source });
            }
            _ => {}
        }
        // The branch first, and then its commit: they belong together also when `HEAD` is moved meanwhile.
        let branch = self.ask(["symbolic-ref", "--quiet", "HEAD"]).ok();
        let branch = branch.map(|name| String::from_utf8_lossy(&name).trim().to_owned());
        let reference = branch.as_deref().unwrap_or("HEAD");
        // Not peeled: a commit that is lost is another trouble than a branch without one.
        let id = match self.ask(["rev-parse", "--verify", "--quiet", reference]) {
            Ok(id) => String::from_utf8_lossy(&id).trim().to_owned(),
            // Without a message: there is no commit.
            Err(GitError::Failed { message, repository }) if message.is_empty() => {
                return Err(GitError::Unborn { repository });
            }
            Err(error) => return Err(error),
        };
        let branch = branch.map(|name| name.strip_prefix("refs/heads/").unwrap_or(&name).to_owned());
        let object = self.ask(["cat-file", "commit", &id])?;
        let message = object
            .windows(2)
            .position(|pair| pair == b"\n\n")
            .map_or(&[][..], |at| &object[at + 2..]);
        let subject = message
            .split(|byte| *byte == b'\n')
            .find(|line| !line.trim_ascii().is_empty());
        Ok(Commit {
            id,
            branch,
            subject: String::from_utf8_lossy(subject.unwrap_or_default()).trim().to_owned(),
            is_modified: false,
        })
    }

    /// The files of the commit that `HEAD` names, at a path below the top and below that.
    pub(super) fn read(&self, below: &Path, filter: &Filter, limit: u64) -> Result<Tree> {
        let commit = self.head()?;
        let Root { entries, is_file } = self.root(&commit, below)?;
        let entries = if is_file {
            entries
        } else {
            self.choose(&commit, &entries, below, filter)?
        };
        let files = self.texts(&commit, &entries, limit)?;
        Ok(Tree { commit, files, is_file })
    }

    /// Everything below a path of a commit, or the file that it is.
    fn root(&self, commit: &Commit, below: &Path) -> Result<Root> {
        if below.as_os_str().is_empty() {
            let entries = entries(&self.ask(["ls-tree", "-r", "-z", "--full-tree", &commit.id])?);
            return Ok(Root {
                entries,
                is_file: false,
            });
        }
        let listed = self.ask([
            OsStr::new("ls-tree"),
            OsStr::new("-z"),
            OsStr::new("--full-tree"),
            OsStr::new(&commit.id),
            OsStr::new("--"),
            below.as_os_str(),
        ])?;
        match entries(&listed).into_iter().next() {
            Some((_, Entry { kind: Kind::Tree, id })) => Ok(Root {
                entries: entries(&self.ask(["ls-tree", "-r", "-z", "--full-tree", &id])?),
                is_file: false,
            }),
            Some((path, entry @ Entry { kind: Kind::File, .. })) => {
                let name = PathBuf::from(path.file_name().unwrap_or_default());
                Ok(Root {
                    entries: BTreeMap::from([(name, entry)]),
                    is_file: true,
                })
            }
            Some((
                _,
                Entry {
                    kind: Kind::Submodule, ..
                },
            )) => Err(self.submodule(below)),
            Some((_, Entry { kind: Kind::Link, .. })) | None => Err(GitError::Missing {
                repository: self.top.clone(),
                commit: commit.short(),
                path: below.to_owned(),
            }),
        }
    }

    fn submodule(&self, path: &Path) -> GitError {
        GitError::Submodule {
            repository: self.top.clone(),
            path: path.to_owned(),
        }
    }

    /// The files that are read, those behind links among them.
    fn choose(
        &self,
        commit: &Commit,
        all: &BTreeMap<PathBuf, Entry>,
        below: &Path,
        filter: &Filter,
    ) -> Result<BTreeMap<PathBuf, Entry>> {
        let links = self.links(all)?;
        let mut links = Links::new(all, &links);
        let mut chosen = BTreeMap::new();
        for (path, entry) in all {
            match entry.kind {
                Kind::File if is_wanted(path, filter) => {
                    chosen.insert(path.clone(), entry.clone());
                }
                Kind::Submodule if is_entered(path, filter) && filter.enters(path) => {
                    return Err(self.submodule(&below.join(path)));
                }
                Kind::Link => {
                    let inside = path.ancestors().skip(1).map(Path::to_owned).collect();
                    let behind = links.behind(path, path, &inside);
                    let behind = behind.map_err(|TooMany| GitError::Multiplied {
                        repository: self.top.clone(),
                        commit: commit.short(),
                    })?;
                    for (seen, target) in behind {
                        if is_wanted(&seen, filter) {
                            chosen.insert(seen, target.clone());
                        }
                    }
                }
                Kind::File | Kind::Submodule | Kind::Tree => {}
            }
        }
        Ok(chosen)
    }

    /// Where the links of a tree lead, as they are written.
    fn links(&self, all: &BTreeMap<PathBuf, Entry>) -> Result<BTreeMap<PathBuf, PathBuf>> {
        let links: Vec<(&PathBuf, &Entry)> = all.iter().filter(|(_, entry)| entry.kind == Kind::Link).collect();
        let ids: Vec<&str> = links.iter().map(|(_, entry)| entry.id.as_str()).collect();
        let mut found = BTreeMap::new();
        let mut at = 0;
        self.objects(&ids, 4096, |object| {
            if let Some((bytes, _)) = object {
                found.insert(links[at].0.clone(), PathBuf::from(OsString::from_vec(bytes)));
            }
            at += 1;
        })?;
        Ok(found)
    }

    fn texts(
        &self,
        commit: &Commit,
        entries: &BTreeMap<PathBuf, Entry>,
        limit: u64,
    ) -> Result<BTreeMap<PathBuf, Text>> {
        let ids: Vec<&str> = entries.values().map(|entry| entry.id.as_str()).collect();
        let mut texts = Vec::with_capacity(ids.len());
        let asked = self.objects(&ids, limit, |object| {
            texts.push(object.map(|(bytes, size)| text(bytes, size, limit)));
        });
        let partial = || GitError::Partial {
            repository: self.top.clone(),
            commit: commit.short(),
        };
        match asked {
            // The repository names where missing objects could be fetched from, which is not allowed.
            Err(GitError::Failed { message, .. }) if message.contains("promisor") => return Err(partial()),
            asked => asked?,
        }
        let texts: Option<Vec<Text>> = texts.into_iter().collect();
        let texts = texts.ok_or_else(partial)?;
        Ok(entries.keys().cloned().zip(texts).collect())
    }
}

/// What lies at a path of a commit.
struct Root {
    entries: BTreeMap<PathBuf, Entry>,
    is_file: bool,
}
