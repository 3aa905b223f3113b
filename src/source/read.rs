//! The reading of all sources into a [`Snapshot`], each root in its own mode.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::GlobMatcher;

use super::commit::Commit;
use super::committed::{Committed, Here};
use super::dir::{self, Directory, Place};
use super::error::ReadError;
use super::file::{Matches, SourceFile, Unreadable, UnreadableReason, show};
use super::filter::Filter;
use super::form::{self, Form, Sample};
use super::git::{GitError, Part, Repository, Revision, Tree};
use super::known::{Content, Found, KnownFiles};
use super::read_mode::{self, Consistency, ReadMode};
use super::seal::{self, RootSeal};
use super::snapshot::{ReadOrigin, Snapshot};
use super::source_files::SourceFiles;
use super::sources::{Root, Sources};
use super::worktree::QuiescenceCheck;

type Result<T> = std::result::Result<T, ReadError>;

/// The files of a root in the last snapshot.
#[derive(Debug, Default)]
pub(super) struct KnownRoot {
    pub(super) files: KnownFiles,
    /// The files of a work tree beside those of its commit.
    pub(super) committed: Committed,
    /// The number of files that the snapshot before did not have, or not with this text.
    pub(super) changed: usize,
    /// Whether the root is a directory without links and without repositories below: what changes in it is told by the
    /// names of files, or by two commits.
    pub(super) is_simple: bool,
    /// The seal of the root as it was read.
    pub(super) seal: RootSeal,
    /// A text that those of the root are like, once there was any.
    pub(super) sample: Option<Sample>,
}

/// The files of the roots in the last snapshot, by the paths of the roots.
pub(super) type KnownRoots = BTreeMap<PathBuf, KnownRoot>;

/// The files of all roots, and what is known of them then.
///
/// `last` has the files of the last snapshot, which are those that are known of the roots.
pub(super) fn read_all(
    sources: &Sources,
    limit: u64,
    consistency: Consistency,
    known: &KnownRoots,
    last: Option<&SourceFiles>,
) -> Result<(Snapshot, KnownRoots)> {
    read_in(sources, limit, (consistency, None), (known, last))
}

/// The files of all roots as of a revision, if there is one; those outside of repositories as they are.
pub(super) fn read_revision(
    sources: &Sources,
    limit: u64,
    how: (Consistency, Option<&Revision>),
    known: &KnownRoots,
) -> Result<(Snapshot, KnownRoots)> {
    read_in(sources, limit, how, (known, None))
}

fn read_in(
    sources: &Sources,
    limit: u64,
    (consistency, revision): (Consistency, Option<&Revision>),
    (known, last): (&KnownRoots, Option<&SourceFiles>),
) -> Result<(Snapshot, KnownRoots)> {
    let mut changing = PathBuf::new();
    for _ in 0..ATTEMPTS {
        let places = places(sources)?;
        let request = Request {
            sources,
            places: &places,
            limit,
            consistency,
            revision,
            // Each root has a part of them, unless there is one alone.
            last: last.filter(|_| sources.roots.len() == 1),
        };
        changing = match read_at(&request, known) {
            Ok((snapshot, known)) => match moved_between(&snapshot.origins) {
                Some(repository) => repository.to_owned(),
                None => return Ok((snapshot, known)),
            },
            // The target of a link may be gone now.
            Err(error) => match moved(sources, &places)? {
                Some(root) => root.to_owned(),
                None => return Err(error),
            },
        };
    }
    Err(ReadError::Changing(changing))
}

/// A request to read all roots at their real paths.
struct Request<'r> {
    sources: &'r Sources,
    /// The real path of each root.
    places: &'r [PathBuf],
    /// The limit of a file, in bytes.
    limit: u64,
    consistency: Consistency,
    /// The revision to read from repositories, instead of the files or `HEAD`.
    revision: Option<&'r Revision>,
    /// The files of the last snapshot, which are those of the only root.
    last: Option<&'r SourceFiles>,
}

/// The number of attempts when a root leads elsewhere, or is at another commit, after all roots were read.
pub(super) const ATTEMPTS: usize = 5;

/// The real paths of all roots at one moment.
fn places(sources: &Sources) -> Result<Vec<PathBuf>> {
    let mut changing = None;
    for _ in 0..ATTEMPTS {
        let places: Vec<PathBuf> = (sources.roots.iter())
            .map(|root| read_mode::resolve(&root.path))
            .collect::<Result<_>>()?;
        changing = moved(sources, &places)?;
        if changing.is_none() {
            return Ok(places);
        }
    }
    Err(ReadError::Changing(changing.unwrap_or(Path::new("")).to_owned()))
}

