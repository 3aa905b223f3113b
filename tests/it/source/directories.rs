//! Plain directories, changed by editors, copying tools and deployments.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, RenameFlags, mknodat, renameat_with};

use super::{MESHES, Place, policies, stamp, stamps_are};
use crate::kit::git::Git;
use crate::kit::mounts;

/// Writes a file of the tree in the manner of some program.
type Save = fn(&Path, &str);

/// Each leaves nothing behind but what its program leaves.
const SAVES: [(&str, Save); 6] = [
    ("vim", |path, text| {
        let backup = path.with_extension("yaml~");
        let swap = path.with_file_name(".one.yaml.swp");
        fs::write(&swap, "b0VIM 9.0").expect("a swap file");
        fs::write(path.with_file_name("4913"), "").expect("a probe");
        fs::remove_file(path.with_file_name("4913")).expect("the probe");
        fs::rename(path, &backup).expect("a backup");
        fs::write(path, text).expect("a file");
        fs::remove_file(backup).expect("the backup");
        fs::remove_file(swap).expect("the swap file");
    }),
    ("emacs", |path, text| {
        let lock = path.with_file_name(".#one.yaml");
        symlink("somebody@machine.1234:1700000000", &lock).expect("a lock link");
        let auto = path.with_file_name("#one.yaml#");
        fs::write(&auto, text).expect("a file");
        fs::copy(path, path.with_extension("yaml~")).expect("a backup");
        fs::write(path, text).expect("a file");
        fs::remove_file(auto).expect("the file");
        fs::remove_file(lock).expect("the lock link");
    }),
    ("sed -i", |path, text| {
        let new = path.with_file_name("sedAbCdEf");
        fs::write(&new, text).expect("a file");
        fs::rename(new, path).expect("renamed");
    }),
    ("rsync", |path, text| {
        let new = path.with_file_name(".one.yaml.AbCdEf");
        let mut file = File::create(&new).expect("a file");
        for line in text.split_inclusive('\n') {
            file.write_all(line.as_bytes()).expect("written");
        }
        fs::rename(new, path).expect("renamed");
    }),
    ("cp", |path, text| fs::write(path, text).expect("a file")),
    ("mv from elsewhere", |path, text| {
        fs::remove_file(path).expect("a file");
        fs::write(path, text).expect("a file");
    }),
];

#[test]
fn whatever_program_saves_a_file_it_is_published() {
    let place = Place::new();
    let root = place.path("policies");
    stamp(&root, 17);
    let daemon = place.daemon(&root, "auto");
    place.until_published(&daemon, 17);
    for (stamped, (program, save)) in (20..).zip(SAVES) {
        for mesh in MESHES {
            save(&root.join(mesh).with_extension("yaml"), &policies(mesh, stamped));
        }
        place.until_published(&daemon, stamped);
        let status = daemon.status().expect("a status");
        assert_eq!(
            (&status["findings"]["errors"], &status["failure"]),
            (&0.into(), &().into()),
            "{program}"
        );
    }
}

#[test]
fn a_file_that_is_half_written_holds_its_mesh_until_it_is_whole() {
    let place = Place::new();
    let root = place.path("policies");
    stamp(&root, 17);
    let daemon = place.daemon(&root, "auto");
    place.until_published(&daemon, 17);
    let text = policies("one", 18);
    let half = text.find("first\n    type").expect("there") + "first\n    type: 'zip".len() - 1;
    let mut file = File::create(root.join("one.yaml")).expect("a file");
    file.write_all(text[..half].replace("type: zi", "type: 'zi").as_bytes())
        .expect("written");
    file.flush().expect("written");
    daemon.until("it is held", |status| {
        status["held"][0]["mesh"] == "one" || status["held"][0]["mesh"].is_null() && status["held"][0].is_object()
    });
    assert_eq!(place.stamps(), stamps_are(17));
    fs::write(root.join("two.yaml"), policies("two", 18)).expect("a file");
    drop(file);
    fs::write(root.join("one.yaml"), text).expect("a file");
    place.until_published(&daemon, 18);
    daemon.until("nothing is held", |status| {
        status["held"].as_array().is_some_and(Vec::is_empty)
    });
}

/// How long nothing flips: twenty times a second on average, and never in step with the daemon.
fn pause(turn: u32) -> Duration {
    Duration::from_millis(u64::from(turn * 37 % 101))
}

/// Puts a link in place of another one, in one step.
fn flip(link: &Path, target: &str) {
    let new = link.with_file_name("..data_tmp");
    symlink(target, &new).expect("a link");
    fs::rename(new, link).expect("renamed");
}

