//! Drift of published files, and plans that exceed the guard.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use meshtraced::apply::{self, Frozen, Intent, Session, Target};

use crate::kit::mesh::{Backend, Mesh};
use crate::kit::publish;
use crate::kit::wait;

fn mesh() -> Mesh {
    let mesh = Mesh::start();
    mesh.publish();
    mesh
}

fn target(mesh: &Mesh) -> Target {
    publish::target(&mesh.published("web-01").join("../.."))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file")
}

const EDITED: &str = "warning: default/web-01: xds/lds.yaml was edited by somebody else; it stays until something \
                      else is published there, or `meshtraced heal` restores the file\n";

#[test]
fn an_edited_file_stays_until_something_else_is_published_there() {
    let mesh = mesh();
    let lds = mesh.published("web-01").join("xds/lds.yaml");
    let good = read(&lds);
    write(&lds, "mine");
    for _ in 0..2 {
        assert_eq!(mesh.run_once(), (Some(0), EDITED.to_owned()));
        assert_eq!(read(&lds), "mine");
    }
    // `diff` answers what `run` would do.
    let diff = mesh.meshtraced(&["diff"]).output().expect("the program starts");
    assert_eq!(
        (diff.status.code(), String::from_utf8_lossy(&diff.stderr).into_owned()),
        (Some(0), EDITED.to_owned())
    );
    // Another change beside it leaves it alone.
    let other = mesh
        .read("backend.yaml")
        .replace("servicePort: 18080", "servicePort: 18081");
    mesh.write("backend.yaml", &other);
    assert_eq!(mesh.run_once(), (Some(0), EDITED.to_owned()));
    assert!(read(&mesh.published("backend-01").join("xds/cds.yaml")).contains("18081"));
    assert_eq!(read(&lds), "mine");
    // Another collector does not.
    mesh.send_to(&[Backend::zipkin("second", ([127, 0, 0, 9], 9411).into())]);
    mesh.trace_all("second");
    let (code, said) = mesh.run_once();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        said,
        "warning: default/web-01: xds/lds.yaml was edited by somebody else; restored\n"
    );
    assert!(read(&lds).contains("second") && read(&lds) != good);
    mesh.publish();
}

#[test]
fn with_healing_an_edited_file_is_published_again() {
    let mesh = mesh();
    let lds = mesh.published("web-01").join("xds/lds.yaml");
    let good = read(&lds);
    write(&lds, "mine");
    let mut command = mesh.meshtraced(&["run", "--once"]);
    let healed = command
        .env("MESHTRACED_DRIFT", "heal")
        .output()
        .expect("the program starts");
    assert_eq!(healed.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&healed.stderr),
        "warning: default/web-01: xds/lds.yaml was edited by somebody else; restored\n"
    );
    assert_eq!(read(&lds), good);
    mesh.publish();
}

#[test]
fn an_edit_that_is_what_the_policies_say_is_nothing_to_tell() {
    let mesh = mesh();
    let cds = mesh.published("web-01").join("xds/cds.yaml");
    let effective = mesh.published("web-01").join("effective.yaml");
    let before = [read(&cds), read(&effective)];
    mesh.send_to(&[Backend::nowhere(9)]);
    mesh.publish();
    let after = [read(&cds), read(&effective)];
    mesh.send_to(&[Backend::nowhere(1)]);
    mesh.publish();
    assert_eq!([read(&cds), read(&effective)], before);
    // Somebody was faster than the commit.
    write(&cds, &after[0]);
    write(&effective, &after[1]);
    mesh.send_to(&[Backend::nowhere(9)]);
    mesh.publish();
    mesh.publish();
    assert_eq!([read(&cds), read(&effective)], after);
}

/// Damages the listeners, and checks that a run restores them with the given message.
#[track_caller]
fn check_restored(harm: impl FnOnce(&PathBuf), said: &str) {
    let mesh = mesh();
    let lds = mesh.published("web-01").join("xds/lds.yaml");
    let good = read(&lds);
    harm(&lds);
    assert_eq!(mesh.run_once(), (Some(0), said.to_owned()));
    assert_eq!(read(&lds), good);
    let metadata = fs::symlink_metadata(&lds).expect("there");
    assert!(metadata.is_file() && metadata.mode() & 0o7777 == 0o640);
    mesh.publish();
}

#[test]
fn what_is_no_file_any_more_comes_back() {
    let gone = "warning: default/web-01: xds/lds.yaml was removed by somebody else; restored\n";
    check_restored(|lds| fs::remove_file(lds).expect("ours"), gone);
    let replaced = "warning: default/web-01: xds/lds.yaml is not a readable file any more; restored\n";
    check_restored(
        |lds| {
            fs::rename(lds, lds.with_extension("mine")).expect("ours");
            symlink(lds.with_extension("mine"), lds).expect("a link");
        },
        replaced,
    );
    // Mode and owner come back without a word.
    check_restored(
        |lds| fs::set_permissions(lds, Permissions::from_mode(0o666)).expect("ours"),
        "",
    );
}

