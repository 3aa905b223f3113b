//! Files of proxies at places of their own, outside of the output directory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::envoy::Envoy;
use crate::kit::mesh::{Backend, Mesh};
use crate::kit::mounts::inside;
use crate::kit::program::{POLICIES, good, meshtraced, said};

/// Valid policies, and settings in which the files of every sidecar have the given places.
struct Scene {
    dir: TempDir,
    /// The directory of the places.
    to: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let dir = good();
        let to = dir.path().join("etc");
        fs::create_dir(&to).expect("a directory");
        Self { dir, to }
    }

    fn places(&self, to: &Value) {
        let shapes = json!({"shapes": [{"sidecar": {}, "to": to}]});
        fs::write(self.dir.path().join("settings.yaml"), shapes.to_string()).expect("settings");
    }

    /// The places `cds.yaml` and `lds.yaml` in a directory.
    fn xds_in(&self, directory: &Path) {
        self.places(&json!({"cds": directory.join("cds.yaml"), "lds": directory.join("lds.yaml")}));
    }

    fn publish(&self) -> (Option<i32>, String) {
        said(&meshtraced(
            self.dir.path(),
            &["run", "--once", "--config", "settings.yaml"],
        ))
    }

    #[track_caller]
    fn publish_well(&self) {
        assert_eq!(self.publish(), (Some(0), String::new()));
    }

    /// The names of the published files below the output directory.
    fn in_out(&self) -> Vec<String> {
        names(&self.dir.path().join("envoy/default/web-01"))
    }

    fn bootstrap(&self) -> String {
        fs::read_to_string(self.dir.path().join("envoy/default/web-01/bootstrap.yaml")).expect("a bootstrap")
    }
}

/// The names of all files below a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(directory)
        .sort_by_file_name()
        .into_iter()
        .flatten();
    let files = entries.filter(|entry| entry.file_type().is_file());
    let below = |path: &Path| path.strip_prefix(directory).expect("below").display().to_string();
    files.map(|entry| below(entry.path())).collect()
}

#[test]
fn files_go_to_their_places_and_from_one_to_another() {
    let scene = Scene::new();
    scene.xds_in(&scene.to);
    scene.publish_well();
    assert_eq!(names(&scene.to), ["cds.yaml", "lds.yaml"]);
    assert_eq!(scene.in_out(), ["bootstrap.yaml", "effective.yaml", "fragment.yaml"]);
    assert!(
        scene
            .bootstrap()
            .contains(&format!("path: \"{}\"", scene.to.join("lds.yaml").display()))
    );
    let meta = fs::metadata(scene.to.join("lds.yaml")).expect("a file");
    assert_eq!(meta.mode() & 0o7777, 0o640);
    let inode = meta.ino();
    scene.publish_well();
    assert_eq!(
        fs::metadata(scene.to.join("lds.yaml")).expect("a file").ino(),
        inode,
        "it was written again"
    );

    // To another directory, below the output directory, and back.
    let other = scene.dir.path().join("other");
    fs::create_dir(&other).expect("a directory");
    scene.xds_in(&other);
    scene.publish_well();
    assert_eq!((names(&scene.to), names(&other).len()), (Vec::<String>::new(), 2));
    fs::write(scene.dir.path().join("settings.yaml"), "{}").expect("settings");
    scene.publish_well();
    assert_eq!((names(&other), scene.in_out().len()), (Vec::<String>::new(), 5));
    scene.xds_in(&scene.to);
    scene.publish_well();
    assert_eq!((names(&scene.to).len(), scene.in_out().len()), (2, 3));

    // A dataplane that goes takes its files with it.
    let without = POLICIES.split("---\ntype: Dataplane").next().expect("policies");
    fs::write(scene.dir.path().join("policies/all.yaml"), without).expect("policies");
    assert_eq!(scene.publish().0, Some(0));
    assert_eq!(names(&scene.to), Vec::<String>::new());
}

#[test]
fn what_is_there_already_is_not_ours() {
    let scene = Scene::new();
    let lds = scene.to.join("lds.yaml");
    fs::write(&lds, "theirs").expect("a file");
    scene.xds_in(&scene.to);
    let (code, said) = scene.publish();
    assert!(code == Some(2) || code == Some(1), "{said}");
    assert!(said.contains(&lds.display().to_string()), "{said}");
    assert_eq!(fs::read_to_string(&lds).expect("a file"), "theirs");
    assert_eq!(names(&scene.to), ["lds.yaml"]);

    // An edit stays behind when the place changes.
    fs::remove_file(&lds).expect("a file");
    scene.publish_well();
    fs::write(&lds, "edited").expect("a file");
    let other = scene.dir.path().join("other");
    fs::create_dir(&other).expect("a directory");
    scene.xds_in(&other);
    scene.publish_well();
    assert_eq!(names(&scene.to), ["lds.yaml"]);
    assert_eq!(names(&other), ["cds.yaml", "lds.yaml"]);
}