/// Files between those with the stamps, so that reading from the one to the other takes a while.
const BETWEEN: u32 = 400;

fn between() -> impl Iterator<Item = String> {
    (0..BETWEEN).map(|at| format!("p{at}.yaml"))
}

/// A tree with that stamp and much between the files that carry it.
fn wide(dir: &Path, stamped: u32) {
    stamp(dir, stamped);
    for name in between() {
        fs::write(dir.join(name), format!("# {stamped}\n")).expect("a file");
    }
}

/// Flips between trees with different stamps while the daemon publishes, and looks at every generation.
fn storm(place: &Place, root: &Path, flips: u32, mut flip: impl FnMut(u32)) {
    let mut command = place.meshtraced(root, "auto", &["run", "-v"]);
    // As often as it can: it never is quiet for longer.
    command
        .env("MESHTRACED_DEBOUNCE", "1ms")
        .env("MESHTRACED_DEBOUNCE_MAX", "1ms");
    let daemon = place.daemon_by(command);
    place.until_published(&daemon, 17);
    for turn in 1..=flips {
        flip(turn);
        thread::sleep(pause(turn));
    }
    place.until_published(&daemon, 17 + flips % 2);
    let (generations, mixed) = place.generations();
    assert!(generations.len() > 10, "hardly anything was published: {generations:?}");
    assert!(mixed.is_empty(), "{mixed:?} of {}", generations.len());
}

#[test]
fn trees_that_flip_as_those_of_a_config_map_are_never_mixed() {
    let place = Place::new();
    let root = place.path("policies");
    for (name, stamped) in [("..one", 17), ("..two", 18)] {
        wide(&root.join(name), stamped);
    }
    symlink("..one", root.join("..data")).expect("a link");
    for name in MESHES.map(|mesh| format!("{mesh}.yaml")).into_iter().chain(between()) {
        symlink(format!("..data/{name}"), root.join(&name)).expect("a link");
    }
    storm(&place, &root, 151, |turn| {
        flip(&root.join("..data"), ["..one", "..two"][turn as usize % 2])
    });
}

#[test]
fn trees_that_flip_as_those_of_git_sync_are_never_mixed_and_say_their_commit() {
    let place = Place::new();
    let git = Git::init(&place.path("repository"), &[]);
    let mut trees: Vec<String> = Vec::new();
    for stamped in [17, 18] {
        wide(&git.dir.join("policies"), stamped);
        trees.push(git.commit(&format!("stamp {stamped}")));
    }
    let add = |commit: &str| {
        git.run(&[
            "worktree",
            "add",
            "-q",
            "--detach",
            &format!("../root/{commit}"),
            commit,
        ])
    };
    trees.iter().for_each(|commit| drop(add(commit)));
    let link = place.path("root/current");
    symlink(&trees[0], &link).expect("a link");
    storm(&place, &link.join("policies"), 101, |turn| {
        flip(&link, &trees[turn as usize % 2])
    });
    for (revision, stamps) in place.generations().0 {
        let stamped = stamps["one"];
        assert_eq!(revision, trees[usize::from(stamped == 18)][..7], "{stamps:?}");
    }
}

#[test]
fn a_tree_that_goes_when_its_link_flips_is_read_anew() {
    let place = Place::new();
    let tree = |turn: u32| format!("{turn:040x}");
    let link = place.path("current");
    wide(&place.path(&tree(0)), 17);
    symlink(tree(0), &link).expect("a link");
    storm(&place, &link, 101, |turn| {
        wide(&place.path(&tree(turn)), 17 + turn % 2);
        flip(&link, &tree(turn));
        fs::remove_dir_all(place.path(&tree(turn - 1))).expect("the tree before");
    });
    let (generations, _) = place.generations();
    assert!(
        generations.iter().all(|(revision, _)| revision.starts_with("0000000")),
        "{generations:?}"
    );
}

#[test]
fn a_root_that_changes_places_with_another_is_noticed() {
    let place = Place::new();
    let (root, other) = (place.path("policies"), place.path("other"));
    wide(&root, 17);
    wide(&other, 18);
    storm(&place, &root, 101, |_| {
        renameat_with(CWD, &root, CWD, &other, RenameFlags::EXCHANGE).expect("exchanged");
    });
}

