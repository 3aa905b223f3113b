//! The files of a directory, read at one moment.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use blake3::{Hash, Hasher};
use walkdir::{DirEntry, WalkDir};

use super::error::ReadError;
use super::file::{Link, LinkFault, LinkKind, UnreadableReason, add_part, show};
use super::filter::{Filter, LINKED, is_hidden};
use super::known::{Content, Fingerprint, Found, KnownFiles, Stamp};
use super::text::{Unavailable, text};
use crate::system::{parallel, progress};

/// The number of attempts to read a directory that keeps changing.
const ATTEMPTS: usize = 5;

/// The number of seconds after which the clock of a file system has gone on.
const SETTLED: i64 = 2;

/// The content of a directory.
pub(super) struct Directory {
    /// The files; `None` if they are those of the last snapshot, and all have their stamps.
    pub(super) files: Option<Vec<Found>>,
    /// Directories below the root that are Git repositories of their own.
    pub(super) repositories: BTreeSet<PathBuf>,
    /// Whether there is a link, followed or not.
    pub(super) has_links: bool,
    /// The seal of the listing.
    pub(super) seal: Option<Hash>,
}

/// The place of a directory or file that is read.
pub(super) struct Place<'p> {
    /// The path as people name it.
    pub(super) root: &'p Path,
    /// The real path.
    pub(super) resolved: &'p Path,
    /// The real path of the directory that links may lead to: the top of the repository, or the root itself.
    pub(super) within: &'p Path,
}

/// The files of a root, read again until none changed during the reading. Those that are as in the last snapshot are
/// not read. If all are as there, with stamps, they are left out where `may_be_same` says that the caller has them.
///
/// # Errors
/// When the root is missing or unreadable, or keeps changing.
pub(super) fn read(
    place: &Place,
    filter: &Filter,
    limit: u64,
    known: &KnownFiles,
    may_be_same: bool,
) -> Result<Directory, ReadError> {
    let Place { root, resolved, .. } = *place;
    for _ in 0..ATTEMPTS {
        let now = SystemTime::now();
        let listed = list(place, filter).and_then(|before| {
            let seal = before.seal(now);
            // The last snapshot is of one moment, although an earlier one.
            let is_last = may_be_same && before.is_of(known, limit);
            let files = match is_last {
                true => None,
                false => match read_all(&before, place, limit, known, now) {
                    Some(files) => Some(files),
                    None => return Ok(None),
                },
            };
            let is_known = files.as_ref().is_none_or(|files| known.are(files));
            let is_same = is_known || before == list(place, filter)?;
            Ok(is_same.then_some(Directory {
                files,
                repositories: before.repositories,
                has_links: before.has_links,
                seal,
            }))
        });
        match listed {
            Ok(Some(directory)) => return Ok(directory),
            Ok(None) => {}
            // The directory was replaced while it was read.
            Err(ReadError::Missing(_)) if resolved.exists() => {}
            Err(error) => return Err(error),
        }
    }
    Err(ReadError::Changing(root.to_owned()))
}

/// The seal of a root: a hash of the paths and the metadata of all files. `None` if one of them may change without
/// another hash, or cannot be read.
///
/// # Errors
/// When the root is missing or unreadable.
pub(super) fn seal(place: &Place, filter: &Filter) -> Result<Option<Hash>, ReadError> {
    let now = SystemTime::now();
    Ok(list(place, filter)?.seal(now))
}

/// The files and repositories that were found in a directory.
#[derive(Debug, Default, PartialEq, Eq)]
struct Listing {
    /// The files to read, sorted by their path below the root.
    files: Vec<Listed>,
    repositories: BTreeSet<PathBuf>,
    has_links: bool,
    /// Whether the root is a file.
    is_of_file: bool,
}

/// A file that was found.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    /// The path below the root; for a root that is a file, its name.
    below: PathBuf,
    /// The metadata, or the reason why the file cannot be read.
    found: Result<Fingerprint, UnreadableReason>,
}

impl Fingerprint {
    pub(super) fn from_metadata(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a later change is sure to change the metadata.
    ///
    /// Times are as coarse as the ticks of a file system's clock, so that a file may change twice at one time.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let settled = |(seconds, _)| i64::try_from(now.as_secs()).is_ok_and(|now| seconds < now - SETTLED);
        settled(self.changed) && settled(self.modified)
    }
}

