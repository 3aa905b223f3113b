//! Input that is hostile, and machines that refuse: each with what people see.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::kit::full_disk::FullDisk;
use crate::kit::unprivileged::Unprivileged;
use crate::mesh::{Mesh, zipkin_backend};

const POLICIES: &str = "type: Mesh
name: default
tracing:
  defaultBackend: z
  backends:
  - {name: z, type: zipkin, conf: {url: 'http://127.0.0.1:9411/api/v2/spans'}}
---
type: TrafficTrace
mesh: default
name: trace-all
selectors:
- match: {kuma.io/service: '*'}
---
type: Dataplane
mesh: default
name: web-01
networking:
  address: 10.0.0.1
  inbound:
  - {port: 8080, tags: {kuma.io/service: web, kuma.io/protocol: http}}
";

/// A temporary directory with good policies in `policies`.
fn good() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(dir.path().join("policies")).expect("a directory");
    fs::write(dir.path().join("policies/all.yaml"), POLICIES).expect("a file");
    dir
}

fn meshtraced(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
    command
        .current_dir(dir)
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// A mesh whose collector nobody needs.
fn mesh() -> Mesh {
    Mesh::new(&backend(1), "http")
}

/// A collector at 127.0.0.`host`.
fn backend(host: u8) -> String {
    zipkin_backend("first", ([127, 0, 0, host], 9411).into())
}

/// Exit code and standard error.
#[track_caller]
fn said(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8(output.stderr.clone()).expect("messages are UTF-8");
    assert!(!text.contains("panicked"), "{text}");
    (output.status.code(), text)
}

/// Checks that an extra file of that text beside good policies ends with a message that has all these parts.
#[track_caller]
fn check_file(text: &[u8], parts: &[&str]) {
    let dir = good();
    fs::write(dir.path().join("policies/zz.yaml"), text).expect("a file");
    let (code, message) = said(&meshtraced(dir.path(), &["run", "--once"]));
    assert_eq!(code, Some(1), "{message}");
    for part in parts.iter().chain(&["policies/zz.yaml", "nothing was written"]) {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    assert!(!dir.path().join("envoy/default").exists(), "something was published");
}

#[test]
fn sixty_thousand_brackets() {
    let text = format!("type: Mesh\nname: {}", "[".repeat(60_000));
    check_file(text.as_bytes(), &["error[limit-exceeded]", "deep"]);
}

#[test]
fn an_alias_bomb() {
    let mut text = "type: Mesh\nname: bomb\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
    }
    check_file(text.as_bytes(), &["error[limit-exceeded]", "aliases"]);
}

#[test]
fn a_hundred_megabytes() {
    let mut text = b"type: Mesh\nname: big\n".to_vec();
    text.resize(100 << 20, b'#');
    check_file(&text, &["error[unreadable-file]", "104857600 bytes", "limit"]);
}

#[test]
fn a_file_that_is_no_text() {
    let mut text = b"type: Mesh\nname: x\n".to_vec();
    text.extend((0..=255).cycle().take(4096));
    check_file(&text, &["error[unreadable-file]", "not UTF-8"]);
}

#[test]
fn a_directory_that_is_not_there() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for command in [&["run", "--once"][..], &["diff"], &["check"], &["compile"]] {
        let (code, message) = said(&meshtraced(dir.path(), command));
        assert_eq!(code, Some(2), "{message}");
        assert_eq!(
            message,
            "error: there is no policies: name the directory with the policies by `--policies DIR`\n"
        );
    }
    assert!(!dir.path().join("envoy/default").exists());
}

