//! A file of a source: its text, or the reason why its text is unavailable.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use blake3::Hasher;
use globset::GlobMatcher;

use super::form::Form;
use crate::keep::{Digest, Text};

/// A file with its text.
#[derive(Debug)]
pub struct SourceFile {
    digest: OnceLock<Digest>,
    /// Path below the root, with `/` between its parts. With several roots, the path begins with that of the root.
    pub path: Text,
    form: Form,
    /// Values of the variables in a template; `None` when the file is no template.
    pub vars: Option<Box<Vars>>,
}

/// Values of variables by their dotted names.
pub type Vars = BTreeMap<String, String>;

impl SourceFile {
    /// A file that is no template.
    pub fn new(path: impl Into<Text>, text: impl Into<String>) -> Arc<Self> {
        Self::with_vars(path, text, None)
    }

    /// A file that may be a template.
    pub fn with_vars(path: impl Into<Text>, text: impl Into<String>, vars: Option<Vars>) -> Arc<Self> {
        Self::in_form(path, text.into().into(), vars)
    }

    /// A file that may be a template, in either form.
    pub(super) fn in_form(path: impl Into<Text>, form: Form, vars: Option<Vars>) -> Arc<Self> {
        Arc::new(Self {
            digest: OnceLock::new(),
            path: path.into(),
            form,
            vars: vars.map(Box::new),
        })
    }

    /// The whole text of the file.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        self.form.text()
    }

    /// The size of the text in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.form.size()
    }

    /// The offsets at which lines start, from the second line on.
    pub(super) fn line_starts(&self) -> Cow<'_, [u32]> {
        self.form.line_starts()
    }

    /// A hash of path, text and variables.
    pub(super) fn digest(&self) -> &Digest {
        self.digest.get_or_init(|| {
            let (text, mut hasher) = (self.text(), Hasher::new());
            let variables = self.vars.iter().flat_map(|vars| vars.iter());
            let variables = variables.flat_map(|(name, value)| [name.as_str(), value]);
            for part in [self.path.as_str(), &text].into_iter().chain(variables) {
                add_part(&mut hasher, part.as_bytes());
            }
            hasher.finalize().into()
        })
    }
}

impl PartialEq for SourceFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.vars == other.vars && self.text() == other.text()
    }
}

impl Eq for SourceFile {}

/// A file, a directory or a glob whose files are unavailable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Path, as in [`SourceFile::path`]; or a glob.
    pub path: String,
    /// The reason why the text is missing.
    pub reason: UnreadableReason,
    /// The text at the begin of the file, by which its kind can be told; `None` when none of it
    /// is available.
    pub beginning: Option<String>,
}

/// Adds bytes to a hash in such a way that no other parts give the same one.
pub(super) fn add_part(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

/// The path as text. Bytes that are not UTF-8 become `\xNN`, so that different paths stay different.
pub(super) fn show(path: &Path) -> String {
    let path = path.as_os_str().as_encoded_bytes();
    let chunk = |chunk: std::str::Utf8Chunk| {
        let bad: String = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")).collect();
        format!("{}{bad}", chunk.valid())
    };
    path.utf8_chunks().map(chunk).collect()
}

/// The reason why the text of a file is unavailable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnreadableReason {
    /// An error of the operating system or of the encoding, in words.
    Failed(String),
    /// The file is larger than the limit; both in bytes.
    TooLarge {
        /// The size of the file.
        size: u64,
        /// The limit of the settings.
        limit: u64,
    },
    /// The file is empty: editors, full disks and power cuts leave such files, and nobody writes one.
    Empty,
    /// The file is not UTF-8.
    NotUtf8 {
        /// Offset in bytes of the first invalid byte.
        offset: usize,
        /// Line of this byte, from 1.
        line: usize,
    },
    /// A link that is not followed.
    Link(Link),
    /// A directory without files, with a name that policies have.
    Directory,
    /// A submodule whose files are not those of the commit, in words.
    Submodule(String),
    /// A directory that is a source, without a file to read.
    NoFiles,
    /// A glob of `include` that no file matches.
    NoMatch(Box<Matches>),
}

/// A link that is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The target as the link names it.
    pub target: String,
    /// The reason why the link is not followed.
    pub fault: LinkFault,
    /// The kind of the link's target.
    pub kind: LinkKind,
}