fn list(place: &Place, filter: &Filter) -> Result<Listing, ReadError> {
    let Place { root, resolved, .. } = *place;
    let unreadable = |error| ReadError::unreadable(root, error);
    let mut listing = Listing::default();
    if resolved.is_file() {
        let fingerprint = Fingerprint::from_metadata(&fs::metadata(resolved).map_err(unreadable)?);
        listing.files.push(Listed {
            // A link to a file has the name that the settings give it.
            below: root.file_name().or(resolved.file_name()).unwrap_or_default().into(),
            found: Ok(fingerprint),
        });
        listing.is_of_file = true;
        return Ok(listing);
    }
    progress::begin("listing files");
    fs::read_dir(resolved).map_err(unreadable)?;
    // In one directory, paths are in the order of names; to take the names out of them costs more.
    let entries = WalkDir::new(resolved)
        .follow_links(true)
        .sort_by(|a, b| a.path().as_os_str().cmp(b.path().as_os_str()))
        .into_iter();
    let mut passed = Passed::new(place, filter);
    let mut linked = Linked::default();
    let (mut files, mut passed_errors) = (Vec::new(), false);
    for entry in entries.filter_entry(|entry| passed.enters(entry)) {
        if entry.as_ref().is_ok_and(|entry| linked.count(entry) > LINKED) {
            return Err(ReadError::Multiplied(root.to_owned()));
        }
        match entry {
            Ok(entry) if entry.file_type().is_file() && filter.reads(place.below(entry.path())) => files.push(entry),
            Ok(_) => {}
            Err(error) => {
                passed_errors = true;
                if let Some(path) = error.path().map(Path::to_owned)
                    && !filter.leaves_out(place.below(&path))
                    && let Some(why) = why_not_entered(error, &path, filter.reads(place.below(&path)))
                {
                    listing.add(place, &path, Err(why));
                }
            }
        }
    }
    passed.add_outside(&mut listing);
    // A walk is in the order of the paths.
    let is_sorted = listing.files.is_empty();
    let fingerprints = parallel::map("looking at files", &files, parallel::cpu_count(), fingerprint);
    for (entry, fingerprint) in files.iter().zip(fingerprints) {
        listing.add(place, entry.path(), fingerprint);
    }
    if !is_sorted {
        listing.files.sort_by(|a, b| a.below.cmp(&b.below));
    }
    passed.finish(&mut listing);
    // A link that leads nowhere is an error of the walk.
    listing.has_links |= passed_errors;
    Ok(listing)
}

/// The metadata of a file that a walk found.
fn fingerprint(entry: &DirEntry) -> Result<Fingerprint, UnreadableReason> {
    let metadata = entry.metadata().map_err(io::Error::from);
    metadata
        .map(|metadata| Fingerprint::from_metadata(&metadata))
        .map_err(|error| UnreadableReason::Failed(error.to_string()))
}

/// The reason why a path cannot be read; `None` when nothing is lost with it.
fn why_not_entered(error: walkdir::Error, path: &Path, is_policy: bool) -> Option<UnreadableReason> {
    // A link to a directory above itself shows nothing new.
    if error.loop_ancestor().is_some() {
        return None;
    }
    let leads_nowhere = error.io_error().is_some_and(|error| {
        let circle = rustix::io::Errno::LOOP.raw_os_error();
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
            || error.raw_os_error() == Some(circle)
    });
    if !leads_nowhere {
        return Some(UnreadableReason::Failed(io::Error::from(error).to_string()));
    }
    let kind = if is_policy { LinkKind::Policy } else { LinkKind::Unknown };
    // Without a link, a directory vanished meanwhile.
    link(path, LinkFault::Nowhere, kind)
}

impl Place<'_> {
    /// A path below the root.
    fn below<'a>(&self, path: &'a Path) -> &'a Path {
        // A walk puts a slash and names after the root; with any other path, the parts are compared.
        let root = self.resolved.as_os_str().as_bytes();
        let below = path.as_os_str().as_bytes().strip_prefix(root);
        let below = below
            .and_then(|rest| rest.strip_prefix(b"/"))
            .filter(|rest| !rest.starts_with(b"/"));
        match below {
            Some(below) => Path::new(OsStr::from_bytes(below)),
            None => path.strip_prefix(self.resolved).unwrap_or(path),
        }
    }
}

impl Listing {
    /// The hash of all entries; `None` if a file may change later without another one, or cannot be read, or if there
    /// is a repository below, which has a state of its own.
    fn seal(&self, now: SystemTime) -> Option<Hash> {
        let mut hasher = Hasher::new();
        for file in &self.files {
            let fingerprint = file.found.as_ref().ok().filter(|found| found.is_settled(now))?;
            add_part(&mut hasher, file.below.as_os_str().as_encoded_bytes());
            fingerprint.add_to(&mut hasher);
        }
        self.repositories.is_empty().then(|| hasher.finalize())
    }

