//! A directory on a full disk.
//!
//! In its own mount namespace, a command sees a small file system in place of the directory, with the same
//! content and no free space. Other processes do not see the file system.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};

use tempfile::TempDir;

use super::mounts::{self, needs};
use super::process::Process;
use super::wait;

/// Arguments: where to put the file system, the directory, a file that says "ready", the room in KiB, how to end,
/// where to copy what is left, and the command.
const SCRIPT: &str = r#"
set -eu
stage=$1 dir=$2 ready=$3 room=$4 kept=$5; shift 5
mount -t tmpfs -o size=16m,mode=755 full-disk "$stage"
mkdir "$stage/dir"
cp -a "$dir/." "$stage/dir/"
mount --bind "$stage/dir" "$dir"
cd "$(pwd -P)" # by its path, which may lead into the new file system
cat /dev/zero > "$stage/filler" 2>/dev/null || true
truncate -s "-${room}K" "$stage/filler"
: > "$ready"
test -n "$kept" || exec "$@"
status=0
"$@" || status=$?
cp -a "$dir/." "$kept/"
exit $status
"#;

/// A directory with its free space.
pub(crate) struct FullDisk {
    dir: PathBuf,
    room_kib: u32,
}

/// A command that ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The content of the directory at the end of the command.
    pub(crate) kept: TempDir,
}

/// A command that runs on the full disk; killed when dropped.
pub(crate) struct Running {
    pub(crate) process: Process,
    stage: TempDir,
}

impl FullDisk {
    /// `dir` with its content and no free space.
    pub(crate) fn at(dir: &Path) -> Self {
        let dir = fs::canonicalize(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        Self { dir, room_kib: 0 }
    }

    /// Leaves free space in whole pages of 4 KiB, for a disk that fills up half-way.
    pub(crate) fn with_room(mut self, kib: u32) -> Self {
        self.room_kib = kib;
        self
    }

    /// Runs `command` to its end.
    #[track_caller]
    pub(crate) fn run(&self, command: &Command) -> Ended {
        let (stage, kept) = (temporary(), temporary());
        let output = self.wrapped(command, &stage, Some(&kept)).output();
        let Output { status, stdout, stderr } = output.unwrap_or_else(|e| panic!("{}: {e}", needs("unshare")));
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(ready(&stage).exists(), "{}", needs(&stderr));
        Ended {
            status,
            stdout,
            stderr,
            kept,
        }
    }

    /// Starts `command` and returns when the disk is full and the command is about to run; `log` gets the output.
    #[track_caller]
    pub(crate) fn spawn(&self, command: &Command, log: PathBuf) -> Running {
        let stage = temporary();
        let mut process = Process::spawn(self.wrapped(command, &stage, None), log);
        wait::until("the disk is full", || {
            match (ready(&stage).exists(), process.exited()) {
                (true, _) => Ok(()),
                (false, Some(_)) => panic!("{}", needs(&process.log())),
                (false, None) => Err(process.log()),
            }
        });
        Running { process, stage }
    }

    fn wrapped(&self, command: &Command, stage: &TempDir, kept: Option<&TempDir>) -> Command {
        // The file system covers `stage/fs`; `stage` itself stays visible from outside.
        let fs = stage.path().join("fs");
        fs::create_dir(&fs).expect("a new temporary directory is empty");
        let (ready, room) = (ready(stage), self.room_kib.to_string());
        let kept = kept.map_or(Path::new(""), |kept| kept.path());
        let arguments = [
            fs.as_os_str(),
            self.dir.as_os_str(),
            ready.as_os_str(),
            OsStr::new(&room),
            kept.as_os_str(),
        ];
        mounts::inside(SCRIPT, &arguments, command)
    }
}

impl Running {
    /// Frees space on the disk.
    #[track_caller]
    pub(crate) fn free(&self) {
        let filler = self.inside(&self.stage.path().join("fs/filler"));
        fs::remove_file(&filler).unwrap_or_else(|e| panic!("cannot remove {}: {e}", filler.display()));
    }

    /// The path at which other processes see `path` of the command.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        let path = path.strip_prefix("/").expect("an absolute path");
        Path::new("/proc")
            .join(self.process.id().to_string())
            .join("root")
            .join(path)
    }
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn ready(stage: &TempDir) -> PathBuf {
    stage.path().join("ready")
}
