//! The files of a commit.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{GitError, Result};
use super::repository::Repository;
use super::tree::{Entry, Kind, Links, TooMany, entries};
use crate::source::commit::Commit;
use crate::source::file::{Link, LinkKind, SourceFile, UnreadableReason, show};
use crate::source::filter::Filter;
use crate::source::known::{Content, Found, KnownFiles, Stamp};
use crate::source::text::{Unavailable, text};

/// The files of a commit.
#[derive(Debug)]
pub(in crate::source) struct Tree {
    pub(in crate::source) commit: Commit,
    /// The files, sorted by their paths below the root.
    pub(in crate::source) files: Vec<Found>,
    /// Whether the root is a directory without links.
    pub(in crate::source) is_simple: bool,
}

impl Tree {
    /// A commit without any of the files.
    pub(in crate::source) fn empty(commit: Commit) -> Self {
        Self {
            commit,
            files: Vec::new(),
            is_simple: false,
        }
    }
}

/// The part of a commit that is read.
#[derive(Debug, Clone, Copy)]
pub(in crate::source) struct Part<'p> {
    /// The path of the root below the top.
    pub(in crate::source) below: &'p Path,
    pub(in crate::source) filter: &'p Filter,
    /// The limit of a file, in bytes.
    pub(in crate::source) limit: u64,
}