    fn add(&mut self, place: &Place, path: &Path, found: Result<Fingerprint, UnreadableReason>) {
        self.files.push(Listed {
            below: place.below(path).to_owned(),
            found,
        });
    }

    /// Whether these are the known files, with their stamps.
    fn is_of(&self, known: &KnownFiles, limit: u64) -> bool {
        let is_known = |file: &Listed| match &file.found {
            Ok(found) => found.size <= limit && known.with_stamp(&file.below, Stamp::of_metadata(found)).is_some(),
            Err(_) => false,
        };
        self.files.len() == known.len() && self.files.iter().all(is_known)
    }

    /// The real path of a file.
    fn path(&self, place: &Place, file: &Listed) -> PathBuf {
        match self.is_of_file {
            true => place.resolved.to_owned(),
            false => place.resolved.join(&file.below),
        }
    }
}

/// The entries that a walk passed.
struct Passed<'p> {
    place: &'p Place<'p>,
    filter: &'p Filter,
    /// Directories that are Git repositories of their own.
    repositories: BTreeSet<PathBuf>,
    /// Links that lead out of the place, with the type of the target.
    outside: Vec<(PathBuf, fs::FileType)>,
    /// Directories with a name that files have.
    directories: Vec<PathBuf>,
    has_links: bool,
}

impl<'p> Passed<'p> {
    fn new(place: &'p Place<'p>, filter: &'p Filter) -> Self {
        Self {
            place,
            filter,
            repositories: BTreeSet::new(),
            outside: Vec::new(),
            directories: Vec::new(),
            has_links: false,
        }
    }

    /// Whether the walk shall go on with an entry.
    fn enters(&mut self, entry: &DirEntry) -> bool {
        if entry.file_name() == ".git" && entry.depth() > 1 {
            self.repositories.extend(entry.path().parent().map(Path::to_owned));
        }
        self.has_links |= entry.path_is_symlink() && entry.depth() > 0;
        let (is_directory, below) = (entry.file_type().is_dir(), || self.place.below(entry.path()));
        let is_left_out = is_directory && !self.filter.enters(below());
        if entry.depth() == 0 || is_hidden(entry.file_name()) || is_left_out {
            return entry.depth() == 0;
        }
        if !is_inside(entry, self.place.within) {
            self.outside.push((entry.path().to_owned(), entry.file_type()));
            return false;
        }
        if is_directory && self.filter.reads(below()) {
            self.directories.push(entry.path().to_owned());
        }
        true
    }

    /// Adds the links that lead out of the place.
    fn add_outside(&self, listing: &mut Listing) {
        for (path, target) in &self.outside {
            let below = self.place.below(path);
            let kind = match target {
                target if target.is_dir() => LinkKind::Directory,
                target if target.is_file() && self.filter.reads(below) => LinkKind::Policy,
                // Nothing that would be read.
                _ => continue,
            };
            if let Some(link) = link(path, LinkFault::Outside, kind).filter(|_| !self.filter.leaves_out(below)) {
                listing.add(self.place, path, Err(link));
            }
        }
    }

    /// Adds the directories with names of files and without any, to a sorted listing.
    fn finish(self, listing: &mut Listing) {
        let is_empty = |path: &&PathBuf| {
            let below = self.place.below(path);
            let next = listing.files.partition_point(|file| file.below.as_path() < below);
            !listing
                .files
                .get(next)
                .is_some_and(|file| file.below.starts_with(below))
        };
        let empty: Vec<&PathBuf> = self.directories.iter().filter(is_empty).collect();
        if !empty.is_empty() {
            for path in empty {
                listing.add(self.place, path, Err(UnreadableReason::Directory));
            }
            listing.files.sort_by(|a, b| a.below.cmp(&b.below));
        }
        listing.repositories = self.repositories;
        listing.has_links = self.has_links;
    }
}

/// A link that is not followed; `None` when there is no link at the path.
fn link(path: &Path, fault: LinkFault, kind: LinkKind) -> Option<UnreadableReason> {
    let target = show(&fs::read_link(path).ok()?);
    Some(UnreadableReason::Link(Link { target, fault, kind }))
}

/// The count of entries that are reached through links.
#[derive(Default)]
struct Linked {
    /// The outermost link above the current entry.
    link: Option<PathBuf>,
    count: usize,
}

impl Linked {
    /// The count, this entry included.
    fn count(&mut self, entry: &DirEntry) -> usize {
        let is_below = |link: &PathBuf| entry.path().starts_with(link);
        if !self.link.as_ref().is_some_and(is_below) {
            self.link = entry.path_is_symlink().then(|| entry.path().to_owned());
        }
        self.count += usize::from(self.link.is_some());
        self.count
    }
}

