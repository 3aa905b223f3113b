//! Directories below the output directory, held open, so that no link that another process puts in the way leads out.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, Dir as Entries, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid};
use rustix::io::{Errno, retry_on_intr};

use crate::apply::error::{ApplyError, Result};

/// The mode, the owner and the group of something that is published.
#[derive(Debug, Clone, Copy)]
pub(in crate::apply) struct Access {
    pub(in crate::apply) mode: u32,
    pub(in crate::apply) owner: Option<u32>,
    pub(in crate::apply) group: Option<u32>,
}

impl Access {
    fn give(self, file: &OwnedFd, path: &Path) -> Result<()> {
        let (owner, group) = (self.owner.map(Uid::from_raw), self.group.map(Gid::from_raw));
        if owner.is_some() || group.is_some() {
            // Before the mode: a change of owner clears some of its bits.
            retry_on_intr(|| fs::fchown(file, owner, group))
                .map_err(|e| ApplyError::new("change the owner or group of", path, e))?;
        }
        retry_on_intr(|| fs::fchmod(file, Mode::from_raw_mode(self.mode)))
            .map_err(|e| ApplyError::new("change the mode of", path, e))
    }

    fn owns(self, stat: &Stat) -> bool {
        self.owner.is_none_or(|owner| owner == stat.st_uid) && self.group.is_none_or(|group| group == stat.st_gid)
    }

    fn is_of_file(self, stat: &Stat) -> bool {
        self.owns(stat) && stat.st_mode & 0o7777 == self.mode
    }
}

/// The version of a file, as far as its metadata tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::apply) struct Stamp {
    inode: u64,
    size: i64,
    modified: (i64, u64),
    changed: (i64, u64),
}

/// The content found at the place of a file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::apply) enum Content {
    Missing,
    Text(String),
    /// A file that is not UTF-8 text.
    Binary,
    /// Something that is not a regular file.
    Other,
}

/// The name of a copy beside a file, before it takes the place of that.
fn copy_name(name: &str) -> String {
    format!(".{name}.meshtraced")
}

