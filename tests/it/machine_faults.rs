//! Faults of the machine: missing permissions, full disks, files of others, two daemons.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::kit::full_disk::FullDisk;
use crate::kit::mesh::{Backend, Mesh, published_files};
use crate::kit::program::{POLICIES, good, meshtraced, said};
use crate::kit::unprivileged::Unprivileged;

#[test]
fn a_directory_that_is_not_there() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for command in [&["run", "--once"][..], &["diff"], &["check"], &["compile"]] {
        let (code, message) = said(&meshtraced(dir.path(), command));
        assert_eq!(code, Some(2), "{message}");
        assert_eq!(
            message,
            "error: there is no policies: name the directory of the policies with `--policies DIR`\n"
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
    let mesh = Mesh::start();
    mesh.publish();
    let out = mesh.published("web-01").join("../..");
    let before = published_files(&out);
    mesh.send_to(&[Backend::nowhere(9)]);
    for room in [0, 4, 8, 16] {
        let ended = FullDisk::at(&out)
            .with_room(room)
            .run(&mesh.meshtraced(&["run", "--once"]));
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("no space left in") && ended.stderr.contains("bytes are needed"),
            "{}",
            ended.stderr
        );
        assert_eq!(published_files(ended.kept.path()), before, "with room for {room} KiB");
    }
    // With room, the next run does what this one could not.
    mesh.publish();
    assert_ne!(published_files(&out), before);
}

#[test]
fn two_daemons_do_not_write_to_one_directory() {
    let mesh = Mesh::start();
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
    let mesh = Mesh::start();
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
    let mesh = Mesh::start();
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
    let mesh = Mesh::start();
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
    mesh.send_to(&[Backend::nowhere(9)]);
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