/// Whether an entry is no link, or a link that stays inside a directory and out of Git's own files.
fn is_inside(entry: &DirEntry, within: &Path) -> bool {
    let is_policy = |target: &Path| {
        let below = target.strip_prefix(within);
        below.is_ok_and(|below| !below.iter().any(|part| part == ".git"))
    };
    !entry.path_is_symlink() || fs::canonicalize(entry.path()).is_ok_and(|target| is_policy(&target))
}

/// The texts of all files; `None` when one of them is not the file that was listed any more.
fn read_all(listing: &Listing, place: &Place, limit: u64, known: &KnownFiles, now: SystemTime) -> Option<Vec<Found>> {
    let read = |listed: &Listed| {
        let Listed { below, found } = listed;
        let path = listing.path(place, listed);
        let (content, stamp) = match found {
            Err(why) => (Err((why.clone(), None)), None),
            Ok(fingerprint) => {
                let stamp = Stamp::of_metadata(fingerprint);
                let file = known.with_stamp(below, stamp).filter(|_| fingerprint.size <= limit);
                let content = match file {
                    Some(file) => Ok(Content::Known(Arc::clone(file))),
                    None => read_one(&path, fingerprint, limit)?.map(|text| known.content(below, text)),
                };
                (content, fingerprint.is_settled(now).then_some(stamp))
            }
        };
        Some(Found {
            below: below.clone(),
            really: path,
            content,
            stamp,
        })
    };
    parallel::map("reading files", &listing.files, parallel::cpu_count(), read)
        .into_iter()
        .collect()
}

/// The text of a file by itself, and its stamp; `None` when it has no text, or changes while it is read.
pub(super) fn read_alone(
    path: &Path,
    listed: &Metadata,
    limit: u64,
    now: SystemTime,
) -> Option<(String, Option<Stamp>)> {
    let fingerprint = Fingerprint::from_metadata(listed);
    let text = read_one(path, &fingerprint, limit)?.ok()?;
    let is_settled = fingerprint.is_settled(now);
    Some((text, is_settled.then(|| Stamp::of_metadata(&fingerprint))))
}

/// The text of a file; `None` when it is not the file that was listed any more.
fn read_one(path: &Path, listed: &Fingerprint, limit: u64) -> Option<Result<String, Unavailable>> {
    match read_bytes(path, listed, limit) {
        Ok(Some(bytes)) if bytes.is_empty() => Some(Err((UnreadableReason::Empty, Some(String::new())))),
        Ok(Some(bytes)) => {
            let size = listed.size.max(bytes.len() as u64);
            Some(text(bytes, size, limit))
        }
        Ok(None) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Err((UnreadableReason::Failed(error.to_string()), None))),
    }
}

/// The bytes of the file that was listed, at most one more than the limit. A link on the way may lead elsewhere now,
/// and back again when the listing is compared, so the open file is compared rather than its name.
fn read_bytes(path: &Path, listed: &Fingerprint, limit: u64) -> io::Result<Option<Vec<u8>>> {
    // A pipe in the place of the file must not block.
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut file = File::options().read(true).custom_flags(nonblock).open(path)?;
    if Fingerprint::from_metadata(&file.metadata()?) != *listed {
        return Ok(None);
    }
    let size = usize::try_from(listed.size.min(limit)).unwrap_or_default();
    // One more, so that the end is seen without another allocation.
    let mut bytes = Vec::with_capacity(size + 1);
    (&mut file).take(limit + 1).read_to_end(&mut bytes)?;
    Ok((Fingerprint::from_metadata(&file.metadata()?) == *listed).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_the_one_that_was_listed_is_not_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let (one, two, link) = (dir.path().join("one"), dir.path().join("two"), dir.path().join("link"));
        fs::write(&one, "1").expect("a file");
        fs::write(&two, "2").expect("a file");
        std::os::unix::fs::symlink(&one, &link).expect("a link");
        let listed = Fingerprint::from_metadata(&fs::metadata(&link).expect("a file"));
        assert!(matches!(read_one(&link, &listed, 9), Some(Ok(text)) if text == "1"));
        // The link leads elsewhere between two listings that are the same.
        fs::remove_file(&link).expect("our own link");
        std::os::unix::fs::symlink(&two, &link).expect("a link");
        assert!(read_one(&link, &listed, 9).is_none());
        fs::remove_file(&link).expect("our own link");
        assert!(read_one(&link, &listed, 9).is_none());
    }
}
