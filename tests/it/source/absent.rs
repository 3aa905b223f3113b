//! Policies that are there and cannot be read are not taken for absent: they hold what they were about before.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::repositories::repository;
use super::{Place, Stamps, policies, stamp, stamps_are};
use crate::kit::git::Git;

/// The stamps of mesh `one` with one stamp and mesh `two` with another.
fn apart(one: u32, two: u32) -> Stamps {
    Stamps::from([("one".to_owned(), one), ("two".to_owned(), two)])
}

/// A tree with one stamp, whose mesh `two` is in a directory of its own.
fn deep(dir: &Path, stamped: u32) {
    stamp(dir, stamped);
    fs::create_dir_all(dir.join("sub")).expect("a directory");
    fs::rename(dir.join("two.yaml"), dir.join("sub/two.yaml")).expect("renamed");
}

/// Makes the policies of mesh `two` unavailable, below a root with the directory `outside` beside it.
type Fault = fn(&Path);

/// The faults, and words of the messages about them.
const FAULTS: [(&str, Fault, &str); 9] = [
    (
        "a link that Git wrote as a text",
        |root| fs::write(file(root), "../../shared/two.yaml").expect("a file"),
        "sub/two.yaml: the file is a link to `../../shared/two.yaml` that Git wrote as text",
    ),
    (
        "a link out of the source",
        |root| symlink("../../outside/two.yaml", file(root)).expect("a link"),
        "sub/two.yaml: the link to `../../outside/two.yaml` leads out of the policies",
    ),
    (
        "a link to nothing",
        |root| symlink("there", file(root)).expect("a link"),
        "sub/two.yaml: the link to `there` leads nowhere",
    ),
    (
        "a link to itself",
        |root| symlink("two.yaml", file(root)).expect("a link"),
        "sub/two.yaml: the link to `two.yaml` leads nowhere",
    ),
    (
        "a directory that is a link out of the source",
        |root| {
            fs::remove_dir(root.join("sub")).expect("an empty directory");
            symlink("../outside", root.join("sub")).expect("a link");
        },
        "sub: the link to `../outside` leads out of the policies",
    ),
    (
        "a directory that is a link to nothing",
        |root| {
            fs::remove_dir(root.join("sub")).expect("an empty directory");
            symlink("../gone", root.join("sub")).expect("a link");
        },
        "sub: the link to `../gone` leads nowhere",
    ),
    (
        "an empty directory in the place of the file",
        |root| fs::create_dir(file(root)).expect("a directory"),
        "sub/two.yaml: this is a directory without files",
    ),
    (
        "a file that git-crypt encrypted",
        |root| fs::write(file(root), b"\0GITCRYPT\0\x01\x02").expect("a file"),
        "git-crypt unlock",
    ),
    (
        "a pointer of git-annex",
        |root| fs::write(file(root), "/annex/objects/MD5-s1--00\n").expect("a file"),
        "git-annex",
    ),
];

fn file(root: &Path) -> std::path::PathBuf {
    root.join("sub/two.yaml")
}

#[test]
fn policies_that_cannot_be_read_hold_their_mesh() {
    for (name, make, words) in FAULTS {
        let place = Place::new();
        let root = place.path("policies");
        stamp(&place.path("outside"), 18);
        deep(&root, 17);
        assert_eq!(place.publish(&root, "auto"), Ok(stamps_are(17)), "{name}");
        deep(&root, 18);
        fs::remove_file(file(&root)).expect("our own file");
        make(&root);
        // More than once: what the file was about is not forgotten.
        for _ in 0..2 {
            let said = place.publish(&root, "auto").expect_err(name);
            assert!(
                said.contains(words.split(": ").last().unwrap_or(words)),
                "{name}: {said}"
            );
            assert!(
                said.contains(words.split(": ").next().unwrap_or(words)),
                "{name}: {said}"
            );
            assert_eq!(place.stamps(), apart(18, 17), "{name}: {said}");
        }
        if fs::remove_file(root.join("sub")).is_err() {
            let _ = fs::remove_dir(file(&root));
            let _ = fs::remove_file(file(&root));
        }
        deep(&root, 19);
        assert_eq!(place.publish(&root, "auto"), Ok(stamps_are(19)), "{name}");
    }
}

