//! Reads a commit out of Git's objects, by Git's own program.
//!
//! What a commit holds never changes, so that a snapshot of it is whole by construction. Git knows all forms of
//! repositories; what it refuses is told in its words. It is asked for objects alone: it changes nothing, waits for
//! no lock, and reaches for no network.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::Commit;
use super::filter::Filter;
use super::text::{Text, text};

/// A Git that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Links that lead to links: more than this is a circle.
const LINKS: usize = 40;

/// Why a commit cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no `git`, or it does not start.
    #[error("cannot start `git`, which reads {}; install it, or set `source: worktree`", .repository.display())]
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
    /// Git says no.
    #[error("Git cannot read {}: {said}", .repository.display())]
    Refused {
        /// The repository.
        repository: PathBuf,
        /// Its own words.
        said: String,
    },
    /// Git does not come to an end.
    #[error("Git does not finish reading {} within {PATIENCE:?}", .repository.display())]
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
        return (!is_empty).then_some(path);
    }
    let text = fs::read(&path).ok()?;
    let target = text.strip_prefix(b"gitdir: ")?.trim_ascii_end();
    Some(top.join(OsStr::from_bytes(target)))
}

fn is_bare(directory: &Path) -> bool {
    directory.join("HEAD").is_file() && directory.join("objects").is_dir() && directory.join("refs").exists()
}

