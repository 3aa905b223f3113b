//! The publisher: the view of readers during a publication, files after a kill, and files of others.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use meshtraced::apply::{self, ApplyError, Bases, Delivery, Session, Target};
use meshtraced::envoy::artifact::{Artifact, Files, Fragments};
use meshtraced::envoy::xds;
use meshtraced::plan::{Change, Plan, Step, steps};
use serde_json::json;
use tempfile::TempDir;

use crate::kit::publish::{apply, key, plan, publish, target};

/// A directory for output that is not there yet.
pub(crate) fn out() -> (TempDir, Target) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let target = target(&dir.path().join("envoy"));
    (dir, target)
}

pub(crate) fn files(clusters: &[&str], listeners: &str) -> Files {
    let clusters = clusters.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
    let listeners = [json!({"name": listeners, "filler": "x".repeat(20_000)})];
    let other = [Artifact::Bootstrap, Artifact::Fragment, Artifact::Effective];
    let xds = [
        (Artifact::Cds, xds::response(&clusters).into()),
        (Artifact::Lds, xds::response(&listeners).into()),
    ];
    other
        .map(|artifact| (artifact, "a: 1\n".into()))
        .into_iter()
        .chain(xds)
        .collect()
}

/// Two states that share a proxy that changes; one proxy goes and one comes.
pub(crate) fn states() -> [Fragments; 2] {
    let first = [
        (key("stays"), files(&["a", "b"], "1")),
        (key("goes"), files(&["a"], "1")),
    ];
    let second = [
        (key("stays"), files(&["b", "c"], "2")),
        (key("comes"), files(&["c"], "1")),
    ];
    [BTreeMap::from(first), BTreeMap::from(second)]
}

/// All files below a directory, but for the lock and the history.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = walkdir::WalkDir::new(root)
        .into_iter()
        .map(|entry| entry.expect("a readable tree"));
    let below = |path: &Path| path.strip_prefix(root).expect("below it").to_owned();
    let paths = entries
        .map(walkdir::DirEntry::into_path)
        .filter(|path| !path.ends_with("lock") && !path.components().any(|part| part.as_os_str() == "history"));
    paths
        .map(|path| (below(&path), fs::read(&path).unwrap_or_default()))
        .collect()
}

#[test]
fn whatever_a_kill_leaves_the_next_run_finishes() {
    let [first, second] = states();
    let (_dir, clean) = out();
    publish(&second, &clean);
    let expected = tree(&clean.out.root);
    let plan = plan(&first.clone().into(), &second);
    let all_steps = || {
        let of = |change: &'_ Change| steps(&change.before, &change.after);
        plan.changes
            .iter()
            .flat_map(move |change| of(change).into_iter().map(|step| (&change.proxy, step)))
    };
    for count in 0..=all_steps().count() {
        // The inventory already lists what is to come when the first file is put in place.
        let (_dir, target) = out();
        let all = first.clone().into_iter().chain(second.clone()).collect();
        publish(&all, &target);
        let directory = target.out.root.join(".meshtraced/inventory");
        let inventory = inventory_files(&directory);
        publish(&first, &target);
        for (path, text) in &inventory {
            fs::write(path, text).expect("written");
        }
        fs::write(target.out.root.join(".meshtraced/staging/0-0"), "half").expect("written");
        for (proxy, step) in all_steps().take(count) {
            let path = target.out.root.join(proxy.directory()).join(&*step.artifact().path());
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            match step {
                Step::Write(_, text) => fs::write(&path, &*text.text()).expect("written"),
                Step::Remove(_) => fs::remove_file(&path).expect("removed"),
            }
        }
        publish(&second, &target);
        assert!(
            tree(&target.out.root) == expected,
            "after {count} steps: {:#?}",
            tree(&target.out.root).keys()
        );
        let again = publish(&second, &target);
        assert!(again.proxies.is_empty(), "after {count} steps: {again:?}");
    }
}

/// All texts that a file may have: clusters also those of both states.
fn known(states: &[&Fragments], dataplane: &str, artifact: Artifact) -> Vec<String> {
    let texts = states
        .iter()
        .filter_map(|state| Some(state.get(&key(dataplane))?[&artifact].to_string()));
    let mut known: Vec<String> = texts.collect();
    if let (Artifact::Cds, [first, second]) = (artifact, known.as_slice()) {
        let both = [xds::union(first, second), xds::union(second, first)];
        known.extend(both.into_iter().flatten().map(|both| both.text));
    }
    known
}