#[test]
fn what_cannot_be_replaced_is_told_and_holds_up_nobody() {
    let mesh = mesh();
    let lds = mesh.published("web-01").join("xds/lds.yaml");
    fs::remove_file(&lds).expect("ours");
    fs::create_dir_all(lds.join("mine")).expect("a directory");
    mesh.send_to(&[Backend::nowhere(9)]);
    let (code, said) = mesh.run_once();
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("web-01: xds/lds.yaml is not a readable file any more"),
        "{said}"
    );
    assert!(
        said.contains("error: default/web-01: cannot replace") && said.contains("xds/lds.yaml"),
        "{said}"
    );
    assert!(read(&mesh.published("backend-01").join("xds/cds.yaml")).contains("127.0.0.9"));
    fs::remove_dir_all(&lds).expect("ours");
    assert_eq!(mesh.run_once().0, Some(0));
    mesh.publish();
}

#[test]
fn a_plan_that_removes_very_much_waits_for_a_word() {
    let mesh = mesh();
    let policies = [mesh.read("web.yaml"), mesh.read("backend.yaml")];
    mesh.write("web.yaml", "# gone\n");
    mesh.write("backend.yaml", "# gone\n");
    let refused = || {
        let (code, said) = mesh.run_once();
        assert_eq!(code, Some(1), "{said}");
        let refusal = said
            .lines()
            .find(|line| line.starts_with("error: this would"))
            .expect("a refusal")
            .to_owned();
        assert!(mesh.published("web-01").join("bootstrap.yaml").exists());
        refusal
    };
    let refusal = refused();
    let said = "error: this would remove 2 of 2 published proxies, all of them; nothing was published. If it is meant, \
                run `meshtraced approve ";
    assert!(refusal.starts_with(said), "{refusal}");
    assert_eq!(refused(), refusal, "it is the same plan");
    let id = refusal
        .strip_prefix(said)
        .expect("looked at above")
        .trim_end_matches('`')
        .to_owned();
    let approve = |approved: &str| {
        let session = Session::open(&target(&mesh)).expect("nobody publishes");
        let approved = Some(approved.to_owned());
        let state = Intent { approved, frozen: None };
        state.write(&target(&mesh).out, session.lock()).expect("written");
    };
    approve("another");
    assert_eq!(refused(), refusal);
    approve(&id);
    let (code, said) = mesh.run_once();
    assert_eq!(code, Some(0), "{said}");
    assert!(!mesh.published("web-01").exists());
    assert_eq!(
        Intent::read(&target(&mesh).out).expect("readable"),
        Intent::default(),
        "a word is for once"
    );
    // The same again needs another word.
    mesh.write("web.yaml", &policies[0]);
    mesh.write("backend.yaml", &policies[1]);
    mesh.publish();
    mesh.write("web.yaml", "# gone\n");
    mesh.write("backend.yaml", "# gone\n");
    assert_eq!(refused(), refusal);
}

#[test]
fn a_state_that_cannot_be_read_stops_publishing_until_it_is_written_anew() {
    let mesh = mesh();
    let file = target(&mesh).out.root.join(".meshtraced/intent.json");
    write(&file, "{\"format\": 1, \"frozen\"");
    mesh.send_to(&[Backend::nowhere(9)]);
    let (code, said) = mesh.run_once();
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("intent.json") && said.contains("meshtraced thaw"),
        "{said}"
    );
    assert!(!read(&mesh.published("web-01").join("xds/cds.yaml")).contains("127.0.0.9"));
    let frozen = Frozen {
        since: apply::now(),
        why: "a test".to_owned(),
        generation: Some(3),
    };
    for state in [
        Intent {
            frozen: Some(frozen),
            approved: Some("a".to_owned()),
        },
        Intent::default(),
    ] {
        let session = Session::open(&target(&mesh)).expect("nobody publishes");
        state.write(&target(&mesh).out, session.lock()).expect("written");
        assert_eq!(Intent::read(&target(&mesh).out).expect("readable"), state);
    }
    mesh.publish();
}

#[test]
fn the_daemon_says_once_that_a_file_was_edited() {
    let mesh = mesh();
    let lds = mesh.published("web-01").join("xds/lds.yaml");
    write(&lds, "mine");
    let daemon = mesh.daemon();
    let edits = |log: &str| log.matches("xds/lds.yaml was edited").count();
    wait::until("it is told", || {
        if edits(&daemon.log()) == 1 {
            Ok(())
        } else {
            Err(daemon.log())
        }
    });
    let other = mesh
        .read("backend.yaml")
        .replace("servicePort: 18080", "servicePort: 18081");
    mesh.write("backend.yaml", &other);
    wait::until("the other proxy is published", || {
        let log = daemon.log();
        if log.contains("default: backend-01: ") {
            Ok(())
        } else {
            Err(log)
        }
    });
    assert_eq!(edits(&daemon.log()), 1, "{}", daemon.log());
}
