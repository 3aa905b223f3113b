//! Every kind of Git repository.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Place, Stamps, policies, stamp, stamps_are};
use crate::kit::git::Git;
use crate::kit::unprivileged::Unprivileged;

/// A repository with the stamp 17 in `policies/` of its only commit.
#[track_caller]
pub(super) fn repository(place: &Place, options: &[&str]) -> Git {
    let git = Git::init(&place.path("repository"), options);
    stamp(&git.dir.join("policies"), 17);
    git.commit("first words");
    git
}

/// A clone of that repository.
#[track_caller]
fn clone(place: &Place, options: &[&str], name: &str) -> Git {
    let git = repository(place, &[]);
    // As a URL: a path would be copied, and such options with it ignored.
    let from = format!("file://{}", git.dir.display());
    let to = place.path(name);
    let to = to.to_str().expect("a path in UTF-8");
    Git::at(place.dir.path()).run(&[&["clone", "-q"], options, &[&from, to]].concat());
    Git::at(to)
}

/// Makes a repository and says what to read of it.
pub(super) type Make = fn(&Place) -> PathBuf;

/// Those with files, which can be edited without a commit.
const WITH_FILES: [(&str, Make); 16] = [
    ("work tree", |place| repository(place, &[]).dir),
    ("directory in it", |place| repository(place, &[]).dir.join("policies")),
    ("linked work tree", |place| {
        let git = repository(place, &[]);
        git.run(&["worktree", "add", "-q", "../linked"]);
        place.path("linked/policies")
    }),
    ("directory of Git elsewhere", |place| {
        let elsewhere = format!("--separate-git-dir={}", place.path("elsewhere").display());
        repository(place, &[&elsewhere]).dir
    }),
    ("submodule's own work tree", |place| {
        let git = repository(place, &[]);
        let above = Git::init(&place.path("above"), &[]);
        above.run(&["submodule", "--quiet", "add", git.dir.to_str().expect("UTF-8"), "sub"]);
        above.dir.join("sub/policies")
    }),
    ("shallow clone", |place| clone(place, &["--depth", "1"], "shallow").dir),
    ("packed references", |place| {
        let git = repository(place, &[]);
        git.run(&["pack-refs", "--all", "--prune"]);
        assert!(!git.dir.join(".git/refs/heads/main").exists());
        git.dir
    }),
    ("everything in packs", |place| {
        let git = repository(place, &[]);
        git.run(&["gc", "-q", "--prune=now"]);
        git.run(&["repack", "-q", "-a", "-d"]);
        git.dir
    }),
    ("objects of another", |place| {
        let git = repository(place, &[]);
        Git::at(place.dir.path()).run(&[
            OsStr::new("clone"),
            OsStr::new("-qs"),
            git.dir.as_os_str(),
            OsStr::new("shared"),
        ]);
        assert!(place.path("shared/.git/objects/info/alternates").exists());
        place.path("shared/policies")
    }),
    ("no branch", |place| {
        let git = repository(place, &[]);
        git.run(&["checkout", "-q", "--detach"]);
        git.dir
    }),
    ("reftable, where this Git knows it", |place| {
        let (is_known, _) = Git::at(place.dir.path()).try_run(&["init", "-q", "--ref-format=reftable", "probe"]);
        let options: &[&str] = if is_known { &["--ref-format=reftable"] } else { &[] };
        repository(place, options).dir
    }),
    ("SHA-256", |place| {
        let git = repository(place, &["--object-format=sha256"]);
        assert_eq!(git.head().len(), 64);
        git.dir.join("policies")
    }),
    ("behind a link", |place| {
        symlink(repository(place, &[]).dir, place.path("link")).expect("a link");
        place.path("link/policies")
    }),
    ("an empty .git in between", |place| {
        let git = repository(place, &[]);
        fs::create_dir(git.dir.join("policies/.git")).expect("a directory");
        git.dir.join("policies")
    }),
    ("replaced objects", |place| {
        let git = repository(place, &[]);
        let before = git.head();
        stamp(&git.dir.join("policies"), 16);
        let other = git.commit("others say");
        git.run(&["reset", "-q", "--hard", &before]);
        git.run(&["replace", &before, &other]);
        git.dir
    }),
    ("a name that looks like a pattern", |place| {
        let git = repository(place, &[]);
        stamp(&git.dir.join("[p]*"), 16);
        git.commit("one more directory");
        stamp(&git.dir.join("[p]*"), 17);
        stamp(&git.dir.join("policies"), 3);
        git.commit("the other way round");
        git.dir.join("[p]*")
    }),
];

