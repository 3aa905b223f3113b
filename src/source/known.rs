//! The files of the last snapshot, which need not be read again while they are the same.

use std::borrow::Cow;
use std::hash::BuildHasher as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blake3::Hasher;
use foldhash::HashMap;
use foldhash::quality::RandomState;

use super::file::SourceFile;
use super::text::Unavailable;
use crate::keep::Digest;

/// The content of a file.
#[derive(Debug)]
pub(super) enum Content {
    /// A text that was read.
    Read(String),
    /// The text of a file of the last snapshot.
    Known(Arc<SourceFile>),
}

impl Content {
    /// The text itself.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Read(text) => Cow::Borrowed(text),
            Self::Known(file) => file.text(),
        }
    }

    /// The text itself.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Read(text) => text,
            Self::Known(file) => file.text().into_owned(),
        }
    }

    /// Whether it is the content of a file, but for line ends.
    pub(super) fn is_of(&self, file: &Arc<SourceFile>) -> bool {
        let plain = |text: &str| text.replace("\r\n", "\n");
        let is_known = matches!(self, Self::Known(known) if Arc::ptr_eq(known, file));
        is_known || {
            let (own, theirs) = (self.text(), file.text());
            own == theirs || plain(&own) == plain(&theirs)
        }
    }
}

/// A file that was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The path below the root.
    pub(super) below: PathBuf,
    /// The real path.
    pub(super) really: PathBuf,
    /// The content, or the reason why there is none.
    pub(super) content: Result<Content, Unavailable>,
    /// The stamp of the content; `None` if the content may change without another stamp.
    pub(super) stamp: Option<Stamp>,
}

impl Found {
    /// The text, if it was read.
    pub(super) fn read(&self) -> Option<&str> {
        match &self.content {
            Ok(Content::Read(text)) => Some(text),
            Ok(Content::Known(_)) | Err(_) => None,
        }
    }
}

/// A sign that changes with the content of a file: a hash of its metadata, or of the id of its Git object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(Digest);

impl Stamp {
    pub(super) fn of_metadata(metadata: &Fingerprint) -> Self {
        let mut hasher = Hasher::new();
        metadata.add_to(&mut hasher);
        Self(hasher.finalize().into())
    }

    pub(super) fn of_object(id: &str) -> Self {
        Self(Digest::of(id))
    }
}

/// The metadata by which a changed file is noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// The size in bytes.
    pub(super) size: u64,
    /// The time of the last change of the content, in seconds and nanoseconds.
    pub(super) modified: (i64, i64),
    /// The time of the last change of the content or the metadata, in seconds and nanoseconds.
    pub(super) changed: (i64, i64),
}

impl Fingerprint {
    /// Adds all parts, each in eight bytes.
    pub(super) fn add_to(&self, hasher: &mut Hasher) {
        for number in [self.device, self.inode, self.size] {
            hasher.update(&number.to_le_bytes());
        }
        for number in [self.modified.0, self.modified.1, self.changed.0, self.changed.1] {
            hasher.update(&number.to_le_bytes());
        }
    }
}

/// The readable files of a root, by their paths below it. Copies share them until one of them changes.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownFiles(Arc<ByPath>);

/// Files by a hash of their paths, which takes less room than the path.
///
/// The file of another path with the same hash has another stamp, so that it is read again and never taken for this one.
#[derive(Debug, Clone, Default)]
struct ByPath {
    hasher: RandomState,
    files: HashMap<u64, Known>,
}

/// A file with its stamp; `None` if its content may change without another one.
type Known = (Option<Stamp>, Arc<SourceFile>);

impl ByPath {
    fn key(&self, below: &Path) -> u64 {
        self.hasher.hash_one(below.as_os_str())
    }

    fn get(&self, below: &Path) -> Option<&Known> {
        self.files.get(&self.key(below))
    }
}

impl KnownFiles {
    /// Adds a file.
    pub(super) fn add(&mut self, below: &Path, stamp: Option<Stamp>, file: Arc<SourceFile>) {
        let key = self.0.key(below);
        Arc::make_mut(&mut self.0).files.insert(key, (stamp, file));
    }

    /// Removes a file.
    pub(super) fn remove(&mut self, below: &Path) {
        let key = self.0.key(below);
        Arc::make_mut(&mut self.0).files.remove(&key);
    }

    /// The file at a path if it has the stamp.
    pub(super) fn with_stamp(&self, below: &Path, stamp: Stamp) -> Option<&Arc<SourceFile>> {
        let (known, file) = self.0.get(below)?;
        (*known == Some(stamp)).then_some(file)
    }

    /// The content of a file with a text that was read, which the last snapshot may have too.
    pub(super) fn content(&self, below: &Path, text: String) -> Content {
        match self.0.get(below) {
            Some((_, file)) if file.text() == text => Content::Known(Arc::clone(file)),
            _ => Content::Read(text),
        }
    }

    /// The number of files.
    pub(super) fn len(&self) -> usize {
        self.0.files.len()
    }

    /// Whether files are these, with the same contents.
    pub(super) fn are(&self, files: &[Found]) -> bool {
        let is_known = |file: &Found| matches!(file.content, Ok(Content::Known(_)));
        self.len() == files.len() && files.iter().all(is_known)
    }
}