impl Repository {
    /// The commit that `HEAD` names.
    pub(in crate::source) fn head(&self) -> Result<Commit> {
        let head = self.git_dir.join("HEAD");
        match fs::read(&head) {
            // Git's message would only say that this is no repository.
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(GitError::Closed { path: head, source });
            }
            _ => {}
        }
        // The branch first, then its commit: they belong together even when `HEAD` moves meanwhile.
        let branch = self.ask(["symbolic-ref", "--quiet", "HEAD"]).ok();
        let branch = branch.map(|name| String::from_utf8_lossy(&name).trim().to_owned());
        let reference = branch.as_deref().unwrap_or("HEAD");
        // Not peeled, so that a lost commit is told from a branch without one.
        let id = match self.ask(["rev-parse", "--verify", "--quiet", reference]) {
            Ok(id) => String::from_utf8_lossy(&id).trim().to_owned(),
            // No message means that there is no commit.
            Err(GitError::Failed { message, repository }) if message.is_empty() => {
                return Err(GitError::Unborn { repository });
            }
            Err(error) => return Err(error),
        };
        let branch = branch.map(|name| name.strip_prefix("refs/heads/").unwrap_or(&name).to_owned());
        Ok(Commit {
            subject: self.subject(&id)?,
            id,
            branch,
            is_modified: false,
        })
    }

    /// The first line of the message of a commit.
    pub(super) fn subject(&self, id: &str) -> Result<String> {
        let object = self.ask(["cat-file", "commit", id])?;
        let message = object
            .windows(2)
            .position(|pair| pair == b"\n\n")
            .map_or(&[][..], |at| &object[at + 2..]);
        let subject = message
            .split(|byte| *byte == b'\n')
            .find(|line| !line.trim_ascii().is_empty());
        Ok(String::from_utf8_lossy(subject.unwrap_or_default()).trim().to_owned())
    }

    /// The files of a commit, at a path below the top and below that. Objects that `known` has are not read.
    pub(in crate::source) fn read(&self, commit: Commit, part: Part, known: &KnownFiles) -> Result<Tree> {
        let Part { below, filter, limit } = part;
        let Root { entries, is_file } = self.root(&commit, below)?;
        let found = if is_file {
            Entries {
                entries,
                ..Entries::default()
            }
        } else {
            self.choose(&commit, &entries, below, filter)?
        };
        let is_simple = !is_file && !found.has_links;
        let top = self.top.join(below);
        let file = |below: PathBuf, content, stamp| Found {
            really: if is_file { top.clone() } else { top.join(&below) },
            below,
            content,
            stamp,
        };
        let contents = self.contents(&commit, &found.entries, limit, known)?;
        let readable = found.entries.into_iter().zip(contents);
        let mut files: Vec<Found> = readable
            .map(|((path, entry), content)| file(path, content, Some(Stamp::of_object(&entry.id))))
            .collect();
        if !found.links.is_empty() {
            let not_followed = |link| Err((UnreadableReason::Link(link), None));
            let links = found.links.into_iter();
            files.extend(links.map(|(path, link)| file(path, not_followed(link), None)));
            files.sort_by(|a, b| a.below.cmp(&b.below));
        }
        Ok(Tree {
            commit,
            files,
            is_simple,
        })
    }

    /// The directory or the file at a path of a commit, with all entries below it.
    fn root(&self, commit: &Commit, below: &Path) -> Result<Root> {
        if below.as_os_str().is_empty() {
            return Ok(Root {
                entries: self.all(commit)?,
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

    /// All entries of a commit.
    fn all(&self, commit: &Commit) -> Result<BTreeMap<PathBuf, Entry>> {
        Ok(entries(&self.ask([
            "ls-tree",
            "-r",
            "-z",
            "--full-tree",
            &commit.id,
        ])?))
    }

    /// The files that are read, including those behind links, and the links that are not followed. Links may lead
    /// anywhere in the commit.
    fn choose(
        &self,
        commit: &Commit,
        all: &BTreeMap<PathBuf, Entry>,
        below: &Path,
        filter: &Filter,
    ) -> Result<Entries> {
        let has_links = all.values().any(|entry| entry.kind == Kind::Link);
        let everything = if has_links { self.all(commit)? } else { BTreeMap::new() };
        let links = self.links(&everything)?;
        let mut links = Links::new(&everything, &links);
        let mut found = Entries {
            has_links,
            ..Entries::default()
        };
        for (path, entry) in all {
            match entry.kind {
                Kind::File if filter.wants(path) => {
                    found.entries.insert(path.clone(), entry.clone());
                }
                Kind::Submodule if filter.reaches(path) && filter.enters(path) => {
                    return Err(self.submodule(&below.join(path)));
                }
                Kind::Link if filter.reaches(path) && !filter.leaves_out(path) => {
                    let link = below.join(path);
                    let inside = link.ancestors().skip(1).map(Path::to_owned).collect();
                    let behind = links.behind(&link, path, &inside);
                    let behind = behind.map_err(|TooMany| GitError::Multiplied {
                        repository: self.top.clone(),
                        commit: commit.short(),
                    })?;
                    for (seen, target) in behind {
                        match target {
                            Ok(entry) if filter.wants(&seen) => {
                                found.entries.insert(seen, entry.clone());
                            }
                            Err((fault, target)) if filter.reaches(&seen) && !filter.leaves_out(&seen) => {
                                let kind = if filter.reads(&seen) {
                                    LinkKind::Policy
                                } else {
                                    LinkKind::Unknown
                                };
                                let target = show(&target);
                                found.links.insert(seen, Link { target, fault, kind });
                            }
                            Ok(_) | Err(_) => {}
                        }
                    }
                }
                Kind::File | Kind::Link | Kind::Submodule | Kind::Tree => {}
            }
        }
        Ok(found)
    }

    /// The targets of the links of a tree, as they are written.
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

    /// The contents of files, in their order.
    pub(super) fn contents(
        &self,
        commit: &Commit,
        entries: &BTreeMap<PathBuf, Entry>,
        limit: u64,
        known: &KnownFiles,
    ) -> Result<Vec<std::result::Result<Content, Unavailable>>> {
        let known = entries.iter().map(|(path, entry)| {
            let file = known.with_stamp(path, Stamp::of_object(&entry.id))?;
            (file.size() as u64 <= limit).then(|| Arc::clone(file))
        });
        let known: Vec<Option<Arc<SourceFile>>> = known.collect();
        let new = entries.values().zip(&known).filter(|(_, known)| known.is_none());
        let ids: Vec<&str> = new.map(|(entry, _)| entry.id.as_str()).collect();
        let mut texts = Vec::with_capacity(ids.len());
        let asked = self.objects(&ids, limit, |object| {
            texts.push(object.map(|(bytes, size)| text(bytes, size, limit)));
        });
        let partial = || GitError::Partial {
            repository: self.top.clone(),
            commit: commit.short(),
        };
        match asked {
            // The repository names a remote for missing objects, and fetching is not allowed.
            Err(GitError::Failed { message, .. }) if message.contains("promisor") => return Err(partial()),
            asked => asked?,
        }
        let mut texts = texts.into_iter();
        let contents = known.into_iter().map(|known| match known {
            Some(file) => Some(Ok(Content::Known(file))),
            None => Some(texts.next()??.map(Content::Read)),
        });
        contents.collect::<Option<_>>().ok_or_else(partial)
    }
}

/// The entries to read, and the links that are not followed, by their paths below the root.
#[derive(Default)]
struct Entries {
    entries: BTreeMap<PathBuf, Entry>,
    links: BTreeMap<PathBuf, Link>,
    /// Whether there is any link, followed or not.
    has_links: bool,
}

/// The directory or file at a path of a commit.
struct Root {
    entries: BTreeMap<PathBuf, Entry>,
    is_file: bool,
}
