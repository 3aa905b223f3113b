//! What people wrote: the files of one moment, and places inside them.
//!
//! Start with [`Snapshot`]. This module knows text and positions and nothing of what the text means.
//! [`read()`] fills a snapshot from directories and commits, and [`watch`] tells when it is time for the next one.

mod dir;
mod error;
pub mod filter;
mod git;
mod read;
mod read_mode;
mod text;
pub mod watch;
mod worktree;

pub use error::ReadError;
pub use git::GitError;
pub use read::{Consistency, describe, read};

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use read_mode::ReadMode;

/// Files and directories that one root shows through links, each as often as it is seen: more are no policies, but links
/// that multiply each other.
const LINKED: usize = 100_000;

/// Everything that is read, as one set of resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Directories and files.
    pub roots: Vec<Root>,
    /// Which files of the directories.
    pub filter: filter::Filter,
    /// How directories are read.
    pub mode: Mode,
}

/// How directories are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// A bare repository by its objects, anything else by its files.
    #[default]
    Auto,
    /// The files; those of a Git work tree when no Git operation is under way.
    Worktree,
    /// The objects of the commit that `HEAD` names, never the files.
    Git,
}

/// A directory or a file that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Where it is.
    pub path: PathBuf,
    /// Values for the variables in its files; `None` when they are no templates.
    pub vars: Option<Vars>,
}

impl Sources {
    /// One directory or file.
    pub fn one(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            roots: vec![Root { path, vars: None }],
            filter: filter::Filter::default(),
            mode: Mode::default(),
        }
    }

    /// What stands before the paths of a snapshot's files so that they can be opened: the root where there is only
    /// one, since the paths of several hold theirs already.
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

/// The source files of one moment, sorted by path.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Files whose text could be read.
    pub files: Vec<Arc<SourceFile>>,
    /// Files that are there but could not be read.
    pub unreadable: Vec<Unreadable>,
    /// How each root was read, in the order in which they were. For people: nothing of it may reach what is compiled.
    pub origins: Vec<ReadOrigin>,
}

/// How a root was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOrigin {
    mode: ReadMode,
    /// What the root leads to, where that is named after a commit, as git-sync does.
    link: Option<String>,
    /// The commit, where there is one and it was asked for.
    pub commit: Option<Commit>,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its whole id.
    pub id: String,
    /// The branch that it was reached by.
    pub branch: Option<String>,
    /// The first line of its message.
    pub subject: String,
    /// Whether the files that were read are others than its own.
    pub is_modified: bool,
}

impl Commit {
    /// The beginning of its id, as people write it.
    fn short(&self) -> String {
        self.id.chars().take(7).collect()
    }

    /// What people call it: `main@3f2c1ab`, with a `+` where the files differ from it.
    #[must_use]
    pub fn name(&self) -> String {
        let short = self.short();
        let branch = self
            .branch
            .as_ref()
            .map_or(String::new(), |branch| format!("{branch}@"));
        let modified = if self.is_modified { "+" } else { "" };
        format!("{branch}{short}{modified}")
    }
}

impl Snapshot {
    /// The commit of the first root that has one.
    #[must_use]
    pub fn commit(&self) -> Option<&Commit> {
        self.origins.iter().find_map(|origin| origin.commit.as_ref())
    }

    /// What people call this revision: the name of its commit, of what a link leads to, or a hash of the content.
    #[must_use]
    pub fn describe(&self) -> String {
        let link = self.origins.iter().find_map(|origin| origin.link.clone());
        match (self.commit(), link) {
            // More than one text can stand beside a commit.
            (Some(commit), _) if commit.is_modified => format!("{}{}", commit.name(), &self.revision()[..6]),
            (Some(commit), _) => commit.name(),
            (None, Some(link)) => link,
            (None, None) => self.revision(),
        }
    }

    /// How many files there are, whether they could be read or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len() + self.unreadable.len()
    }

    /// Whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A snapshot of texts held in memory, as tests and tools need it.
    #[must_use]
    pub fn from_texts<P: Into<String>, T: Into<String>>(files: impl IntoIterator<Item = (P, T)>) -> Self {
        let files = files.into_iter().map(|(path, text)| SourceFile::new(path, text));
        let mut snapshot = Self {
            files: files.collect(),
            ..Self::default()
        };
        snapshot.sort();
        snapshot
    }

    /// Brings files and unreadable entries into the order of their paths.
    pub fn sort(&mut self) {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.unreadable.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// A short hash of all paths and texts: the same files give the same revision.
    #[must_use]
    pub fn revision(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for file in &self.files {
            part(file.path.as_bytes());
            part(file.text.as_bytes());
            for (name, value) in file.vars.iter().flatten() {
                part(name.as_bytes());
                part(value.as_bytes());
            }
        }
        for unreadable in &self.unreadable {
            part(unreadable.path.as_bytes());
            part(unreadable.reason.to_string().as_bytes());
        }
        hasher.finalize().to_hex()[..12].to_owned()
    }
}

/// One file of a [`Snapshot`].
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Path below the root, with `/` between its parts; where there are several roots, behind the path of its own.
    pub path: String,
    /// The whole text, as it stands in the file.
    pub text: String,
    /// Values for the variables in it; `None` when it is no template.
    pub vars: Option<Vars>,
}

/// Values of variables by their names; a name inside another one is parted from it by a point.
pub type Vars = BTreeMap<String, String>;

