//! Who may publish to a directory: one process at a time.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::dir::Dir;
use super::output::{LOCK, OutputDir, STAGING};
use crate::apply::error::{ApplyError, Result};

/// The right to publish to a directory, held until it is dropped, or its process ends in any way.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Whether the directory is still the one that was locked: somebody may have removed or replaced it.
    #[must_use]
    pub fn is_of(&self, out: &OutputDir) -> bool {
        held(out, self).is_ok()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone is not enough: a child that was forked and has not called `exec` yet holds the file too.
        // When this fails the closing of the last copy still does it.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// Takes the right to publish, and removes what a killed run left on its way.
///
/// # Errors
/// When another process has it, or the directory cannot be made.
pub(in crate::apply) fn lock(out: &OutputDir) -> Result<Lock> {
    let meta = out.make_meta()?;
    let mut file = meta.open_or_create(LOCK, out.file())?;
    let failed = |error: Errno| ApplyError::new("lock", &meta.path().join(LOCK), error);
    match rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let directory = out.root.clone();
            let holder = holder(&mut file);
            return Err(ApplyError::Locked { directory, holder });
        }
        Err(error) => return Err(failed(error)),
    }
    // It only tells others; a disk that is full must not keep files from being removed.
    let told = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = told {
        tracing::debug!("cannot say in the lock who holds it: {error}");
    }
    meta.make_child(STAGING, out.directory())?.empty()?;
    Ok(Lock { file })
}

/// The process that holds a lock, if it wrote that in full.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.strip_suffix('\n')?.parse().ok()
}

/// The directories of a locked target, which must still be those that were locked.
pub(in crate::apply) fn held(out: &OutputDir, lock: &Lock) -> Result<(Dir, Dir)> {
    let replaced = || ApplyError::Replaced {
        directory: out.root.clone(),
    };
    let (root, meta) = out.open()?.ok_or_else(replaced)?;
    let locked = lock
        .file
        .metadata()
        .map_err(|e| ApplyError::new("look at", &meta.path().join(LOCK), e))?;
    if meta.identity(LOCK) == Some((locked.dev(), locked.ino())) {
        Ok((root, meta))
    } else {
        Err(replaced())
    }
}