/// Those without.
const BARE: [(&str, Make); 3] = [
    ("bare", |place| clone(place, &["--bare"], "bare.git").dir),
    ("directory in a bare one", |place| {
        clone(place, &["--bare"], "bare.git").dir.join("policies")
    }),
    ("mirror without an ending", |place| {
        clone(place, &["--mirror", "--depth", "1"], "mirror")
            .dir
            .join("policies")
    }),
];

fn directory_with_files(root: &Path) -> PathBuf {
    let below = root.join("policies");
    if below.is_dir() { below } else { root.to_owned() }
}

#[test]
fn a_commit_is_read_whatever_its_repository_is_like_and_files_beside_it_are_not() {
    for (kind, make) in WITH_FILES {
        let place = Place::new();
        let root = make(&place);
        stamp(&directory_with_files(&root), 18);
        assert_eq!(place.publish(&root, "git"), Ok(stamps_are(17)), "{kind}");
        assert!(!place.revision().contains('+'), "{kind}: {}", place.revision());
        for source in ["auto", "worktree"] {
            assert_eq!(place.publish(&root, source), Ok(stamps_are(18)), "{kind}, {source}");
            stamp(&directory_with_files(&root), 17);
            assert_eq!(place.publish(&root, source), Ok(stamps_are(17)), "{kind}, {source}");
            stamp(&directory_with_files(&root), 18);
        }
    }
}

#[test]
fn a_repository_without_files_is_read() {
    for (kind, make) in BARE {
        let place = Place::new();
        let root = make(&place);
        for source in ["git", "auto"] {
            assert_eq!(place.publish(&root, source), Ok(stamps_are(17)), "{kind}, {source}");
        }
        let said = place.publish(&root, "worktree").expect_err(kind);
        assert!(
            said.contains("has no files") && said.contains("source: auto"),
            "{kind}: {said}"
        );
    }
    let place = Place::new();
    let git = clone(&place, &["--no-checkout"], "clone");
    assert_eq!(place.publish(&git.dir.join("policies"), "git"), Ok(stamps_are(17)));
}

#[test]
fn a_single_file_is_read_in_a_repository_and_beside_one() {
    let place = Place::new();
    let git = repository(&place, &[]);
    let file = git.dir.join("policies/one.yaml");
    fs::write(&file, policies("one", 18)).expect("a file");
    let only = |stamp| Ok(Stamps::from([("one".to_owned(), stamp)]));
    assert_eq!(place.publish(&file, "git"), only(17));
    assert_eq!(place.publish(&file, "auto"), only(18));
    let alone = place.path("alone.yaml");
    fs::write(&alone, policies("two", 19)).expect("a file");
    let both = Place::new();
    let mut command = both.meshtraced(&file, "git", &["run", "--once"]);
    let stamps = both.publish_by(command.arg("--policies").arg(&alone));
    assert_eq!(
        stamps,
        Ok(Stamps::from([("one".to_owned(), 17), ("two".to_owned(), 19)]))
    );
}

#[test]
fn what_a_hook_has_in_its_environment_does_not_matter() {
    let place = Place::new();
    let git = repository(&place, &[]);
    let other = Git::init(&place.path("other"), &[]);
    stamp(&other.dir.join("policies"), 99);
    other.commit("another");
    for source in ["git", "auto"] {
        let mut command = place.meshtraced(&git.dir.join("policies"), source, &["run", "--once"]);
        command
            .env("GIT_DIR", other.dir.join(".git"))
            .env("GIT_WORK_TREE", &other.dir)
            .env("GIT_INDEX_FILE", other.dir.join(".git/index"))
            .env("GIT_OBJECT_DIRECTORY", other.dir.join(".git/objects"))
            .env("GIT_NAMESPACE", "other")
            .env("GIT_CEILING_DIRECTORIES", "/")
            .env("GIT_CONFIG_PARAMETERS", "'core.bare'='true'")
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "core.repositoryformatversion")
            .env("GIT_CONFIG_VALUE_0", "99")
            .env("GIT_TRACE", "1");
        assert_eq!(place.publish_by(&mut command), Ok(stamps_are(17)), "{source}");
    }
}

