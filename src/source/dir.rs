//! Reads a directory into a [`Snapshot`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::filter::Filter;
use super::{Root, Snapshot, SourceFile, Sources, Unreadable, UnreadableReason, Vars};

/// How often a directory that keeps changing is read before that is an error.
const ROUNDS: usize = 5;

/// How much of a file that is not read is looked at, in bytes.
const BEGINNING: usize = 64 << 10;

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not there.
    #[error("there is no {}: name the directory with the policies by `--policies DIR`", .0.display())]
    Missing(PathBuf),
    /// It cannot be entered.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It changed during every attempt.
    #[error("{} keeps changing while it is read", .0.display())]
    Changing(PathBuf),
}

/// Reads the files of all sources: those of a directory that may hold policies, or the file that a root is.
///
/// Hidden files and directories are passed over, symbolic links are followed only within the root, and what is
/// no regular file is left alone. A file that two roots lead to is read once. A root that is a link is resolved once.
/// The directory is read until it was the same before and after.
///
/// # Errors
/// When a root is missing or unreadable, or keeps changing.
pub fn read(sources: &Sources, max_file_bytes: u64) -> Result<Snapshot, ReadError> {
    let is_alone = sources.roots.len() == 1;
    let mut snapshot = Snapshot::default();
    let mut seen = BTreeSet::new();
    // Those with variables first: a file that two sources reach is the one that can be read.
    let (with_vars, without): (Vec<&Root>, Vec<&Root>) = sources.roots.iter().partition(|root| root.vars.is_some());
    for root in with_vars.into_iter().chain(without) {
        let prefix = if is_alone { String::new() } else { prefix(&root.path) };
        read_root(root, &sources.filter, &prefix, max_file_bytes, &mut seen, &mut snapshot)?;
    }
    snapshot.sort();
    Ok(snapshot)
}

/// What stands before the paths of the files of one of several roots.
fn prefix(root: &Path) -> String {
    let directory = if root.is_file() {
        root.parent().unwrap_or(Path::new(""))
    } else {
        root
    };
    match show(directory).trim_end_matches('/') {
        "" if directory.has_root() => "/".to_owned(),
        "" => String::new(),
        directory => format!("{directory}/"),
    }
}

/// Adds the files of one root that are not there yet; `seen` are those that are, by where they really are.
fn read_root(
    root: &Root,
    filter: &Filter,
    prefix: &str,
    max_file_bytes: u64,
    seen: &mut BTreeSet<PathBuf>,
    snapshot: &mut Snapshot,
) -> Result<(), ReadError> {
    let Root { path: root, vars } = root;
    let unreadable = |path: &Path, source: io::Error| ReadError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let resolved = fs::canonicalize(root).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Missing(root.to_owned()),
        _ => unreadable(root, error),
    })?;
    for _ in 0..ROUNDS {
        let mut before = list(&resolved, filter).map_err(|error| unreadable(root, error))?;
        let read = read_all(&before, seen, prefix, vars.as_ref(), max_file_bytes);
        let after = list(&resolved, filter).map_err(|error| unreadable(root, error))?;
        if before == after {
            seen.extend(std::mem::take(&mut before).into_values().map(|(path, _)| path));
            snapshot.files.extend(read.files);
            snapshot.unreadable.extend(read.unreadable);
            return Ok(());
        }
    }
    Err(ReadError::Changing(root.to_owned()))
}