#[test]
fn a_source_or_glob_that_has_no_files_any_more_holds_their_meshes() {
    let place = Place::new();
    let [one, two] = ["one", "two"].map(|mesh| {
        let root = place.path(mesh);
        fs::create_dir_all(&root).expect("a directory");
        root
    });
    let write = |stamped| {
        fs::write(one.join("mesh.yaml"), policies("one", stamped)).expect("a file");
        fs::write(two.join("mesh.yaml"), policies("two", stamped)).expect("a file");
    };
    let both = |include: &str| {
        let mut command = place.meshtraced(&one, "auto", &["run", "--once"]);
        command.arg("--policies").arg(&two).env("MESHTRACED_INCLUDE", include);
        command
    };
    write(17);
    let all = "['*.yaml']";
    assert_eq!(place.publish_by(&mut both(all)), Ok(stamps_are(17)));
    write(18);
    fs::remove_file(two.join("mesh.yaml")).expect("our own file");
    for _ in 0..2 {
        let said = place.publish_by(&mut both(all)).expect_err("an empty source");
        assert!(said.contains("this source has no file to read"), "{said}");
        assert_eq!(place.stamps(), apart(18, 17));
    }
    write(19);
    let globs = "['mesh.yaml', 'more/*.yaml']";
    assert_eq!(place.publish_by(&mut both(globs)), Ok(stamps_are(19)));
    let wrong = "['meshes.yaml', '*.yml']";
    let said = place.publish_by(&mut both(wrong)).expect_err("nothing to read");
    assert!(said.contains("no file matches `meshes.yaml`"), "{said}");
    assert_eq!(place.stamps(), stamps_are(19));
}

#[test]
fn links_are_followed_within_the_repository() {
    for source in ["git", "worktree"] {
        let place = Place::new();
        let git = Git::init(&place.path("repository"), &[]);
        let root = git.dir.join("policies");
        stamp(&git.dir.join("shared"), 17);
        fs::create_dir_all(&root).expect("a directory");
        symlink("../shared/one.yaml", root.join("one.yaml")).expect("a link");
        fs::create_dir(git.dir.join("shared/deep")).expect("a directory");
        fs::rename(git.dir.join("shared/two.yaml"), git.dir.join("shared/deep/two.yaml")).expect("renamed");
        symlink("../shared/deep", root.join("deep")).expect("a link");
        git.commit("shared");
        assert_eq!(place.publish(&root, source), Ok(stamps_are(17)), "{source}");

        // The daemon hears of changes behind a link.
        let daemon = place.daemon(&root, source);
        place.until_published(&daemon, 17);
        for (mesh, path) in [("one", "shared/one.yaml"), ("two", "shared/deep/two.yaml")] {
            fs::write(git.dir.join(path), policies(mesh, 18)).expect("a file");
        }
        git.commit("edited");
        place.until_published(&daemon, 18);
        drop(daemon);

        // Out of the repository, they are not.
        stamp(&place.path("outside"), 20);
        fs::remove_file(root.join("one.yaml")).expect("our own link");
        symlink("../../outside/one.yaml", root.join("one.yaml")).expect("a link");
        git.commit("outside");
        let said = place.publish(&root, source).expect_err("a link out of the repository");
        assert!(
            said.contains("the link to `../../outside/one.yaml` leads out of the policies"),
            "{source}: {said}"
        );
        assert_eq!(place.stamps(), stamps_are(18), "{source}");
    }
}

#[test]
fn a_submodule_that_is_not_there_or_not_as_committed_is_told() {
    let place = Place::new();
    let git = repository(&place, &[]);
    let above = Git::init(&place.path("above"), &[]);
    above.run(&["submodule", "--quiet", "add", git.dir.to_str().expect("UTF-8"), "sub"]);
    above.commit("with a submodule");
    assert_eq!(place.publish(&above.dir, "worktree"), Ok(stamps_are(17)));

    // Another commit than the one that the repository above names.
    stamp(&git.dir.join("policies"), 18);
    git.commit("more");
    let sub = Git::at(above.dir.join("sub"));
    sub.run(&["pull", "-q", "origin", "main"]);
    let said = place.publish(&above.dir, "worktree").expect_err("another commit");
    assert!(said.contains("sub") && said.contains("the repository names"), "{said}");
    assert_eq!(place.stamps(), stamps_are(17));
    above.commit("moved");
    assert_eq!(place.publish(&above.dir, "worktree"), Ok(stamps_are(18)));

    // A clone without its submodules.
    let clone = place.path("clone");
    Git::at(place.dir.path()).run(&["clone", "-q", "above", "clone"]);
    for source in ["worktree", "auto"] {
        let said = place.publish(&clone, source).expect_err("no files");
        assert!(
            said.contains("not initialized") && said.contains("git submodule update"),
            "{said}"
        );
        assert_eq!(place.stamps(), stamps_are(18));
    }
    let mut command = place.meshtraced(&clone, "worktree", &["check"]);
    let output = command
        .env("MESHTRACED_EXCLUDE", "['sub/**']")
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("submodule"), "{said}");
}
