//! A file of a source: its text, or the reason why its text is unavailable.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A file with its text.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Path below the root, with `/` between its parts. With several roots, the path begins with that of the root.
    pub path: String,
    /// The whole text of the file.
    pub text: String,
    /// Values of the variables in a template; `None` when the file is no template.
    pub vars: Option<Vars>,
}

/// Values of variables by their dotted names.
pub type Vars = BTreeMap<String, String>;

impl SourceFile {
    /// A file that is no template.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Self::with_vars(path, text, None)
    }

    /// A file that may be a template.
    pub fn with_vars(path: impl Into<String>, text: impl Into<String>, vars: Option<Vars>) -> Arc<Self> {
        Arc::new(Self {
            path: path.into(),
            text: text.into(),
            vars,
        })
    }
}

/// A file whose text is unavailable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Path, as in [`SourceFile::path`].
    pub path: String,
    /// The reason why the text is missing.
    pub reason: UnreadableReason,
    /// The text at the begin of the file, by which its kind can be told; `None` when none of it
    /// is available.
    pub beginning: Option<String>,
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