/// The reason why a link is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkFault {
    /// A target out of the repository or, without one, of the source.
    Outside,
    /// A target that does not exist, or is the link itself.
    Nowhere,
    /// Any target: the link is a text file with the target, as Git writes links where `core.symlinks` is off.
    Text,
}

/// The kind of a link's target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// A file that would be read, by the name of the link.
    Policy,
    /// A directory with files of its own.
    Directory,
    /// A file that would not be read, or a directory.
    Unknown,
}

/// The files that a glob of `include` matches, in any source.
#[derive(Debug, Clone)]
pub struct Matches {
    /// The glob, for paths below a source.
    pub(super) glob: GlobMatcher,
    /// The beginnings of the paths of each source's files.
    pub(super) prefixes: Vec<String>,
}

impl PartialEq for Matches {
    fn eq(&self, other: &Self) -> bool {
        self.glob.glob() == other.glob.glob() && self.prefixes == other.prefixes
    }
}

impl Eq for Matches {}

impl Unreadable {
    /// Whether a path is that of an unavailable file.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        let is_below = |path: &str| {
            path.strip_prefix(self.path.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
        };
        match &self.reason {
            UnreadableReason::NoMatch(matches) => (matches.prefixes.iter())
                .filter_map(|prefix| path.strip_prefix(prefix.as_str()))
                .any(|below| matches.glob.is_match(below)),
            _ => path == self.path || is_below(path),
        }
    }

    /// Whether nothing can be concluded from the absence of the files, even when they were never read.
    #[must_use]
    pub fn may_be_about_anything(&self) -> bool {
        match &self.reason {
            UnreadableReason::Failed(_)
            | UnreadableReason::TooLarge { .. }
            | UnreadableReason::NotUtf8 { .. }
            | UnreadableReason::Submodule(_) => true,
            UnreadableReason::Link(link) => link.kind != LinkKind::Unknown,
            UnreadableReason::Empty
            | UnreadableReason::Directory
            | UnreadableReason::NoFiles
            | UnreadableReason::NoMatch(_) => false,
        }
    }
}

impl UnreadableReason {
    /// Advice on what to do.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => {
                "split the file, move it out of the policies, or raise `limits.file_bytes` in the settings"
            }
            Self::Empty => "it was not empty before; to remove its resources, remove the file",
            Self::Failed(_) | Self::NotUtf8 { .. } => "fix the file, or move it out of the policies",
            Self::Link(Link {
                fault: LinkFault::Outside,
                ..
            }) => {
                "copy its target into the policies, add the target to `policies` in the settings, or leave the link out with `exclude`"
            }
            Self::Link(Link {
                fault: LinkFault::Text, ..
            }) => "set `core.symlinks` and check the file out again, or copy its target in its place",
            Self::Link(_) => "fix or remove the link, or leave it out with `exclude` in the settings",
            Self::Directory => "put the file in its place, or remove the directory",
            Self::Submodule(_) => {
                "`git submodule update --init` brings its files; `exclude` in the settings leaves the submodule out"
            }
            Self::NoFiles => "put its files in place, or remove the source from `policies` in the settings",
            Self::NoMatch(_) => "fix or remove the glob: `include` in the settings",
        }
    }
}

impl fmt::Display for UnreadableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => write!(f, "the file cannot be read: {why}"),
            Self::TooLarge { size, limit } => {
                write!(f, "the file is {size} bytes long, more than the limit of {limit}")
            }
            Self::Empty => f.write_str("the file is empty"),
            Self::NotUtf8 { offset, line } => {
                write!(f, "the file is not UTF-8: line {line}, byte {offset} of the file")
            }
            Self::Link(Link { target, fault, .. }) => match fault {
                LinkFault::Outside => write!(f, "the link to `{target}` leads out of the policies"),
                LinkFault::Nowhere => write!(f, "the link to `{target}` leads nowhere"),
                LinkFault::Text => write!(f, "the file is a link to `{target}` that Git wrote as text"),
            },
            Self::Directory => f.write_str("this is a directory without files, not a file"),
            Self::Submodule(why) => f.write_str(why),
            Self::NoFiles => f.write_str("this source has no file to read"),
            Self::NoMatch(matches) => write!(f, "no file matches `{}`", matches.glob.glob()),
        }
    }
}