#[test]
fn objects_may_be_packed_and_pruned_while_they_are_read() {
    let place = Place::new();
    let git = Git::init(&place.path("repository"), &[]);
    stamp(&git.dir, 10);
    git.commit("first");
    let mut command = place.meshtraced(&git.dir, "git", &["run", "-v"]);
    command.env("MESHTRACED_DEBOUNCE", "1ms");
    let daemon = place.daemon_by(command);
    place.until_published(&daemon, 10);
    for stamped in 11..31 {
        stamp(&git.dir, stamped);
        // The commit before is nobody's any more, whoever reads it just now.
        git.run(&["commit", "-q", "-a", "--amend", "-m", "again"]);
        git.run(&["pack-refs", "--all", "--prune"]);
        git.run(&["reflog", "expire", "--expire=now", "--all"]);
        git.run(&["gc", "-q", "--prune=now"]);
        git.run(&["repack", "-q", "-a", "-d"]);
    }
    place.until_published(&daemon, 30);
    daemon.until("nothing is wrong", |status| status["failure"].is_null());
    let (generations, mixed) = place.generations();
    assert!(mixed.is_empty() && generations.len() > 1, "{generations:?}");
}

#[test]
fn a_submodule_that_is_left_out_is_no_trouble() {
    let place = Place::new();
    let git = repository(&place, &[]);
    let above = Git::init(&place.path("above"), &[]);
    above.run(&["submodule", "--quiet", "add", git.dir.to_str().expect("UTF-8"), "sub"]);
    stamp(&above.dir, 20);
    above.commit("with a submodule");
    let mut command = place.meshtraced(&above.dir, "git", &["run", "--once"]);
    command.env("MESHTRACED_EXCLUDE", "['sub/**']");
    assert_eq!(place.publish_by(&mut command), Ok(stamps_are(20)));
}

#[test]
fn a_repository_of_somebody_else_is_read() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test gives files to another user: it must run as root"
    );
    let user = Unprivileged::new(Path::new(env!("CARGO_BIN_EXE_meshtraced")));
    let git = Git::init(&user.dir().join("repository"), &[]);
    stamp(&git.dir.join("policies"), 17);
    git.commit("by root");
    for source in ["git", "auto"] {
        let mut command = user.command();
        command.args(["run", "--once", "--policies", "repository/policies", "--out", source]);
        let output = command.env("MESHTRACED_SOURCE", source).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{source}: {said}");
        let effective = user.dir().join(source).join("two/web/effective.yaml");
        assert_eq!(super::stamp_in(&fs::read_to_string(effective).expect("published")), 17);
    }
    // Whom the files do not let in is told that.
    fs::set_permissions(git.dir.join(".git"), fs::Permissions::from_mode(0o700)).expect("our own");
    let mut command = user.command();
    command.args(["run", "--once", "--policies", "repository/policies", "--out", "closed"]);
    let output = command.env("MESHTRACED_SOURCE", "git").output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ermission denied"), "{said}");
    assert_eq!(output.status.code(), Some(2), "{said}");
}

