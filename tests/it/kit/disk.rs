//! A disk whose power can be cut: a file system in a file, copied before all data is written.
//!
//! The options are the strictest of ext4: nothing is written by itself for minutes, and names are written without
//! content.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// The mount options of ext4, without its protection of careless programs.
const OPTIONS: &str = "loop,data=writeback,noauto_da_alloc,commit=300,noatime";

/// A mounted file system; unmounted when dropped.
pub(crate) struct Disk {
    dir: TempDir,
}

/// The content of the disk after a power cut.
pub(crate) struct Remains {
    image: PathBuf,
    /// The name of the cut.
    pub(crate) what: &'static str,
}

impl Disk {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let disk = Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        };
        let image = disk.image();
        let file = File::create(&image).expect("a file");
        file.set_len(32 << 20).expect("a sparse file");
        run(Command::new("mkfs.ext4").arg("-q").arg(&image));
        fs::create_dir(disk.path()).expect("a directory");
        disk.mount();
        disk
    }

    /// The mount point.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    #[track_caller]
    fn mount(&self) {
        run(Command::new("mount")
            .args(["-o", OPTIONS])
            .arg(self.image())
            .arg(self.path()));
    }

    #[track_caller]
    fn unmount(&self) {
        run(Command::new("umount").arg(self.path()));
    }

    /// Writes all pending data.
    pub(crate) fn sync(&self) {
        let root = File::open(self.path()).expect("it is mounted");
        rustix::fs::syncfs(root).expect("it can be written");
    }

    /// Cuts the power in two ways: only synced data is on the disk, or also every name, without content.
    #[track_caller]
    pub(crate) fn cut(&self) -> [Remains; 2] {
        let nothing = self.copy("nothing more is written");
        // The journal has one transaction for the names of all programs.
        let file = File::create(self.path().join("of-somebody-else")).expect("a file");
        file.sync_all().expect("it can be written");
        [nothing, self.copy("names are written")]
    }

    #[track_caller]
    fn copy(&self, what: &'static str) -> Remains {
        let image = self.dir.path().join(what);
        run(Command::new("cp").arg("--sparse=always").arg(self.image()).arg(&image));
        Remains { image, what }
    }

    /// Mounts the remains again.
    #[track_caller]
    pub(crate) fn boot(&self, remains: Remains) {
        self.unmount();
        fs::rename(remains.image, self.image()).expect("both are here");
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The disk may not be mounted.
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let ended = command.output();
    let needs = "The test needs root, a loop device, and mkfs.ext4 (Debian: apt-get install e2fsprogs)";
    let output = ended.unwrap_or_else(|e| panic!("{command:?}: {e}\n{needs}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}\n{needs}");
}