/// The files to read: by their path below the root, where they are and what they were like.
type Listing = BTreeMap<String, (PathBuf, Result<Fingerprint, String>)>;

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn list(root: &Path, filter: &Filter) -> io::Result<Listing> {
    let mut listing = Listing::new();
    if root.is_file() {
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        listing.insert(name, (root.to_owned(), Ok(Fingerprint::of(&fs::metadata(root)?))));
        return Ok(listing);
    }
    fs::read_dir(root)?;
    let entries = WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter();
    let beneath = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_owned();
    let wanted = |entry: &DirEntry| {
        let is_left_out = entry.file_type().is_dir() && !filter.enters(&beneath(entry.path()));
        entry.depth() == 0 || (!is_hidden(entry) && !is_left_out && is_inside(entry, root))
    };
    for entry in entries.filter_entry(wanted) {
        match entry {
            Ok(entry) if entry.file_type().is_file() && filter.reads(&beneath(entry.path())) => {
                let metadata = entry.metadata().map_err(io::Error::from);
                let fingerprint = metadata
                    .map(|metadata| Fingerprint::of(&metadata))
                    .map_err(|error| error.to_string());
                listing.insert(below(root, entry.path()), (entry.path().to_owned(), fingerprint));
            }
            Ok(_) => {}
            // A link that leads nowhere or in a circle, or a directory that cannot be entered.
            Err(error) => {
                let Some(path) = error.path().map(Path::to_owned) else {
                    continue;
                };
                let vanished = error
                    .io_error()
                    .is_some_and(|error| error.kind() == io::ErrorKind::NotFound);
                if error.loop_ancestor().is_none() && !vanished {
                    listing.insert(below(root, &path), (path, Err(io::Error::from(error).to_string())));
                }
            }
        }
    }
    Ok(listing)
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// Whether an entry is no link, or one that leads to something inside the root.
fn is_inside(entry: &DirEntry, root: &Path) -> bool {
    !entry.path_is_symlink() || fs::canonicalize(entry.path()).is_ok_and(|target| target.starts_with(root))
}

/// The path below the root.
fn below(root: &Path, path: &Path) -> String {
    show(path.strip_prefix(root).unwrap_or(path))
}

/// The path as text; bytes that are no UTF-8 are shown as `\xNN`, so that different paths stay different.
fn show(path: &Path) -> String {
    let path = path.as_os_str().as_encoded_bytes();
    let chunk = |chunk: std::str::Utf8Chunk| {
        let bad: String = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")).collect();
        format!("{}{bad}", chunk.valid())
    };
    path.utf8_chunks().map(chunk).collect()
}

fn read_all(listing: &Listing, seen: &BTreeSet<PathBuf>, prefix: &str, vars: Option<&Vars>, limit: u64) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (name, (path, fingerprint)) in listing.iter().filter(|(_, (path, _))| !seen.contains(path)) {
        let name = format!("{prefix}{name}");
        let text = match fingerprint {
            Ok(_) => read_one(path, limit),
            Err(why) => Err((UnreadableReason::Refused(why.clone()), None)),
        };
        match text {
            Ok(text) => snapshot.files.push(SourceFile::with_vars(name, text, vars.cloned())),
            Err((reason, beginning)) => {
                snapshot.unreadable.push(Unreadable {
                    path: name,
                    reason,
                    beginning,
                });
            }
        }
    }
    snapshot
}

/// The text of a file, or why it is not to be had and how it begins.
fn read_one(path: &Path, limit: u64) -> Result<String, (UnreadableReason, Option<String>)> {
    let bytes = read_bytes(path, limit).map_err(|error| (UnreadableReason::Refused(error.to_string()), None))?;
    let beginning = |bytes: &[u8]| Some(String::from_utf8_lossy(&bytes[..bytes.len().min(BEGINNING)]).into_owned());
    if bytes.len() as u64 > limit {
        let size = fs::metadata(path).map_or(limit + 1, |metadata| metadata.size());
        return Err((UnreadableReason::TooLarge { size, limit }, beginning(&bytes)));
    }
    if let Some(text) = utf_16(&bytes) {
        let beginning = text.chars().take(BEGINNING).collect();
        let why = "it is UTF-16, as some editors and shells of Windows write; save it as UTF-8";
        return Err((UnreadableReason::Refused(why.to_owned()), Some(beginning)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..offset];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        (UnreadableReason::NotUtf8 { offset, line }, beginning(error.as_bytes()))
    })
}