/// A directory that is held open.
#[derive(Debug)]
pub(in crate::apply) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// The output directory, which may be reached through links.
    pub(in crate::apply) fn open(path: &Path) -> Result<Option<Self>> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        match retry_on_intr(|| fs::openat(CWD, path, flags, Mode::empty())) {
            Ok(fd) => Ok(Some(Self {
                fd,
                path: path.to_owned(),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(ApplyError::new("open", path, error)),
        }
    }

    /// The output directory, made if it is not there.
    pub(in crate::apply) fn make(path: &Path, access: Access) -> Result<Self> {
        if let Some(dir) = Self::open(path)? {
            return Ok(dir);
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        let name = path.file_name().unwrap_or_default();
        // Parents belong to the machine: they come with its usual modes.
        std::fs::create_dir_all(parent).map_err(|e| ApplyError::new("create", parent, e))?;
        let parent = Self::open(parent)?.ok_or_else(|| ApplyError::new("open", parent, Errno::NOENT))?;
        parent.make_child(&name.to_string_lossy(), access)
    }

    pub(in crate::apply) fn path(&self) -> &Path {
        &self.path
    }

    fn at(&self, name: &str) -> PathBuf {
        match name {
            "." => self.path.clone(),
            name => self.path.join(name),
        }
    }

    /// The directory with a name; a link is an error.
    pub(in crate::apply) fn child(&self, name: &str) -> Result<Option<Self>> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match retry_on_intr(|| fs::openat(&self.fd, name, flags, Mode::empty())) {
            Ok(fd) => Ok(Some(Self {
                fd,
                path: self.at(name),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(_) if self.kind(name) == Some(FileType::Symlink) => Err(ApplyError::Link { path: self.at(name) }),
            Err(error) => Err(ApplyError::new("open", &self.at(name), error)),
        }
    }

    /// The directory at a path, no part of which may be a link.
    pub(in crate::apply) fn below(&self, path: &str) -> Result<Option<Self>> {
        let mut dir = None;
        for part in path.split('/') {
            match dir.as_ref().unwrap_or(self).child(part)? {
                Some(next) => dir = Some(next),
                None => return Ok(None),
            }
        }
        Ok(dir)
    }

    /// The directory with a name, made if it is not there. A directory that is there keeps its mode.
    pub(in crate::apply) fn make_child(&self, name: &str, access: Access) -> Result<Self> {
        if let Some(dir) = self.child(name)? {
            return Ok(dir);
        }
        match retry_on_intr(|| fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o700))) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(ApplyError::new("create", &self.at(name), error)),
        }
        let dir = self
            .child(name)?
            .ok_or_else(|| ApplyError::new("open", &self.at(name), Errno::NOENT))?;
        access.give(&dir.fd, &dir.path)?;
        Ok(dir)
    }

    fn kind(&self, name: &str) -> Option<FileType> {
        self.stat(name).ok()?.map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    fn stat(&self, name: &str) -> Result<Option<Stat>> {
        match retry_on_intr(|| fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(ApplyError::new("look at", &self.at(name), error)),
        }
    }

    pub(in crate::apply) fn exists(&self, name: &str) -> Result<bool> {
        Ok(self.stat(name)?.is_some())
    }

    pub(in crate::apply) fn is_socket(&self, name: &str) -> bool {
        self.kind(name) == Some(FileType::Socket)
    }

    /// The version of the file with a name, if it is there.
    pub(in crate::apply) fn stamp(&self, name: &str) -> Result<Option<Stamp>> {
        let stamp = |stat: Stat| Stamp {
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        };
        Ok(self.stat(name)?.map(stamp))
    }

    /// The device and inode numbers of the entry with a name.
    pub(in crate::apply) fn identity(&self, name: &str) -> Option<(u64, u64)> {
        self.stat(name).ok()?.map(|stat| (stat.st_dev, stat.st_ino))
    }

    pub(in crate::apply) fn read(&self, name: &str) -> Result<Content> {
        // Whatever the entry is, opening it must not wait or lead elsewhere.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = match retry_on_intr(|| fs::openat(&self.fd, name, flags, Mode::empty())) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(Content::Missing),
            Err(Errno::LOOP | Errno::NXIO) => return Ok(Content::Other),
            Err(error) => return Err(ApplyError::new("open", &self.at(name), error)),
        };
        let failed = |error: io::Error| ApplyError::new("read", &self.at(name), error);
        if !file.metadata().map_err(failed)?.is_file() {
            return Ok(Content::Other);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        Ok(String::from_utf8(bytes).map_or(Content::Binary, Content::Text))
    }

    /// A new file with its final mode and owner.
    pub(in crate::apply) fn create(&self, name: &str, text: &str, access: Access) -> Result<File> {
        let failed = |error: io::Error| ApplyError::new("write", &self.at(name), error);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o600)));
        let fd = fd.map_err(|e| failed(e.into()))?;
        access.give(&fd, &self.at(name))?;
        let mut file = File::from(fd);
        file.write_all(text.as_bytes()).map_err(failed)?;
        Ok(file)
    }

    /// A new file with its final mode and owner, which is on disk when this returns.
    ///
    /// When the sync fails the file is removed again: a second sync would report success for pages
    /// that are lost.
    pub(in crate::apply) fn create_durable(&self, name: &str, text: &str, access: Access) -> Result<()> {
        let durable = self.create(name, text, access).and_then(|file| {
            let synced = retry_on_intr(|| fs::fsync(&file));
            synced.map_err(|e| ApplyError::new("sync", &self.at(name), e))
        });
        if durable.is_err() {
            // The first failure says more than one of tidying up.
            let _ = self.remove(name);
        }
        durable
    }

    /// Replaces a file of this directory, by way of another: until the new text is on disk, the old one is there in full. The name
    /// is durable after a sync.
    pub(in crate::apply) fn replace(&self, name: &str, text: &str, access: Access, staging: &Self) -> Result<()> {
        staging.remove(name)?;
        staging.create_durable(name, text, access)?;
        let moved = staging.move_to(name, self, name, true);
        if moved.is_err() {
            // The first failure says more than one of tidying up.
            let _ = staging.remove(name);
        }
        moved
    }

    /// A file to lock, opened, and made if it is not there.
    pub(in crate::apply) fn open_or_create(&self, name: &str, access: Access) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| fs::openat(&self.fd, name, flags, Mode::from_raw_mode(access.mode)));
        fd.map(File::from)
            .map_err(|e| ApplyError::new("open", &self.at(name), e))
    }

    /// Moves a file of this directory to a name in another, over the file there or only if there is none.
    pub(in crate::apply) fn move_to(&self, name: &str, to: &Self, new_name: &str, over: bool) -> Result<()> {
        let plain = || retry_on_intr(|| fs::renameat(&self.fd, name, &to.fd, new_name));
        let moved = if over {
            plain()
        } else {
            match retry_on_intr(|| fs::renameat_with(&self.fd, name, &to.fd, new_name, RenameFlags::NOREPLACE)) {
                Err(Errno::EXIST) => return Err(ApplyError::Foreign { path: to.at(new_name) }),
                // Not every file system can move without replacing.
                Err(Errno::INVAL | Errno::NOSYS) => plain(),
                moved => moved,
            }
        };
        match moved {
            Err(Errno::BUSY) => Err(ApplyError::Mounted { path: to.at(new_name) }),
            Err(Errno::XDEV) => self.copy_to(name, to, new_name, over),
            moved => moved.map_err(|e| ApplyError::new("replace", &to.at(new_name), e)),
        }
    }

    /// Moves a file to another file system: by a copy there, which is on disk before it has its name.
    fn copy_to(&self, name: &str, to: &Self, new_name: &str, over: bool) -> Result<()> {
        let changed = || ApplyError::new("read", &self.at(name), Errno::NOENT);
        let (Content::Text(text), Some(stat)) = (self.read(name)?, self.stat(name)?) else {
            return Err(changed());
        };
        let access = Access {
            mode: stat.st_mode & 0o7777,
            owner: Some(stat.st_uid),
            group: Some(stat.st_gid),
        };
        let copy = copy_name(new_name);
        to.remove(&copy)?;
        to.create_durable(&copy, &text, access)?;
        let moved = to.move_to(&copy, to, new_name, over);
        if moved.is_err() {
            // The first failure says more than one of tidying up.
            let _ = to.remove(&copy);
        }
        moved?;
        to.sync()?;
        self.remove(name)
    }

    /// Removes the copy that a killed process may have left beside a file.
    pub(in crate::apply) fn remove_copy(&self, name: &str) -> Result<()> {
        self.remove(&copy_name(name))
    }

    /// Gives a file of this directory a second name in another.
    pub(in crate::apply) fn link_to(&self, name: &str, to: &Self, new_name: &str) -> Result<()> {
        retry_on_intr(|| fs::linkat(&self.fd, name, &to.fd, new_name, AtFlags::empty()))
            .map_err(|e| ApplyError::new("link", &to.at(new_name), e))
    }

    /// Removes a file, or a link, if it is there.
    pub(in crate::apply) fn remove(&self, name: &str) -> Result<()> {
        match retry_on_intr(|| fs::unlinkat(&self.fd, name, AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::BUSY) => Err(ApplyError::Mounted { path: self.at(name) }),
            Err(error) => Err(ApplyError::new("remove", &self.at(name), error)),
        }
    }

    /// Removes a directory if it is there and empty.
    pub(in crate::apply) fn remove_empty(&self, name: &str) -> Result<()> {
        match retry_on_intr(|| fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::BUSY) => Ok(()),
            Err(error) => Err(ApplyError::new("remove", &self.at(name), error)),
        }
    }

    /// Removes every file in the directory.
    pub(in crate::apply) fn empty(&self) -> Result<()> {
        for name in self.names()? {
            self.remove(&name)?;
        }
        Ok(())
    }

    /// The names of all entries of the directory.
    pub(in crate::apply) fn names(&self) -> Result<Vec<String>> {
        let failed = |error: Errno| ApplyError::new("list", &self.path, error);
        let mut names = Vec::new();
        for entry in Entries::read_from(&self.fd).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// A hash of files with their names and texts, whatever their order; `None` when one of them is no text.
    pub(in crate::apply) fn seal(&self, names: impl IntoIterator<Item = String>) -> Result<Option<String>> {
        let mut hasher = blake3::Hasher::new();
        for name in names.into_iter().collect::<BTreeSet<_>>() {
            let Content::Text(text) = self.read(&name)? else {
                return Ok(None);
            };
            for part in [name, text] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
        Ok(Some(hasher.finalize().to_hex().to_string()))
    }

    /// Gives a regular file its mode and owner; `true` if they were others.
    pub(in crate::apply) fn restore_file_permissions(&self, name: &str, access: Access) -> Result<bool> {
        match self.stat(name)? {
            Some(stat) if FileType::from_raw_mode(stat.st_mode).is_file() && !access.is_of_file(&stat) => {}
            _ => return Ok(false),
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| fs::openat(&self.fd, name, flags, Mode::empty()));
        let fd = fd.map_err(|e| ApplyError::new("open", &self.at(name), e))?;
        access.give(&fd, &self.at(name))?;
        Ok(true)
    }

    /// Gives this directory its owner and the permissions that it lacks; `true` if it lacked something.
    pub(in crate::apply) fn restore_permissions(&self, access: Access) -> Result<bool> {
        let stat = fs::fstat(&self.fd).map_err(|e| ApplyError::new("look at", &self.path, e))?;
        let mode = stat.st_mode & 0o7777;
        let is_right = access.owns(&stat) && mode & access.mode == access.mode;
        if !is_right {
            // Further permissions may be an operator's wish.
            Access {
                mode: mode | access.mode,
                ..access
            }
            .give(&self.fd, &self.path)?;
        }
        Ok(!is_right)
    }

    /// Returns when all of the file system is on disk.
    pub(in crate::apply) fn sync_all(&self) -> Result<()> {
        retry_on_intr(|| fs::syncfs(&self.fd)).map_err(|e| ApplyError::new("sync", &self.path, e))
    }

    /// Returns when the names in this directory are on disk.
    pub(in crate::apply) fn sync(&self) -> Result<()> {
        match retry_on_intr(|| fs::fsync(&self.fd)) {
            // Some file systems cannot sync directories.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(ApplyError::new("sync", &self.path, error)),
        }
    }
}