/// The first root whose real path has changed.
fn moved<'s>(sources: &'s Sources, places: &[PathBuf]) -> Result<Option<&'s Path>> {
    for (root, place) in sources.roots.iter().zip(places) {
        if read_mode::resolve(&root.path)? != *place {
            return Ok(Some(&root.path));
        }
    }
    Ok(None)
}

/// A repository that moved to another commit after one root in it was read and before the next.
pub(super) fn moved_between<'o>(origins: impl IntoIterator<Item = &'o ReadOrigin>) -> Option<&'o Path> {
    let mut heads: BTreeMap<&Path, &str> = BTreeMap::new();
    origins.into_iter().find_map(|origin| {
        let (ReadMode::Git { repository, .. } | ReadMode::Worktree { repository }) = &origin.mode else {
            return None;
        };
        let commit = origin.commit.as_ref()?;
        let first = *heads.entry(&repository.git_dir).or_insert(&commit.id);
        (first != commit.id).then_some(&*repository.top)
    })
}

fn read_at(request: &Request, known: &KnownRoots) -> Result<(Snapshot, KnownRoots)> {
    let Request { sources, places, .. } = *request;
    let is_alone = sources.roots.len() == 1;
    let mut snapshot = Snapshot::default();
    let mut now_known = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut check = QuiescenceCheck::default();
    let (mut paths, mut prefixes) = (Vec::new(), Vec::new());
    // Templates first: a file below two roots then has its variables.
    let (with_vars, without): (Vec<_>, Vec<_>) =
        (sources.roots.iter().zip(places)).partition(|(root, _)| root.vars.is_some());
    for (root, resolved) in with_vars.into_iter().chain(without) {
        let mode = match request.revision {
            Some(_) => ReadMode::for_revision(&root.path, resolved)?,
            None => ReadMode::for_resolved(&root.path, resolved, sources.mode)?,
        };
        let mut reading = Reading::new(request, root, resolved, &mode, &seen);
        let unknown = KnownRoot::default();
        let commit = reading.read(
            &mode,
            request.consistency,
            &mut check,
            known.get(&root.path).unwrap_or(&unknown),
        )?;
        if sources.filter.has_include() {
            paths.extend(reading.paths());
        }
        if !is_alone && reading.is_empty() {
            reading.note_no_files();
        }
        prefixes.push(reading.prefix.clone());
        let Reading {
            same,
            files,
            unreadable,
            reached,
            known,
            ..
        } = reading;
        let link = read_mode::link(&root.path, resolved);
        match same {
            Some(same) => snapshot.files = same.clone(),
            None => snapshot.files.extend(files),
        }
        seen.extend(reached);
        now_known.insert(root.path.clone(), known);
        snapshot.unreadable.extend(unreadable);
        snapshot.origins.push(ReadOrigin { mode, link, commit });
    }
    check.verify()?;
    snapshot
        .unreadable
        .extend(unmatched(&sources.filter, &paths, &prefixes));
    snapshot.sort();
    Ok((snapshot, now_known))
}

/// The globs that match none of the paths; `prefixes` are those of the sources.
fn unmatched(filter: &Filter, paths: &[PathBuf], prefixes: &[String]) -> Vec<Unreadable> {
    let globs = filter.unmatched(paths.iter().map(PathBuf::as_path)).into_iter();
    let entry = |glob: GlobMatcher| Unreadable {
        path: glob.glob().to_string(),
        reason: UnreadableReason::NoMatch(Box::new(Matches {
            glob,
            prefixes: prefixes.to_vec(),
        })),
        beginning: None,
    };
    globs.map(entry).collect()
}

/// The reading of one root.
struct Reading<'r> {
    root: &'r Root,
    /// The real path of the root.
    resolved: &'r Path,
    /// The directory that links may lead to.
    within: &'r Path,
    filter: &'r Filter,
    /// The limit of a file, in bytes.
    limit: u64,
    revision: Option<&'r Revision>,
    prefix: String,
    /// The real paths of the files of earlier roots.
    seen: &'r BTreeSet<PathBuf>,
    /// Whether there is no other root.
    is_alone: bool,
    /// Whether the files are kept for the next snapshot, in less room. Those that people look at once are not.
    is_kept: bool,
    /// The files of the last snapshot.
    last: Option<&'r SourceFiles>,
    /// The files of the last snapshot again, if all are as they were.
    same: Option<&'r SourceFiles>,
    /// The files, unless they are those.
    files: Vec<Arc<SourceFile>>,
    unreadable: Vec<Unreadable>,
    /// The real paths of the files of this root, if there are others.
    reached: Vec<PathBuf>,
    known: KnownRoot,
}

