//! Running a program as a user who may nothing, so that permission errors are real.
//!
//! Root is refused nothing. When the tests are root, the program is copied to where everybody can execute it and
//! started as `nobody`; otherwise it runs as whoever runs the tests.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// User and group `nobody`.
const NOBODY: u32 = 65534;

/// A program to be run without privileges, and a directory it may write to.
pub(crate) struct Unprivileged {
    program: PathBuf,
    dir: PathBuf,
    root: bool,
    _temporary: TempDir,
}

impl Unprivileged {
    pub(crate) fn new(program: &Path) -> Self {
        let root = rustix::process::geteuid().is_root();
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let dir = temporary.path().join("home");
        fs::create_dir(&dir).expect("a new temporary directory is empty");
        let mut this = Self {
            program: program.to_owned(),
            dir,
            root,
            _temporary: temporary,
        };
        if root {
            open_to_all(this._temporary.path(), 0o755);
            assert_reachable(this._temporary.path());
            this.program = this
                ._temporary
                .path()
                .join(program.file_name().expect("the name of a program"));
            copy(program, &this.program);
            open_to_all(&this.program, 0o755);
            this.give(&this.dir);
        }
        this
    }

    /// A directory that belongs to the user.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes `path` the user's.
    #[track_caller]
    pub(crate) fn give(&self, path: &Path) {
        if self.root {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap_or_else(|e| panic!("chown {}: {e}", path.display()));
        }
    }

    /// The program, to be started in the user's directory.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.dir).env("HOME", &self.dir);
        if self.root {
            command.uid(NOBODY).gid(NOBODY); // which also leaves all supplementary groups
        }
        command
    }
}

/// By another process: were the file open for writing here while another test starts a child, that child would hold
/// it open for a moment too, and the copy could not be executed ("text file busy").
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .arg(from)
        .arg(to)
        .status()
        .expect("cp can be started");
    assert!(status.success(), "cannot copy {} to {}", from.display(), to.display());
}

fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

fn assert_reachable(dir: &Path) {
    for ancestor in dir.ancestors() {
        let mode = fs::metadata(ancestor)
            .unwrap_or_else(|e| panic!("{}: {e}", ancestor.display()))
            .mode();
        assert!(
            mode & 0o001 != 0,
            "an unprivileged user cannot enter {}: set TMPDIR to a directory that everybody can enter",
            ancestor.display()
        );
    }
}
