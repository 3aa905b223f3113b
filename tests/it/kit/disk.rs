//! A disk whose power can be cut: a file system in a file, copied as it is while programs still have much to write.
//!
//! It is as hard as ext4 gets: nothing goes to the disk by itself for minutes, and names go there without content.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// How ext4 is mounted; what it does for careless programs is off.
const OPTIONS: &str = "loop,data=writeback,noauto_da_alloc,commit=300,noatime";

/// A mounted file system; unmounted when dropped.
pub(crate) struct Disk {
    dir: TempDir,
}

/// What was on the disk when its power was cut.
pub(crate) struct Remains {
    image: PathBuf,
    /// Which cut it was.
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

    /// Where it is mounted.
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

    /// Writes all there is to write.
    pub(crate) fn sync(&self) {
        let root = File::open(self.path()).expect("it is mounted");
        rustix::fs::syncfs(root).expect("it can be written");
    }

    /// Cuts the power in two ways: nothing is written that nobody asked for, and every name is but no content.
    #[track_caller]
    pub(crate) fn cut(&self) -> [Remains; 2] {
        let nothing = self.copy("nothing more is written");
        // The journal has one transaction for everybody's names.
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

    /// Comes back with what remained.
    #[track_caller]
    pub(crate) fn boot(&self, remains: Remains) {
        self.unmount();
        fs::rename(remains.image, self.image()).expect("both are here");
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Where it was never mounted there is nothing to do.
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
