//! The files of the last snapshot, which need not be read again while they are the same.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::HashMap;

use super::file::SourceFile;
use super::text::Unavailable;

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
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Read(text) => text,
            Self::Known(file) => &file.text,
        }
    }

    /// The text itself.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Read(text) => text,
            Self::Known(file) => file.text.clone(),
        }
    }

    /// Whether it is the content of a file, but for line ends.
    pub(super) fn is_of(&self, file: &Arc<SourceFile>) -> bool {
        let plain = |text: &str| text.replace("\r\n", "\n");
        let is_known = matches!(self, Self::Known(known) if Arc::ptr_eq(known, file));
        is_known || self.text() == file.text || plain(self.text()) == plain(&file.text)
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

/// A sign that changes with the content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stamp {
    /// The metadata of a file.
    Metadata(Fingerprint),
    /// The id of a Git object.
    Object(String),
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

/// The readable files of a root, by their paths below it. Copies share the map until one of them changes.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownFiles(Arc<HashMap<OsString, Known>>);

/// A file with its stamp; `None` if its content may change without another one.
type Known = (Option<Stamp>, Arc<SourceFile>);

impl KnownFiles {
    /// Adds a file.
    pub(super) fn add(&mut self, below: PathBuf, stamp: Option<Stamp>, file: Arc<SourceFile>) {
        Arc::make_mut(&mut self.0).insert(below.into(), (stamp, file));
    }

    /// Removes a file.
    pub(super) fn remove(&mut self, below: &Path) {
        Arc::make_mut(&mut self.0).remove(below.as_os_str());
    }

    /// The file at a path if it has the stamp.
    pub(super) fn with_stamp(&self, below: &Path, stamp: &Stamp) -> Option<Arc<SourceFile>> {
        let (known, file) = self.0.get(below.as_os_str())?;
        (known.as_ref() == Some(stamp)).then(|| Arc::clone(file))
    }

    /// The content of a file with a text that was read, which the last snapshot may have too.
    pub(super) fn content(&self, below: &Path, text: String) -> Content {
        match self.0.get(below.as_os_str()) {
            Some((_, file)) if file.text == text => Content::Known(Arc::clone(file)),
            _ => Content::Read(text),
        }
    }

    /// The number of files.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the file at a path has the metadata of the known one.
    pub(super) fn has(&self, below: &Path, found: &Fingerprint) -> bool {
        let known = self.0.get(below.as_os_str());
        known.is_some_and(|(stamp, _)| matches!(stamp, Some(Stamp::Metadata(known)) if known == found))
    }

    /// Whether files are these, with the same contents.
    pub(super) fn are(&self, files: &[Found]) -> bool {
        let is_known = |file: &Found| matches!(file.content, Ok(Content::Known(_)));
        self.0.len() == files.len() && files.iter().all(is_known)
    }
}
