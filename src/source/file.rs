//! One file of a source: its text, or the reason why there is none.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A file whose text could be read.
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