impl<'r> Reading<'r> {
    fn new(
        request: &'r Request,
        root: &'r Root,
        resolved: &'r Path,
        mode: &'r ReadMode,
        seen: &'r BTreeSet<PathBuf>,
    ) -> Self {
        let is_alone = request.sources.roots.len() == 1;
        Self {
            root,
            resolved,
            within: match mode {
                ReadMode::Worktree { repository } => &repository.top,
                ReadMode::Git { .. } | ReadMode::Plain => resolved,
            },
            filter: &request.sources.filter,
            limit: request.limit,
            revision: request.revision,
            prefix: if is_alone && !request.sources.has_whole_paths {
                String::new()
            } else {
                read_mode::prefix(&root.path, mode)
            },
            seen,
            is_alone,
            is_kept: request.consistency == Consistency::Stable,
            last: request.last,
            same: None,
            files: Vec::new(),
            unreadable: Vec::new(),
            reached: Vec::new(),
            known: KnownRoot::default(),
        }
    }

    /// Reads the root in its mode. Returns the commit that was read, if there is one.
    fn read(
        &mut self,
        mode: &ReadMode,
        consistency: Consistency,
        check: &mut QuiescenceCheck,
        known: &KnownRoot,
    ) -> Result<Option<Commit>> {
        self.known.sample.clone_from(&known.sample);
        let commit = match mode {
            ReadMode::Git { repository, below } => {
                let commit = match self.revision {
                    Some(revision) => repository.commit(revision)?,
                    None => repository.head()?,
                };
                let part = Part {
                    below,
                    filter: self.filter,
                    limit: self.limit,
                };
                let Tree {
                    commit,
                    files,
                    is_simple,
                } = match repository.read(commit.clone(), part, &known.files) {
                    // The policies came with a later commit.
                    Err(GitError::Missing { .. }) if self.revision.is_some() => Tree::empty(commit),
                    read => read?,
                };
                self.take(files);
                self.known.is_simple = is_simple;
                self.known.seal = seal::of_commit(self.resolved, &commit);
                return Ok(Some(commit));
            }
            ReadMode::Worktree { repository } if consistency == Consistency::Stable => {
                check.record(repository)?;
                let listed = self.take_stable(check, known)?;
                self.known.is_simple &= !repository.has_submodules();
                let head = repository.head().ok();
                self.known.seal = seal::of_files(self.resolved, listed, mode, head.as_ref());
                head.and_then(|head| self.compare(repository, head, known))
            }
            ReadMode::Plain if consistency == Consistency::Stable => {
                let listed = self.take_stable(check, known)?;
                self.known.seal = seal::of_files(self.resolved, listed, mode, None);
                None
            }
            ReadMode::Worktree { .. } | ReadMode::Plain => {
                let directory = self.list(known, false)?;
                self.take(directory.files.unwrap_or_default());
                None
            }
        };
        if let ReadMode::Worktree { repository } = mode {
            self.check_submodules(repository);
        }
        Ok(commit)
    }

    fn list(&self, known: &KnownRoot, may_be_same: bool) -> Result<Directory> {
        let place = Place {
            root: &self.root.path,
            resolved: self.resolved,
            within: self.within,
        };
        dir::read(&place, self.filter, self.limit, &known.files, may_be_same)
    }

    /// Takes the files at a moment when Git changes nothing in any repository around or below them, and returns the seal
    /// of their listing.
    fn take_stable(&mut self, check: &mut QuiescenceCheck, known: &KnownRoot) -> Result<RootSeal> {
        loop {
            let directory = self.list(known, self.last.is_some())?;
            // Repositories below the root are known only now; the next attempt checks them too.
            if !check.record_all(&directory.repositories)? {
                self.known.is_simple =
                    !directory.has_links && directory.repositories.is_empty() && self.resolved.is_dir();
                match directory.files {
                    Some(files) => self.take(files),
                    None => {
                        self.same = self.last;
                        self.known.files = known.files.clone();
                    }
                }
                return Ok(directory.seal);
            }
        }
    }