#[test]
fn a_tree_is_read_as_its_files_are() {
    let place = Place::new();
    let git = repository(&place, &[]);
    let dir = git.dir.join("policies");
    let write = |path: &str, bytes: &[u8]| {
        let path = dir.join(OsStr::from_bytes(path.as_bytes()));
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, bytes).expect("a file");
    };
    write(".hidden.yaml", b"type: Mesh\nname: hidden\n");
    write(".hidden/a.yaml", policies("shown", 17).as_bytes());
    write(
        "deep/er/three.YML",
        policies("three", 17).replace('\n', "\r\n").as_bytes(),
    );
    write("notes.txt", b"type: Mesh\nname: notes\n");
    write(
        "lfs.yaml",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    );
    write("latin.yaml", b"type: Mesh\nname: caf\xe9\n");
    write(
        "large.yaml",
        format!("type: Mesh\nname: large\n#{}\n", "x".repeat(70_000)).as_bytes(),
    );
    write("../outside/four.yaml", policies("four", 17).as_bytes());
    fs::write(dir.join(OsStr::from_bytes(b"byte\xff.yaml")), "type: Mesh\nname: [\n").expect("a file");
    fs::write(
        dir.join(OsStr::from_bytes(b"byte\xfe\t\n.yaml")),
        "type: Mesh\nname: other\n",
    )
    .expect("a file");
    for (target, link) in [
        ("deep", "also"),
        ("also/er/three.YML", "again.yaml"),
        ("../policies", "self"),
        (".", "here"),
        ("circle.yaml", "circle.yaml"),
        ("nowhere", "nowhere.yaml"),
        ("../outside", "outside"),
        ("../outside/four.yaml", "outside.yaml"),
        ("/etc/passwd", "absolute.yaml"),
        (".hidden/a.yaml", "shown.yaml"),
        ("../../one.yaml", "deep/er/up.yaml"),
    ] {
        symlink(target, dir.join(link)).expect("a link");
    }
    git.commit("all that a tree can hold");
    let look = |source: &str| {
        let mut command = place.meshtraced(&dir, source, &["compile", "-o", "json"]);
        let output = command
            .env("MESHTRACED_LIMITS_FILE_BYTES", "65536")
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        value
    };
    let (files, objects) = (look("worktree"), look("git"));
    assert!(files == objects, "{files:#}\n{objects:#}");
    let text = objects.to_string();
    for word in [
        "LFS",
        "70",
        "not UTF-8",
        "again.yaml",
        "also/er/three.YML",
        "\"shown\"",
        "deep/er/up.yaml",
        "\\\\xff",
        "\"four\"",
        "the link to `/etc/passwd` leads out of the policies",
        "the link to `circle.yaml` leads nowhere",
        "the link to `nowhere` leads nowhere",
    ] {
        assert!(text.contains(word), "{word} is not in {objects:#}");
    }
    for word in ["notes", "self/"] {
        assert!(!text.contains(word), "{word} is in {objects:#}");
    }
}

#[test]
fn the_status_says_which_commit_it_is() {
    let place = Place::new();
    let git = repository(&place, &[]);
    let root = git.dir.join("policies");
    let daemon = place.daemon(&root, "git");
    let published = |status: &Value, id: &str| status["revisions"]["published"]["commit"] == id;
    let first = git.head();
    let status = daemon.until("the first commit", |status| published(status, &first));
    assert_eq!(status["revisions"]["published"]["subject"], "first words");
    assert_eq!(
        status["revisions"]["published"]["name"],
        format!("main@{}", &first[..7])
    );
    // What is not committed is not there.
    stamp(&root, 18);
    fs::write(root.join("broken.yaml"), "type: Mesh\nname: [\n").expect("a file");
    fs::remove_file(root.join("broken.yaml")).expect("our own file");
    git.run(&["add", "-A"]);
    let second = git.commit("  second words  ");
    daemon.until("the second commit", |status| published(status, &second));
    assert_eq!(place.stamps(), stamps_are(18));
    // Packing changes no commit, and the next one is seen all the same.
    git.run(&["gc", "-q", "--prune=now"]);
    git.run(&["checkout", "-q", "-b", "feature/deep/er"]);
    stamp(&root, 19);
    let third = git.commit("third words");
    let status = daemon.until("the third commit", |status| published(status, &third));
    assert_eq!(
        status["revisions"]["published"]["name"],
        format!("feature/deep/er@{}", &third[..7])
    );
    git.run(&["checkout", "-q", "--detach", &first]);
    let status = daemon.until("back at the first", |status| {
        published(status, &first) && status["revisions"]["published"]["name"] == first[..7]
    });
    assert_eq!(status["findings"]["errors"], 0);
    let (generations, mixed) = place.generations();
    assert_eq!((generations.len(), mixed), (4, vec![]));
}

#[test]
fn the_directory_that_it_is_started_in_does_not_matter() {
    let place = Place::new();
    let git = Git::init(&place.path("repository"), &[]);
    stamp(&git.dir.join("policies"), 7);
    git.commit("first");
    // As every submodule has it.
    git.run(&["config", "core.worktree", git.dir.to_str().expect("text")]);
    for started_in in [place.path("."), git.dir.clone(), git.dir.join("policies")] {
        let mut command = place.meshtraced(&git.dir, "git", &["run", "--once"]);
        command.current_dir(&started_in);
        assert_eq!(
            place.publish_by(&mut command),
            Ok(stamps_are(7)),
            "{}",
            started_in.display()
        );
    }
}