impl Repository {
    /// Where what all linked work trees have in common lies: branches and objects.
    pub(super) fn common_dir(&self) -> PathBuf {
        match fs::read(self.git_dir.join("commondir")) {
            Ok(text) => self.git_dir.join(OsStr::from_bytes(text.trim_ascii_end())),
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
        // Not peeled: a commit that is lost is another trouble than a branch without one.
        let id = match self.ask(["rev-parse", "--verify", "--quiet", "HEAD"]) {
            Ok(id) => String::from_utf8_lossy(&id).trim().to_owned(),
            // Without a word: there is none.
            Err(GitError::Refused { said, repository }) if said.is_empty() => {
                return Err(GitError::Unborn { repository });
            }
            Err(error) => return Err(error),
        };
        let branch = self.ask(["symbolic-ref", "--quiet", "--short", "HEAD"]).ok();
        let branch = branch.map(|name| String::from_utf8_lossy(&name).trim().to_owned());
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
            branch: branch.filter(|name| !name.is_empty()),
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
            self.choose(entries, below, filter)?
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
                commit: commit.id.chars().take(7).collect(),
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
    fn choose(&self, all: BTreeMap<PathBuf, Entry>, below: &Path, filter: &Filter) -> Result<BTreeMap<PathBuf, Entry>> {
        let links = self.links(&all)?;
        let links = Links {
            all: &all,
            links: &links,
        };
        let mut chosen = BTreeMap::new();
        for (path, entry) in &all {
            match entry.kind {
                Kind::File if is_wanted(path, filter) => {
                    chosen.insert(path.clone(), entry.clone());
                }
                Kind::Submodule if is_entered(path, filter) && filter.enters(path) => {
                    return Err(self.submodule(&below.join(path)));
                }
                Kind::Link => {
                    let inside = path.ancestors().skip(1).map(Path::to_owned).collect();
                    for (seen, target) in links.behind(path, path, &inside) {
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
            commit: commit.id.chars().take(7).collect(),
        };
        match asked {
            // Whom it would have to be fetched from, which it may not.
            Err(GitError::Refused { said, .. }) if said.contains("promisor") => return Err(partial()),
            asked => asked?,
        }
        let texts: Option<Vec<Text>> = texts.into_iter().collect();
        let texts = texts.ok_or_else(partial)?;
        Ok(entries.keys().cloned().zip(texts).collect())
    }

    /// Objects in the order of their ids: their first bytes and their size; `None` for one that is not there.
    fn objects(&self, ids: &[&str], limit: u64, mut take: impl FnMut(Option<(Vec<u8>, u64)>)) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let wanted = ids.join("\n") + "\n";
        self.run(["cat-file", "--batch"], wanted.as_bytes(), |stdout| {
            let mut stdout = BufReader::new(stdout);
            for _ in ids {
                take(object(&mut stdout, limit)?);
            }
            Ok(())
        })
    }

    /// What Git answers.
    fn ask<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Vec<u8>> {
        self.run(arguments, &[], |stdout| {
            let mut answer = Vec::new();
            stdout.read_to_end(&mut answer)?;
            Ok(answer)
        })
    }

    fn run<A: AsRef<OsStr>, T>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        input: &[u8],
        take: impl FnOnce(&mut dyn Read) -> io::Result<T>,
    ) -> Result<T> {
        let mut child = self.command(arguments).spawn().map_err(|source| GitError::Start {
            repository: self.top.clone(),
            source,
        })?;
        let ended = converse(&mut child, input, PATIENCE, take);
        let refused = |said: String| GitError::Refused {
            repository: self.top.clone(),
            said,
        };
        match ended {
            Ok((Ok(result), status, _)) if status.success() => Ok(result),
            Ok((result, _, said)) => Err(refused(match (result, said.trim()) {
                (Err(error), "") => error.to_string(),
                (_, said) => said.replace('\n', " ").trim_start_matches("fatal: ").to_owned(),
            })),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(GitError::Hangs {
                repository: self.top.clone(),
            }),
            Err(error) => Err(refused(error.to_string())),
        }
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("git");
        // A Git hook that runs us says by variables which repository it is about; this one is another.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"GIT_")) {
            command.env_remove(name);
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0")
            // What is not here is not fetched.
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_LITERAL_PATHSPECS", "1")
            // The settings name this repository, whoever owns it. What is asked of Git runs neither hooks nor filters nor
            // any other program that a repository could name.
            .args([
                "-c",
                "safe.directory=*",
                "-c",
                "core.fsmonitor=false",
                "--no-replace-objects",
            ])
            .arg("--git-dir")
            .arg(&self.git_dir)
            // Git takes the directory that it is started in for a place in the work tree.
            .current_dir("/")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }
}

/// What lies at a path of a commit.
struct Root {
    entries: BTreeMap<PathBuf, Entry>,
    is_file: bool,
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    kind: Kind,
    id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Link,
    Tree,
    Submodule,
}

/// The entries that `ls-tree -z` lists: `100644 blob 83baae…\tpath`, each with a NUL behind it.
fn entries(listed: &[u8]) -> BTreeMap<PathBuf, Entry> {
    let entry = |line: &[u8]| {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let head = std::str::from_utf8(&line[..tab]).ok()?;
        let mut words = head.split(' ');
        let (mode, kind, id) = (words.next()?, words.next()?, words.next()?);
        let kind = match (mode, kind) {
            ("120000", _) => Kind::Link,
            (_, "blob") => Kind::File,
            (_, "tree") => Kind::Tree,
            _ => Kind::Submodule,
        };
        let path = PathBuf::from(OsStr::from_bytes(&line[tab + 1..]));
        Some((
            path,
            Entry {
                kind,
                id: id.to_owned(),
            },
        ))
    };
    listed.split(|byte| *byte == 0).filter_map(entry).collect()
}

/// The next object that `cat-file --batch` tells: a line with id, type and size, the bytes, and a line end.
fn object(stdout: &mut impl BufRead, limit: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
    let mut head = String::new();
    if stdout.read_line(&mut head)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let Some(size) = head
        .trim_end()
        .rsplit(' ')
        .next()
        .and_then(|size| size.parse::<u64>().ok())
    else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    stdout.take(size.min(limit + 1)).read_to_end(&mut bytes)?;
    let rest = size - bytes.len() as u64 + 1;
    let skipped = io::copy(&mut stdout.take(rest), &mut io::sink())?;
    if skipped != rest {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((bytes, size)))
}

type Ended<T> = (io::Result<T>, std::process::ExitStatus, String);

/// Gives a child its input while its output is taken, and ends it when it takes too long.
fn converse<T>(
    child: &mut Child,
    input: &[u8],
    patience: Duration,
    take: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> io::Result<Ended<T>> {
    let pid = rustix::process::Pid::from_child(child);
    let piped = |what: &str| io::Error::other(format!("no {what} was piped"));
    let mut stdin = child.stdin.take().ok_or_else(|| piped("input"))?;
    let mut stdout = child.stdout.take().ok_or_else(|| piped("output"))?;
    let mut stderr = child.stderr.take().ok_or_else(|| piped("error output"))?;
    let (done, waiting) = mpsc::channel::<()>();
    let (result, said, is_late) = thread::scope(|scope| {
        // A child that has said enough does not read to the end.
        scope.spawn(move || drop(stdin.write_all(input)));
        let said = scope.spawn(move || {
            let mut said = Vec::new();
            // Its last words are for a message.
            let _ = (&mut stderr).take(4096).read_to_end(&mut said);
            let _ = io::copy(&mut stderr, &mut io::sink());
            String::from_utf8_lossy(&said).into_owned()
        });
        let killer = scope.spawn(move || {
            let is_late = waiting.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout);
            if is_late {
                // It was not reaped yet, so that the number still is its own. With all that it started: those hold its
                // pipes open.
                let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            }
            is_late
        });
        let result = take(&mut stdout);
        let _ = io::copy(&mut stdout, &mut io::sink());
        let said = said.join().unwrap_or_default();
        // One that closes its outputs and stays is late too.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = waitid(WaitId::Pid(pid), ended);
        drop(done);
        let is_late = killer.join().unwrap_or(false);
        (result, said, is_late)
    });
    let status = child.wait()?;
    if is_late {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok((result, status, said))
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".")
}

/// Whether all directories above a path are entered, and nothing on the way is hidden.
fn is_entered(path: &Path, filter: &Filter) -> bool {
    let above = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    path.iter().all(|name| !is_hidden(name)) && above.into_iter().all(|above| filter.enters(above))
}

fn is_wanted(path: &Path, filter: &Filter) -> bool {
    is_entered(path, filter) && filter.reads(path)
}

/// What a commit holds, and where its links lead.
struct Links<'a> {
    all: &'a BTreeMap<PathBuf, Entry>,
    links: &'a BTreeMap<PathBuf, PathBuf>,
}

impl<'a> Links<'a> {
    /// The files that a link shows, each by the path at which it is seen: the file that it leads to, or all of a directory
    /// with what the links in it show. `inside` are the directories that one is in by then, wherever those really are.
    fn behind(&self, link: &Path, seen: &Path, inside: &BTreeSet<PathBuf>) -> Vec<(PathBuf, &'a Entry)> {
        let Some(target) = resolve(link, self.links) else {
            return Vec::new();
        };
        if let Some(entry) = self.all.get(&target).filter(|entry| entry.kind == Kind::File) {
            return vec![(seen.to_owned(), entry)];
        }
        // A directory that holds its own link has no end.
        if inside.contains(&target) {
            return Vec::new();
        }
        let mut shown = Vec::new();
        for (path, entry) in self.all {
            let Ok(below) = path.strip_prefix(&target) else {
                continue;
            };
            match entry.kind {
                Kind::File => shown.push((seen.join(below), entry)),
                Kind::Link => {
                    let on_the_way = path.ancestors().skip(1).take_while(|above| above.starts_with(&target));
                    let inside = inside.iter().cloned().chain(on_the_way.map(Path::to_owned)).collect();
                    shown.extend(self.behind(path, &seen.join(below), &inside));
                }
                Kind::Tree | Kind::Submodule => {}
            }
        }
        shown
    }
}

/// Where a path leads when all links on the way are followed; `None` outside the tree, or in a circle.
fn resolve(path: &Path, links: &BTreeMap<PathBuf, PathBuf>) -> Option<PathBuf> {
    let mut rest: Vec<OsString> = path.iter().rev().map(OsStr::to_owned).collect();
    let mut resolved = PathBuf::new();
    let mut followed = 0;
    while let Some(part) = rest.pop() {
        match Path::new(&part).components().next()? {
            Component::CurDir => {}
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            Component::Normal(name) => {
                resolved.push(name);
                if let Some(target) = links.get(&resolved) {
                    followed += 1;
                    if followed > LINKS || target.is_absolute() {
                        return None;
                    }
                    resolved.pop();
                    rest.extend(target.iter().rev().map(OsStr::to_owned));
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_tree() {
        let links: BTreeMap<PathBuf, PathBuf> = [
            ("a", "b"),
            ("b", "dir/../dir/file"),
            ("dir/up", "../../outside"),
            ("circle", "circle"),
            ("absolute", "/etc/passwd"),
            ("current", "./dir"),
        ]
        .into_iter()
        .map(|(from, to)| (from.into(), to.into()))
        .collect();
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(resolve(Path::new(path), &links), expected.map(PathBuf::from), "{path}");
        };
        check("a", Some("dir/file"));
        check("current/file", Some("dir/file"));
        check("plain", Some("plain"));
        for path in ["dir/up", "circle", "absolute"] {
            check(path, None);
        }
    }

    #[test]
    fn the_listing_of_git_is_understood() {
        let listed =
            b"100644 blob aa\tb.yaml\x00120000 blob bb\tlink\x00160000 commit cc\tsub\x00040000 tree dd\td\xff\0";
        let kinds: Vec<(PathBuf, Kind)> = entries(listed)
            .into_iter()
            .map(|(path, entry)| (path, entry.kind))
            .collect();
        let expected = [
            ("b.yaml".into(), Kind::File),
            (PathBuf::from(OsStr::from_bytes(b"d\xff")), Kind::Tree),
            ("link".into(), Kind::Link),
            ("sub".into(), Kind::Submodule),
        ];
        assert_eq!(kinds, expected);
    }

    /// A shell that is given little time.
    fn shell(script: &str) -> io::Result<Ended<Vec<u8>>> {
        let mut command = Command::new("sh");
        let command = command.args(["-c", script]).process_group(0);
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn().expect("a shell");
        converse(
            &mut child,
            b"input that nobody reads",
            Duration::from_millis(200),
            |stdout| {
                let mut bytes = Vec::new();
                stdout.read_to_end(&mut bytes)?;
                Ok(bytes)
            },
        )
    }

    #[test]
    fn what_hangs_is_ended_with_all_that_it_started() {
        for script in ["sleep 1000", "sleep 1000 & sleep 1000", "exec >&- 2>&-; sleep 1000"] {
            let ended = shell(&format!("trap '' TERM INT; {script}; true"));
            assert_eq!(ended.expect_err(script).kind(), io::ErrorKind::TimedOut, "{script}");
        }
        let (said, status, _) = shell("echo x").expect("it ends");
        assert_eq!((said.expect("readable"), status.success()), (b"x\n".to_vec(), true));
    }

    #[test]
    fn objects_are_read_to_their_ends() {
        let mut answer = &b"aa blob 3\nabc\nbb missing\ncc blob 6\nabcdef\n"[..];
        assert_eq!(object(&mut answer, 4).expect("whole"), Some((b"abc".to_vec(), 3)));
        assert_eq!(object(&mut answer, 4).expect("whole"), None);
        assert_eq!(object(&mut answer, 4).expect("whole"), Some((b"abcde".to_vec(), 6)));
        assert!(object(&mut answer, 4).is_err());
        assert!(object(&mut &b"aa blob 3\nab"[..], 4).is_err());
    }
}