/// The text of bytes that begin with a mark of UTF-16.
fn utf_16(bytes: &[u8]) -> Option<String> {
    let (mark, rest) = bytes.split_at_checked(2)?;
    let unit: fn([u8; 2]) -> u16 = match mark {
        [0xff, 0xfe] => u16::from_le_bytes,
        [0xfe, 0xff] => u16::from_be_bytes,
        _ => return None,
    };
    let units: Vec<u16> = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
    Some(String::from_utf16_lossy(&units))
}

/// The bytes of a regular file, at most one more than the limit.
fn read_bytes(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // A pipe that took the place of the file must not block.
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(nonblock).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn paths(snapshot: &Snapshot) -> Vec<&str> {
        snapshot.files.iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn only_visible_regular_files_with_the_right_names_are_read() {
        let root = tempfile::tempdir().expect("a directory");
        for path in ["b.yaml", "a/c.YML", "a/d.json", "e.txt", ".f.yaml", ".git/g.yaml"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, "x").expect("a file");
        }
        fs::create_dir(root.path().join("h.yaml")).expect("a directory");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.path().join("i.yaml"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .expect("a pipe");
        let snapshot = read(&Sources::one(root.path()), 100).expect("readable");
        assert_eq!(paths(&snapshot), ["a/c.YML", "a/d.json", "b.yaml"]);
        assert!(snapshot.unreadable.is_empty(), "{:?}", snapshot.unreadable);
    }

    #[test]
    fn links_are_followed_within_the_root_only() {
        let (root, outside) = (
            tempfile::tempdir().expect("a directory"),
            tempfile::tempdir().expect("a directory"),
        );
        fs::write(outside.path().join("x.yaml"), "x").expect("a file");
        fs::write(root.path().join("a.yaml"), "x").expect("a file");
        symlink(outside.path().join("x.yaml"), root.path().join("b.yaml")).expect("a link");
        symlink(outside.path(), root.path().join("out")).expect("a link");
        symlink("a.yaml", root.path().join("c.yaml")).expect("a link");
        symlink(".", root.path().join("loop")).expect("a link");
        symlink("nowhere", root.path().join("d.yaml")).expect("a link");
        assert_eq!(
            paths(&read(&Sources::one(root.path()), 100).expect("readable")),
            ["a.yaml", "c.yaml"]
        );
        // The root itself may be a link.
        let link = outside.path().join("link");
        symlink(root.path(), &link).expect("a link");
        assert_eq!(
            paths(&read(&Sources::one(&link), 100).expect("readable")),
            ["a.yaml", "c.yaml"]
        );
    }

    #[test]
    fn a_text_of_windows_is_told_by_its_mark() {
        assert_eq!(utf_16(&[0xff, 0xfe, b't', 0, b'y', 0]).as_deref(), Some("ty"));
        assert_eq!(utf_16(&[0xfe, 0xff, 0, b't']).as_deref(), Some("t"));
        assert_eq!(utf_16(b"type: Mesh"), None);
        assert_eq!(utf_16(&[0xff]), None);
    }

    #[test]
    fn what_cannot_be_read_is_said_and_not_hidden() {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("large.yaml"), "x".repeat(101)).expect("a file");
        fs::write(root.path().join("latin.yaml"), b"a: 1\nb: \xe9\n").expect("a file");
        let reasons: Vec<_> = read(&Sources::one(root.path()), 100)
            .expect("readable")
            .unreadable
            .into_iter()
            .map(|u| u.reason)
            .collect();
        let expected = [
            UnreadableReason::TooLarge { size: 101, limit: 100 },
            UnreadableReason::NotUtf8 { offset: 8, line: 2 },
        ];
        assert_eq!(reasons, expected);
    }

    #[test]
    fn a_single_file_is_a_source_too() {
        let root = tempfile::tempdir().expect("a directory");
        let file = root.path().join("all.txt");
        fs::write(&file, "x").expect("a file");
        assert_eq!(paths(&read(&Sources::one(&file), 100).expect("readable")), ["all.txt"]);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = read(&Sources::one("/no/such/directory"), 100)
            .expect_err("missing")
            .to_string();
        assert!(
            error.contains("/no/such/directory") && error.contains("--policies"),
            "{error}"
        );
    }
}