/// Reads a file as Envoy does; only that of a proxy that comes or goes may be missing.
fn read_one(target: &Target, dataplane: &str, artifact: Artifact, known: &[String]) {
    let path = target.out.root.join(key(dataplane).directory()).join(&*artifact.path());
    let mut file = match fs::File::open(&path) {
        Err(error) if dataplane != "stays" && error.kind() == std::io::ErrorKind::NotFound => return,
        file => file.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    };
    let mut text = String::new();
    file.read_to_string(&mut text).expect("it is text");
    assert!(known.contains(&text), "{}: {text}", path.display());
    assert_eq!(file.metadata().expect("it is open").mode() & 0o7777, 0o640);
}

#[test]
fn readers_see_whole_files_with_their_final_mode() {
    let [first, second] = states();
    let (_dir, target) = out();
    publish(&first, &target);
    let done = AtomicBool::new(false);
    let states = [&first, &second];
    thread::scope(|scope| {
        for dataplane in ["stays", "comes", "goes"] {
            let (done, target) = (&done, &target);
            scope.spawn(move || {
                let own = Artifact::SINGLE
                    .into_iter()
                    .filter(|artifact| *artifact != Artifact::Rtds);
                let files: Vec<_> = own
                    .map(|artifact| (artifact, known(&states, dataplane, artifact)))
                    .collect();
                while !done.load(Ordering::SeqCst) {
                    for (artifact, known) in &files {
                        read_one(target, dataplane, *artifact, known);
                    }
                }
            });
        }
        for desired in [&second, &first].into_iter().cycle().take(200) {
            publish(desired, &target);
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn what_is_as_it_should_be_is_not_touched_and_what_is_not_is_mended() {
    let [first, _] = states();
    let (_dir, target) = out();
    publish(&first, &target);
    let directory = target.out.root.join(key("stays").directory());
    let (lds, cds) = (directory.join("xds/lds.yaml"), directory.join("xds/cds.yaml"));
    let inode = |path: &Path| fs::symlink_metadata(path).expect("there").ino();
    let before = inode(&lds);
    fs::set_permissions(&lds, Permissions::from_mode(0o600)).expect("ours");
    fs::write(&cds, b"\xff").expect("ours");
    let outcome = publish(&first, &target);
    assert_eq!(outcome.permissions_restored, 1);
    assert_eq!(inode(&lds), before);
    assert_eq!(fs::metadata(&lds).expect("there").mode() & 0o7777, 0o640);
    assert_eq!(
        fs::read_to_string(&cds).expect("there"),
        first[&key("stays")][&Artifact::Cds].text()
    );
    assert!(publish(&first, &target).proxies.is_empty());
}

#[test]
fn the_directories_above_the_proxies_are_mended_too() {
    let [first, _] = states();
    let (_dir, target) = out();
    publish(&first, &target);
    let directories = [
        target.out.root.clone(),
        target.out.root.join(".meshtraced"),
        target.out.root.join("default"),
    ];
    let mode = |path: &PathBuf| fs::metadata(path).expect("there").mode() & 0o7777;
    for directory in &directories {
        fs::set_permissions(directory, Permissions::from_mode(0o700)).expect("ours");
    }
    assert_eq!(publish(&first, &target).permissions_restored, 3);
    assert_eq!(directories.each_ref().map(mode), [0o750; 3]);
    // What others may do beyond that is somebody's wish.
    fs::set_permissions(&target.out.root, Permissions::from_mode(0o755)).expect("ours");
    assert_eq!(publish(&first, &target).permissions_restored, 0);
    assert_eq!(mode(&target.out.root), 0o755);
}

#[test]
fn what_became_of_our_files_does_not_keep_them_from_going() {
    let [first, _] = states();
    let (_dir, target) = out();
    publish(&first, &target);
    let directory = target.out.root.join(key("goes").directory());
    fs::write(directory.join("fragment.yaml"), b"\xff").expect("ours");
    fs::remove_file(directory.join("xds/lds.yaml")).expect("ours");
    let rest = BTreeMap::from([(key("stays"), first[&key("stays")].clone())]);
    publish(&rest, &target);
    assert!(!directory.exists());
    assert!(publish(&rest, &target).proxies.is_empty());
}

#[test]
fn what_cannot_be_removed_stays_listed_and_is_tried_again() {
    let [first, _] = states();
    let (_dir, target) = out();
    publish(&first, &target);
    let directory = target.out.root.join(key("goes").directory());
    let lds = directory.join("xds/lds.yaml");
    fs::remove_file(&lds).expect("ours");
    fs::create_dir(&lds).expect("in the way");
    let rest = BTreeMap::from([(key("stays"), first[&key("stays")].clone())]);
    for _ in 0..2 {
        let outcome = publish(&rest, &target);
        let result = &outcome.proxies[&key("goes")].delivery;
        assert!(
            result
                .as_ref()
                .is_err_and(|error| error.to_string().contains("lds.yaml")),
            "{outcome:?}"
        );
        // What starts the proxy is gone, and what it would start from is not before the rest.
        assert!(!directory.join("bootstrap.yaml").exists() && directory.join("xds/cds.yaml").exists());
    }
    fs::remove_dir(&lds).expect("ours");
    publish(&rest, &target);
    assert!(!directory.exists());
    assert!(publish(&rest, &target).proxies.is_empty());
}

#[test]
fn nothing_is_written_or_deleted_through_a_link() {
    let [first, second] = states();
    let (dir, target) = out();
    let elsewhere = dir.path().join("elsewhere");
    for dataplane in ["stays", "goes"] {
        publish(&first, &target);
        let directory = target.out.root.join(key(dataplane).directory());
        fs::rename(&directory, &elsewhere).expect("ours");
        symlink(&elsewhere, &directory).expect("a link");
        let before = tree(&elsewhere);
        let outcome = publish(&second, &target);
        let result = &outcome.proxies[&key(dataplane)].delivery;
        assert!(
            matches!(result, Err(ApplyError::Link { path }) if *path == directory),
            "{outcome:?}"
        );
        assert!(tree(&elsewhere) == before);
        fs::remove_file(&directory).expect("a link");
        fs::rename(&elsewhere, &directory).expect("back");
    }
    // A link in place of a file is replaced, and what it leads to stays.
    let (lds, victim) = (
        target.out.root.join("default/stays/xds/lds.yaml"),
        dir.path().join("victim"),
    );
    fs::write(&victim, "precious").expect("written");
    fs::remove_file(&lds).expect("ours");
    symlink(&victim, &lds).expect("a link");
    publish(&second, &target);
    assert_eq!(fs::read_to_string(&victim).expect("still there"), "precious");
    assert!(fs::symlink_metadata(&lds).expect("there").is_file());
}

/// The files of an inventory with their texts.
fn inventory_files(directory: &Path) -> BTreeMap<PathBuf, String> {
    let entries = fs::read_dir(directory).expect("an inventory").flatten();
    let text = |path: &Path| fs::read_to_string(path).expect("a text");
    entries.map(|entry| (entry.path(), text(&entry.path()))).collect()
}

#[test]
fn equal_files_without_an_inventory_are_taken_over() {
    let [first, second] = states();
    let (_dir, target) = out();
    publish(&first, &target);
    let before = tree(&target.out.root.join("default"));
    let inventory = target.out.root.join(".meshtraced/inventory");
    let shards = inventory_files(&inventory);
    assert_eq!(shards.len(), first.len(), "each proxy is in a shard of its own");
    for path in shards.keys() {
        fs::write(path, "{").expect("ours");
    }
    let error = apply::observe(&target.out).expect_err("it is garbled").to_string();
    assert!(error.contains("inventory/") && error.contains("remove it"), "{error}");
    fs::remove_dir_all(&inventory).expect("ours");
    publish(&first, &target);
    assert!(tree(&target.out.root.join("default")) == before);
    publish(&second, &target);
    assert!(!target.out.root.join("default/goes").exists());
}

#[test]
fn a_socket_goes_with_its_proxy_unless_somebody_listens() {
    let [first, second] = states();
    let (_dir, target) = out();
    publish(&first, &target);
    let socket = target.out.root.join("default/goes/admin.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let outcome = publish(&second, &target);
    assert!(
        matches!(outcome.proxies[&key("goes")].delivery, Ok(Delivery::NotApplicable)),
        "{outcome:?}"
    );
    assert!(socket.exists());
    assert!(
        !apply::observe(&target.out)
            .expect("readable")
            .applied
            .contains_key(&key("goes"))
    );
    drop(listener);
    publish(&second, &target);
    assert!(!target.out.root.join("default/goes").exists());
}

#[test]
fn only_one_publishes_and_the_dead_do_not_count() {
    let (_dir, target) = out();
    let session = Session::open(&target).expect("nobody else");
    let error = Session::open(&target).expect_err("it is taken").to_string();
    assert!(error.contains(&target.out.root.display().to_string()), "{error}");
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    drop(session);
    // The file stays, the right does not.
    assert!(target.out.root.join(".meshtraced/lock").exists());
    let session = Session::open(&target).expect("nobody else");
    fs::remove_dir_all(&target.out.root).expect("ours");
    let error = apply(&Plan::default(), &Bases::new(), &target, &session).expect_err("it is gone");
    assert!(matches!(error, ApplyError::Replaced { .. }), "{error}");
    // Nor does one go to where a link leads that was put in its place.
    let elsewhere = target.out.root.with_extension("elsewhere");
    fs::create_dir_all(elsewhere.join(".meshtraced")).expect("ours");
    fs::write(elsewhere.join(".meshtraced/lock"), "").expect("ours");
    symlink(&elsewhere, &target.out.root).expect("a link");
    let error = apply(&Plan::default(), &Bases::new(), &target, &session).expect_err("it is another");
    assert!(matches!(error, ApplyError::Replaced { .. }), "{error}");
}