#[test]
fn a_file_that_may_not_be_read() {
    let user = Unprivileged::new(Path::new(env!("CARGO_BIN_EXE_meshtraced")));
    let policies = user.dir().join("policies");
    fs::create_dir(&policies).expect("a directory");
    fs::write(policies.join("all.yaml"), POLICIES).expect("a file");
    fs::write(policies.join("secret.yaml"), POLICIES).expect("a file");
    fs::set_permissions(policies.join("secret.yaml"), Permissions::from_mode(0o0)).expect("a mode");
    let (code, message) = said(
        &user
            .command()
            .args(["run", "--once"])
            .output()
            .expect("the program starts"),
    );
    assert_eq!(code, Some(1), "{message}");
    for part in [
        "error[unreadable-file]",
        "Permission denied",
        "policies/secret.yaml",
        "nothing was written",
    ] {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

#[test]
fn an_output_directory_that_may_not_be_written() {
    let user = Unprivileged::new(Path::new(env!("CARGO_BIN_EXE_meshtraced")));
    fs::create_dir(user.dir().join("policies")).expect("a directory");
    fs::write(user.dir().join("policies/all.yaml"), POLICIES).expect("a file");
    let out = user.dir().join("envoy");
    fs::create_dir(&out).expect("a directory");
    user.give(&out);
    fs::set_permissions(&out, Permissions::from_mode(0o555)).expect("a mode");
    let (code, message) = said(
        &user
            .command()
            .args(["run", "--once"])
            .output()
            .expect("the program starts"),
    );
    assert_eq!(code, Some(2), "{message}");
    assert!(
        message.contains("may not create") && message.contains("envoy/.meshtraced") && message.contains("user "),
        "{message}"
    );
}

#[test]
fn a_full_disk_changes_nothing_and_says_how_much_is_needed() {
    let mesh = mesh();
    mesh.publish();
    let out = mesh.published("web-01").join("../..");
    let before = tree(&out);
    mesh.send_to(&backend(9));
    for room in [0, 4, 8, 16] {
        let ended = FullDisk::at(&out)
            .with_room(room)
            .run(&mesh.meshtraced(&["run", "--once"]));
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("no room in") && ended.stderr.contains("bytes are needed"),
            "{}",
            ended.stderr
        );
        assert_eq!(tree(ended.kept.path()), before, "with room for {room} KiB");
    }
    // With room, the next run does what this one could not.
    mesh.publish();
    assert_ne!(tree(&out), before);
}

/// The published files and their texts.
fn tree(root: &Path) -> Vec<(PathBuf, String)> {
    let entries = walkdir::WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok);
    let files = entries.filter(|entry| {
        entry.file_type().is_file() && !entry.path().components().any(|c| c.as_os_str() == ".meshtraced")
    });
    files
        .map(|entry| {
            let path = entry.path().strip_prefix(root).expect("below the root").to_owned();
            (path, fs::read_to_string(entry.path()).expect("text"))
        })
        .collect()
}

#[test]
fn two_daemons_do_not_write_to_one_directory() {
    let mesh = mesh();
    let daemon = mesh.daemon();
    crate::kit::wait::until("the daemon publishes", || {
        mesh.published("web-01")
            .join("effective.yaml")
            .exists()
            .then_some(())
            .ok_or_else(|| daemon.log())
    });
    let (code, message) = mesh.run_once();
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("another meshtraced (process "), "{message}");
    let (code, message) = said(&mesh.meshtraced(&["diff"]).output().expect("the program starts"));
    assert_eq!(code, Some(0), "looking is always allowed: {message}");
}

#[test]
fn files_of_others_stay_and_files_of_gone_dataplanes_go() {
    let mesh = mesh();
    mesh.publish();
    let [web, backend] = ["web-01", "backend-01"].map(|dataplane| mesh.published(dataplane));
    fs::write(web.join("notes.txt"), "mine").expect("a file");
    for gone in ["backend.yaml", "web.yaml"] {
        mesh.write(gone, "# gone\n");
        let (code, message) = mesh.run_once();
        assert_eq!(code, Some(0), "{message}");
    }
    assert!(!backend.exists(), "an empty directory stayed");
    let left: Vec<_> = fs::read_dir(&web)
        .expect("it has a file of somebody")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["notes.txt"]);
}

