//! Output directories on file systems with faults and special properties.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;

use crate::kit::mesh::{Backend, Mesh};
use crate::kit::mounts;

/// Runs once after `script`, in whose words `$1` is the output directory and `$2` one for what it wants to keep.
#[track_caller]
fn run(mesh: &Mesh, script: &str) -> (Option<i32>, String, TempDir) {
    let kept = tempfile::tempdir().expect("a temporary directory");
    let out = fs::canonicalize(out(mesh)).expect("published");
    let script = format!("set -eu; {script}");
    let arguments = [out.as_os_str(), kept.path().as_os_str(), OsStr::new("")];
    let mut command = mounts::inside(&script, &arguments, &mesh.meshtraced(&["run", "--once"]));
    let Output { status, stderr, .. } = command
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", mounts::needs("unshare")));
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(
        !said.contains("panicked") && !said.contains("mount: "),
        "{}",
        mounts::needs(&said)
    );
    (status.code(), said, kept)
}

fn mesh() -> Mesh {
    let mesh = Mesh::builder().backends(&[backend("one", 1)]).start();
    mesh.publish();
    mesh
}

fn backend(name: &str, host: u8) -> Backend {
    Backend::zipkin(name, ([127, 0, 0, host], 9411).into())
}

fn out(mesh: &Mesh) -> PathBuf {
    mesh.published("web-01").join("../..")
}

/// The published files and their texts.
fn published(out: &Path) -> Vec<(PathBuf, String)> {
    let entries = walkdir::WalkDir::new(out.join("default"))
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok);
    let files = entries
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path);
    files
        .map(|path| {
            (
                path.strip_prefix(out).expect("below").to_owned(),
                fs::read_to_string(&path).expect("text"),
            )
        })
        .collect()
}

/// Another collector by another name, so that clusters and listeners change.
fn change(mesh: &Mesh) {
    mesh.send_to(&[backend("two", 2)]);
    mesh.trace_all("two");
}

#[test]
fn a_file_that_is_mounted_by_itself_is_refused() {
    let mesh = mesh();
    change(&mesh);
    let lds = mesh.published("web-01").join("xds/lds.yaml");
    let before = fs::read_to_string(&lds).expect("published");
    let script = r#"lds=$1/default/web-01/xds/lds.yaml; mount --bind "$lds" "$lds"; shift 3; exec "$@""#;
    let (code, said, _) = run(&mesh, script);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("web-01/xds/lds.yaml is a mount point") && said.contains("mount its directory"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&lds).expect("published"), before);
    // What is there starts, and the other proxy is not held up.
    let cds = |dataplane: &str| fs::read_to_string(mesh.published(dataplane).join("xds/cds.yaml")).expect("published");
    assert!(cds("web-01").contains("tracing:one") && !cds("backend-01").contains("tracing:one"));
    mesh.publish();
    assert!(!cds("web-01").contains("tracing:one"));
}

#[test]
fn a_file_system_that_is_read_only_keeps_what_it_has() {
    let mesh = mesh();
    change(&mesh);
    let before = published(&out(&mesh));
    let script = r#"mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; shift 3; cd "$(pwd -P)"; exec "$@""#;
    let (code, said, _) = run(&mesh, script);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(".meshtraced/lock: Read-only file system"), "{said}");
    assert_eq!(published(&out(&mesh)), before);
    mesh.publish();
}

#[test]
fn a_file_system_without_inodes_keeps_what_it_has() {
    let mesh = mesh();
    change(&mesh);
    let before = published(&out(&mesh));
    for free in [0, 1, 3, 7] {
        let script = format!(
            r#"stage=$2/fs; mkdir "$stage"; mount -t tmpfs -o size=16m,mode=755,nr_inodes=200 inodes "$stage"
               cp -a "$1/." "$stage/"; mount --bind "$stage" "$1"; cd "$(pwd -P)"
               n=0; while touch "$stage/filler-$n" 2>/dev/null; do n=$((n+1)); done
               for i in $(seq {free}); do rm "$stage/filler-$((n-i))"; done
               mkdir "$2/kept"; kept=$2/kept out=$1; shift 3
               status=0; "$@" || status=$?; cp -a "$out/default" "$kept/"; exit $status"#
        );
        let (code, said, kept) = run(&mesh, &script);
        assert_eq!(code, Some(2), "with {free}: {said}");
        assert!(
            said.contains("no space left in") || said.contains("No space left on device"),
            "with {free}: {said}"
        );
        assert_eq!(published(&kept.path().join("kept")), before, "with {free}");
    }
    mesh.publish();
}