    fn take(&mut self, files: Vec<Found>) {
        let mut packed = Vec::new();
        if self.is_kept {
            let texts: Vec<Option<&str>> = files.iter().map(Found::read).collect();
            packed = form::packed(&texts, &mut self.known.sample);
        }
        let mut packed = packed.into_iter();
        for file in files {
            self.add(file, packed.next().flatten());
        }
    }

    /// Adds a file; `packed` is its text in less room, if that was read and is small.
    fn add(&mut self, found: Found, packed: Option<Form>) {
        if self.seen.contains(&found.really) {
            return;
        }
        let name = format!("{}{}", self.prefix, show(&found.below));
        match found.content {
            Ok(content) => {
                let file = self.file(name, content, packed);
                self.known.files.add(&found.below, found.stamp, Arc::clone(&file));
                self.files.push(file);
            }
            Err((reason, beginning)) => self.unreadable.push(Unreadable {
                path: name,
                reason,
                beginning,
            }),
        }
        if !self.is_alone {
            self.reached.push(found.really);
        }
    }

    /// A file with its variables, which the last snapshot may have too.
    fn file(&mut self, name: String, content: Content, packed: Option<Form>) -> Arc<SourceFile> {
        match content {
            Content::Known(file) if file.path == name && file.vars.as_deref() == self.root.vars.as_ref() => file,
            content => {
                self.known.changed += 1;
                let form = packed.unwrap_or_else(|| content.into_text().into());
                SourceFile::in_form(name, form, self.root.vars.clone())
            }
        }
    }

    /// The readable files.
    fn all(&self) -> &[Arc<SourceFile>] {
        match self.same {
            Some(same) => same,
            None => &self.files,
        }
    }

    /// The paths of all files below the root.
    fn paths(&self) -> Vec<PathBuf> {
        let read = self.all().iter().map(|file| file.path.as_str());
        let all = read.chain(self.unreadable.iter().map(|file| file.path.as_str()));
        all.map(|path| PathBuf::from(path.strip_prefix(&self.prefix).unwrap_or(path)))
            .collect()
    }

    /// Whether the root is a directory of which nothing was read, not even by an earlier root.
    fn is_empty(&self) -> bool {
        let is_read = |path: &PathBuf| path.starts_with(self.resolved);
        self.all().is_empty() && self.unreadable.is_empty() && !self.seen.iter().any(is_read)
    }

    fn note_no_files(&mut self) {
        self.unreadable.push(Unreadable {
            path: self.prefix.trim_end_matches('/').to_owned(),
            reason: UnreadableReason::NoFiles,
            beginning: None,
        });
    }

    /// Adds the submodules whose files are missing or belong to another commit. Without Git, none is known.
    fn check_submodules(&mut self, repository: &Repository) {
        let below = self.resolved.strip_prefix(&repository.top).unwrap_or(Path::new(""));
        for (path, why) in repository.unsound_submodules(below, self.filter).unwrap_or_default() {
            self.unreadable.push(Unreadable {
                path: format!("{}{}", self.prefix, show(&path)),
                reason: UnreadableReason::Submodule(why),
                beginning: None,
            });
        }
    }

    /// The commit of a work tree whose files were read, compared with them. The commit is for people only: a missing one
    /// keeps nothing from being compiled.
    fn compare(&mut self, repository: &Repository, commit: Commit, known: &KnownRoot) -> Option<Commit> {
        let part = Part {
            below: self.resolved.strip_prefix(&repository.top).unwrap_or(Path::new("")),
            filter: self.filter,
            limit: self.limit,
        };
        let here = Here {
            files: self.all(),
            unreadable: &self.unreadable,
            prefix: &self.prefix,
            others: self.seen,
        };
        let (committed, commit) = Committed::compare(repository, commit, part, here, &known.committed);
        self.known.committed = committed;
        commit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_that_moves_between_two_roots_is_seen() {
        let origin = |git_dir: &str, id: &str| ReadOrigin {
            mode: ReadMode::Git {
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
        let check = |origins: Vec<ReadOrigin>, expected: Option<&str>| {
            assert_eq!(moved_between(&origins), expected.map(Path::new));
        };
        check(vec![origin("/a", "1"), origin("/a", "1"), origin("/b", "2")], None);
        check(
            vec![origin("/a", "1"), origin("/b", "2"), origin("/a", "2")],
            Some("/top"),
        );
    }
}