#[test]
fn a_file_of_somebody_in_the_way_is_not_overwritten() {
    let mesh = mesh();
    let in_the_way = mesh.published("web-01").join("bootstrap.yaml");
    fs::create_dir_all(in_the_way.parent().expect("a directory")).expect("a directory");
    fs::write(&in_the_way, "mine").expect("a file");
    let (code, message) = mesh.run_once();
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("bootstrap.yaml is not meshtraced's file"), "{message}");
    assert_eq!(fs::read_to_string(&in_the_way).expect("still there"), "mine");
    assert!(
        mesh.published("backend-01").join("bootstrap.yaml").exists(),
        "the other proxy is published"
    );
}

#[test]
fn equal_bytes_are_not_rewritten_and_modes_are_right() {
    use std::os::unix::fs::MetadataExt;
    let mesh = mesh();
    mesh.publish();
    let files = [
        "bootstrap.yaml",
        "xds/cds.yaml",
        "xds/lds.yaml",
        "fragment.yaml",
        "effective.yaml",
    ];
    let state = || {
        files.map(|file| {
            let metadata = fs::metadata(mesh.published("web-01").join(file)).expect("published");
            (metadata.ino(), metadata.mtime_nsec(), metadata.mode() & 0o7777)
        })
    };
    let before = state();
    assert!(before.iter().all(|(_, _, mode)| *mode == 0o640), "{before:?}");
    mesh.publish();
    assert_eq!(state(), before);
    // Another collector changes clusters and listeners, and nothing else that Envoy reads.
    mesh.send_to(&backend(9));
    mesh.publish();
    let after = state();
    let same: Vec<&str> = files
        .iter()
        .zip(before.iter().zip(&after))
        .filter(|(_, (a, b))| a == b)
        .map(|(file, _)| *file)
        .collect();
    assert_eq!(same, ["bootstrap.yaml"]);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let dir = good();
    let script = format!(
        "{} compile | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_meshtraced")
    );
    let output = Command::new("bash")
        .arg("-c")
        .arg(script)
        .current_dir(dir.path())
        .output()
        .expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_file_that_becomes_empty_holds_what_it_was_about_until_it_goes() {
    let mesh = mesh();
    mesh.publish();
    let before = tree(&mesh.published("web-01"));
    // One that never was anything else is nobody's business.
    mesh.write("other.yaml", "");
    mesh.write("web.yaml", "");
    for _ in 0..2 {
        let (code, message) = mesh.run_once();
        assert_eq!(code, Some(1), "{message}");
        for words in [
            "web.yaml",
            "the file is empty",
            "remove the file",
            "nothing was written for mesh default",
        ] {
            assert!(message.contains(words), "{message}");
        }
        assert!(!message.contains("other.yaml"), "{message}");
        assert_eq!(tree(&mesh.published("web-01")), before);
    }
    fs::remove_file(mesh.dir().join("policies/web.yaml")).expect("ours");
    let (code, message) = mesh.run_once();
    assert_eq!(code, Some(0), "{message}");
    assert!(!mesh.published("web-01").exists(), "the dataplane is gone");
}

#[test]
fn a_file_that_turns_into_garbage_holds_what_it_was_about() {
    let mesh = mesh();
    mesh.publish();
    let before = tree(&mesh.published("web-01"));
    // Nothing in it tells what it was, and the program has ended in between.
    mesh.write("web.yaml", "networking: {address: [\n");
    for _ in 0..2 {
        let (code, message) = mesh.run_once();
        assert_eq!(code, Some(1), "{message}");
        assert!(message.contains("nothing was written for mesh default"), "{message}");
        assert_eq!(tree(&mesh.published("web-01")), before);
    }
    // The same text in a file that never was about anything holds nobody.
    mesh.write("other.yaml", "networking: {address: [\n");
    mesh.write("web.yaml", "# gone\n");
    let (code, message) = mesh.run_once();
    assert_eq!(code, Some(0), "{message}");
    assert!(!mesh.published("web-01").exists(), "the dataplane is gone");
    // Nor does it in the file that was about something once, and could be read since.
    mesh.write("web.yaml", "networking: {address: [\n");
    let (code, message) = mesh.run_once();
    assert_eq!(code, Some(0), "{message}");
}