impl SourceFile {
    /// A file of that path and text.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Self::with_vars(path, text, None)
    }

    /// The same, with values for the variables in it.
    pub fn with_vars(path: impl Into<String>, text: impl Into<String>, vars: Option<Vars>) -> Arc<Self> {
        Arc::new(Self {
            path: path.into(),
            text: text.into(),
            vars,
        })
    }
}

/// A file that is there but whose text is not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Path below the source root.
    pub path: String,
    /// Why it could not be read.
    pub reason: UnreadableReason,
    /// How it begins, as far as that is text: enough to tell what kind of file it is. `None` when nothing of it
    /// is to be had.
    pub beginning: Option<String>,
}

/// Why a file's text is not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnreadableReason {
    /// The operating system or the encoding forbids it; the reason in words.
    Failed(String),
    /// Larger than the limit; both in bytes.
    TooLarge {
        /// Size of the file.
        size: u64,
        /// Largest size that is read.
        limit: u64,
    },
    /// Without a byte: as an editor, a full disk or a power cut leaves it, and as nobody writes it.
    Empty,
    /// Not UTF-8; the offset in bytes of the first byte that does not fit.
    NotUtf8 {
        /// Offset of the first bad byte.
        offset: usize,
        /// Line of that byte, from 1.
        line: usize,
    },
}

impl fmt::Display for UnreadableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => write!(f, "cannot be read: {why}"),
            Self::TooLarge { size, limit } => {
                write!(f, "is {size} bytes long, more than the limit of {limit}")
            }
            Self::Empty => f.write_str("is empty"),
            Self::NotUtf8 { offset, line } => {
                write!(f, "is not UTF-8: line {line}, byte {offset} of the file")
            }
        }
    }
}

/// A place in a file: `file:line:column`.
///
/// Holds its file, so that it can show its own line. Ordered by path, then by offset.
#[derive(Clone)]
pub struct Location {
    /// The file it lies in.
    pub file: Arc<SourceFile>,
    /// Offsets in bytes; both ends lie on character boundaries inside the file.
    pub bytes: Range<usize>,
}

impl Location {
    /// The place of `bytes` in `file`; offsets outside are moved to the nearest character boundary inside.
    #[must_use]
    pub fn new(file: &Arc<SourceFile>, bytes: Range<usize>) -> Self {
        let start = floor_boundary(&file.text, bytes.start);
        let end = floor_boundary(&file.text, bytes.end).max(start);
        Self {
            file: Arc::clone(file),
            bytes: start..end,
        }
    }

    /// The line, from 1. CR, LF and CRLF each end a line.
    #[must_use]
    pub fn line(&self) -> usize {
        1 + line_starts(&self.file.text[..self.bytes.start]).count()
    }

    /// The column, from 1, in characters.
    #[must_use]
    pub fn column(&self) -> usize {
        let before = &self.file.text[..self.bytes.start];
        let line_start = line_starts(before).last().unwrap_or(0);
        1 + before[line_start..].trim_start_matches('\u{feff}').chars().count()
    }

    /// The place behind its last character.
    #[must_use]
    pub fn end(&self) -> Self {
        Self {
            file: Arc::clone(&self.file),
            bytes: self.bytes.end..self.bytes.end,
        }
    }

    /// The text at this place.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.file.text[self.bytes.clone()]
    }
}

/// Offsets at which the second and later lines of `text` start.
fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    let bytes = text.as_bytes();
    (0..bytes.len())
        .filter(move |&i| bytes[i] == b'\n' || (bytes[i] == b'\r' && bytes.get(i + 1) != Some(&b'\n')))
        .map(|i| i + 1)
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let offset = offset.min(text.len());
    (0..=offset).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.path, self.line(), self.column())
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Location {}

impl PartialOrd for Location {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Location {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |l: &Self| (l.bytes.start, l.bytes.end);
        (self.file.path.cmp(&other.file.path)).then_with(|| key(self).cmp(&key(other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, offset: usize, expected: (usize, usize)) {
        let location = Location::new(&SourceFile::new("a.yaml", text), offset..offset);
        assert_eq!((location.line(), location.column()), expected, "{text:?} at {offset}");
    }

    #[test]
    fn every_kind_of_line_end_counts_once() {
        check("a\nb", 2, (2, 1));
        check("a\r\nb", 3, (2, 1));
        check("a\rb", 2, (2, 1));
        check("a\n\nbc", 4, (3, 2));
    }

    #[test]
    fn columns_count_characters_and_no_byte_order_mark() {
        check("äö: x", 6, (1, 5));
        check("\u{feff}a: b", 6, (1, 4));
    }

    #[test]
    fn offsets_outside_the_text_move_inside() {
        check("ab", 99, (1, 3));
        check("ä", 1, (1, 1));
    }

    #[test]
    fn the_revision_depends_on_texts_and_paths_and_not_on_their_order() {
        let revision = |files: &[(&str, &str)]| Snapshot::from_texts(files.iter().map(|&(p, t)| (p, t))).revision();
        let one = revision(&[("a", "1"), ("b", "2")]);
        assert_eq!(one, revision(&[("b", "2"), ("a", "1")]));
        assert_ne!(one, revision(&[("a", "12"), ("b", "")]));
        assert_ne!(one, revision(&[("a", "1"), ("c", "2")]));
    }
}