/// The root is deep in a checkout that is reached through a link, so that no watch of the root's own parent is told.
#[test]
fn a_checkout_that_changes_places_with_another_is_noticed() {
    for source in ["git", "worktree"] {
        let place = Place::new();
        fs::create_dir(place.path("real")).expect("a directory");
        symlink("real", place.path("link")).expect("a link");
        let [one, other] = [(17, "one"), (18, "other")].map(|(stamped, name)| {
            let git = Git::init(&place.path("real").join(name), &[]);
            stamp(&git.dir.join("deep/policies"), stamped);
            git.commit("policies");
            git.dir
        });
        let daemon = place.daemon(&place.path("link/one/deep/policies"), source);
        place.until_published(&daemon, 17);
        renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).expect("exchanged");
        place.until_published(&daemon, 18);
    }
}

#[test]
fn what_is_mounted_over_a_root_is_found_without_an_event() {
    let place = Place::new();
    let (root, other, go) = (place.path("policies"), place.path("other"), place.path("go"));
    stamp(&root, 17);
    stamp(&other, 18);
    let script = "policies=$1 other=$2 go=$3; shift 3\n\
                  (until [ -e \"$go\" ]; do sleep 0.05; done; mount --bind \"$other\" \"$policies\") &\nexec \"$@\"";
    let mut command = place.meshtraced(&root, "auto", &["run", "-v"]);
    command.env("MESHTRACED_RESCAN", "1s");
    let arguments = [&root, &other, &go].map(|path| path.as_os_str());
    let daemon = place.daemon_by(mounts::inside(script, &arguments, &command));
    place.until_published(&daemon, 17);
    fs::write(&go, "").expect("a file");
    place.until_published(&daemon, 18);
    stamp(&other, 19);
    place.until_published(&daemon, 19);
}

#[test]
fn what_is_no_regular_file_is_passed_over() {
    let place = Place::new();
    let root = place.path("policies");
    stamp(&root, 17);
    mknodat(CWD, root.join("pipe.yaml"), FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    let _socket = UnixListener::bind(root.join("socket.yaml")).expect("a socket");
    symlink("/dev/zero", root.join("device.yaml")).expect("a link");
    fs::create_dir(root.join("directory.yaml")).expect("a directory");
    symlink(".", root.join("loop.yaml")).expect("a link");
    assert_eq!(place.publish(&root, "auto"), Ok(stamps_are(17)));
    // As a daemon it goes on, too: a pipe that takes the place of a file does not block.
    let daemon = place.daemon(&root, "auto");
    daemon.until("its first turn", |status| status["revisions"]["seen"].is_object());
    fs::rename(root.join("pipe.yaml"), root.join("one.yaml")).expect("renamed");
    daemon.until("it was noticed", |status| {
        status["guarded"].is_object() || status["proxies"]["published"] == 1
    });
    fs::remove_file(root.join("one.yaml")).expect("the pipe");
    stamp(&root, 18);
    place.until_published(&daemon, 18);
}

#[test]
fn a_root_that_goes_and_comes_again_is_followed() {
    let place = Place::new();
    let root = place.path("policies");
    stamp(&root, 17);
    let daemon = place.daemon(&root, "auto");
    place.until_published(&daemon, 17);
    fs::remove_dir_all(&root).expect("our own directory");
    let gone = |status: &serde_json::Value| {
        status["failure"]["why"]
            .as_str()
            .is_some_and(|why| why.contains("there is no"))
    };
    daemon.until("it is missed", gone);
    assert_eq!(place.stamps(), stamps_are(17));
    // Written beside and renamed, so that no empty root is seen.
    stamp(&place.path("new"), 18);
    fs::rename(place.path("new"), &root).expect("renamed");
    place.until_published(&daemon, 18);
    // A file in its place, and a directory again.
    fs::rename(&root, place.path("old")).expect("renamed");
    let both: String = MESHES.map(|mesh| policies(mesh, 19)).join("---\n");
    fs::write(place.path("new"), both).expect("a file");
    fs::rename(place.path("new"), &root).expect("renamed");
    place.until_published(&daemon, 19);
    fs::remove_file(&root).expect("our own file");
    fs::rename(place.path("old"), &root).expect("renamed");
    place.until_published(&daemon, 18);
    stamp(&root, 20);
    place.until_published(&daemon, 20);
}

#[test]
fn a_file_becomes_a_directory_and_a_file_again() {
    let place = Place::new();
    let root = place.path("policies");
    stamp(&root, 17);
    let daemon = place.daemon(&root, "auto");
    place.until_published(&daemon, 17);
    fs::rename(&root, place.path("old")).expect("renamed");
    let new = place.path("new");
    stamp(&new.join("one.yaml"), 18);
    fs::rename(&new, &root).expect("renamed");
    place.until_published(&daemon, 18);
    stamp(&root.join("one.yaml"), 19);
    place.until_published(&daemon, 19);
}