#[test]
fn a_place_that_cannot_be_is_refused() {
    let scene = Scene::new();
    let dir = scene.dir.path();
    let two = POLICIES
        .replace("name: web-01", "name: web-02")
        .replace("10.0.0.1", "10.0.0.2");
    let second = two.split("---\n").last().expect("a dataplane");
    fs::write(dir.join("policies/second.yaml"), second).expect("policies");
    scene.xds_in(&scene.to);
    let (code, said) = scene.publish();
    assert_eq!(code, Some(1), "{said}");
    let expected = "error[unusable-place]: `{}` is the place for files of 2 dataplanes: default/web-01, default/web-02";
    let expected = expected.replace("{}", &scene.to.join("cds.yaml").display().to_string());
    assert!(said.contains(&expected), "{said}");
    for (to, expected) in [
        (dir.join("policies/lds.yaml"), "lies in `policies`"),
        (dir.join("envoy/lds.yaml"), "lies in `out`"),
    ] {
        scene.places(&json!({"lds": to}));
        let (code, said) = scene.publish();
        assert!(code == Some(2) && said.contains(expected), "{said}");
    }
    scene.places(
        &json!({"lds": dir.join("nowhere/{dataplane}/lds.yaml"), "cds": dir.join("nowhere/{dataplane}/cds.yaml")}),
    );
    scene.publish_well();
    assert_eq!(names(&dir.join("nowhere")).len(), 4);
}

#[test]
fn a_place_may_be_on_another_file_system() {
    let scene = Scene::new();
    let shared = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    let device = |path: &Path| fs::metadata(path).expect("there").dev();
    assert_ne!(device(shared.path()), device(scene.dir.path()), "one file system");
    scene.xds_in(shared.path());
    scene.publish_well();
    assert_eq!(names(shared.path()), ["cds.yaml", "lds.yaml"]);
    assert_eq!(
        fs::metadata(shared.path().join("cds.yaml")).expect("a file").mode() & 0o7777,
        0o640
    );
    // What a killed run may have left is removed.
    fs::write(shared.path().join(".cds.yaml.meshtraced"), "half").expect("a file");
    scene.publish_well();
    assert_eq!(names(shared.path()), ["cds.yaml", "lds.yaml"]);
    fs::write(scene.dir.path().join("settings.yaml"), "{}").expect("settings");
    scene.publish_well();
    assert_eq!(names(shared.path()), Vec::<String>::new());
}

#[test]
fn an_envoy_that_runs_finds_its_files_again_when_it_starts() {
    let mesh = Mesh::start();
    mesh.publish();
    let bootstrap = mesh.published("web-01").join("bootstrap.yaml");
    let mut envoys = vec![Envoy::start(&bootstrap)];
    let to = mesh.dir().join("etc");
    fs::create_dir(&to).expect("a directory");
    let place = |file: &str| to.join(format!("{{dataplane}}-{file}.yaml"));
    let shapes = json!({"shapes": [{"sidecar": {}, "to": {"cds": place("cds"), "lds": place("lds")}}]});
    mesh.settings(&shapes);
    assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
    assert_eq!(
        names(&to),
        [
            "backend-01-cds.yaml",
            "backend-01-lds.yaml",
            "web-01-cds.yaml",
            "web-01-lds.yaml"
        ]
    );
    assert_eq!(names(&mesh.published("web-01").join("xds")), Vec::<String>::new());
    // It did not see any of this.
    assert_eq!(envoys[0].stat("listener_manager.lds.update_rejected"), Some(0));
    envoys.clear();
    envoys.push(Envoy::start(&bootstrap));
}

#[test]
fn a_running_envoy_follows_its_places() {
    let mesh = Mesh::start();
    let to = mesh.dir().join("etc");
    fs::create_dir(&to).expect("a directory");
    let place = |file: &str| to.join(format!("{{dataplane}}-{file}.yaml"));
    let to = json!({"cds": place("cds"), "lds": place("lds"), "bootstrap": place("envoy")});
    let shapes = json!({"shapes": [{"sidecar": {}, "to": to}]});
    mesh.settings(&shapes);
    assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
    let envoy = Envoy::start(&mesh.dir().join("etc/web-01-envoy.yaml"));
    mesh.send_to(&[Backend::nowhere(9)]);
    assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
    let lds = fs::read_to_string(mesh.dir().join("etc/web-01-lds.yaml")).expect("listeners");
    let version = envoy.stat_text("listener_manager.lds.version_text").expect("a version");
    assert!(
        lds.starts_with(&format!("version_info: {version}\n")),
        "{version}: {lds}"
    );
    assert_eq!(envoy.stat("listener_manager.lds.update_rejected"), Some(0));
}

#[test]
fn an_envoy_in_a_container_finds_its_files_where_it_sees_them() {
    let mesh = Mesh::start();
    let shapes = json!({"shapes": [{"sidecar": {}, "seen_as": "/mnt/{mesh}/{dataplane}"}]});
    mesh.settings(&shapes);
    assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
    let here = mesh.published("web-01");
    let bootstrap = fs::read_to_string(here.join("bootstrap.yaml")).expect("a bootstrap");
    assert_eq!(bootstrap.matches("/mnt/default/web-01/").count(), 3, "{bootstrap}");
    assert!(!bootstrap.contains(&mesh.dir().display().to_string()), "{bootstrap}");

    // The directory of the proxy is mounted where the container sees it; all else of it is that of this machine.
    let script = "mount -t tmpfs tmpfs /mnt && mkdir -p /mnt/default/web-01 && mount --bind \"$1\" /mnt/default/web-01 && shift && exec \"$@\"";
    let contained = |command: Command| inside(script, &[here.as_os_str()], &command);
    let envoy = Envoy::spawn_in(&here.join("bootstrap.yaml"), &here.join("admin.sock"), contained);
    mesh.send_to(&[Backend::nowhere(9)]);
    assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
    let lds = fs::read_to_string(here.join("xds/lds.yaml")).expect("listeners");
    let version = envoy.stat_text("listener_manager.lds.version_text").expect("a version");
    assert!(
        lds.starts_with(&format!("version_info: {version}\n")),
        "{version}: {lds}"
    );
}
