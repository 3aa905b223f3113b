//! Several directories and repositories are read as they were at one moment.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::{MESHES, Place, policies, stamps_are};
use crate::kit::git::Git;

/// Writes one mesh into each of two directories.
fn apart(dir: &Path, stamp: u32) {
    for mesh in MESHES {
        fs::create_dir_all(dir.join(mesh)).expect("a directory");
        fs::write(dir.join(mesh).join("mesh.yaml"), policies(mesh, stamp)).expect("a file");
    }
}

/// Two commits that carry the stamps 17 and 18, of which the first is checked out.
fn repository(place: &Place) -> (Git, [String; 2]) {
    let git = Git::init(&place.path("repository"), &[]);
    let commits = [17, 18].map(|stamp| {
        apart(&git.dir, stamp);
        git.commit("words")
    });
    git.run(&["reset", "-q", "--hard", &commits[0]]);
    (git, commits)
}

/// `meshtraced` for both directories, each as a source of its own. The first time that it asks Git for something with
/// `word` in it, `script` is run before Git answers.
fn interrupted(place: &Place, above: &Path, source: &str, word: &str, script: &str) -> Command {
    let bin = place.path("bin");
    fs::create_dir(&bin).expect("a directory");
    let path = std::env::var("PATH").expect("a path to programs");
    let pending = place.path("pending");
    let pending = pending.display();
    let wrapper = format!(
        "#!/bin/sh\nPATH='{path}'\ncase \"$*\" in *{word}*)\nif [ -e '{pending}' ]; then rm '{pending}'; ( {script} ) >&2; \
         fi;;\nesac\nexec git \"$@\"\n"
    );
    fs::write(bin.join("git"), wrapper).expect("a script");
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).expect("our own");
    let mut command = place.meshtraced(&above.join("one"), source, &["run", "-v"]);
    command
        .arg("--policies")
        .arg(above.join("two"))
        .env("PATH", format!("{}:{path}", bin.display()));
    command
}

/// Lets the interruption happen in the next turn, which a new file or branch leads to, and checks that nothing of
/// what was before it stands beside what came after.
#[track_caller]
fn check(place: &Place, command: Command, git: &Git, dir: &Path) {
    let daemon = place.daemon_by(command);
    place.until_published(&daemon, 17);
    fs::write(place.path("pending"), "").expect("a file");
    fs::write(dir.join("new.yaml"), "# nothing\n").expect("a file");
    git.run(&["branch", "new"]);
    place.until_published(&daemon, 18);
    assert!(!place.path("pending").exists(), "{}", daemon.process.log());
    let (_, mixed) = place.generations();
    assert!(mixed.is_empty(), "{mixed:?}");
}

#[test]
fn a_commit_that_comes_between_two_directories_is_seen() {
    for (source, word) in [("git", "ls-tree"), ("worktree", "rev-parse")] {
        let place = Place::new();
        let (git, [_, second]) = repository(&place);
        let script = format!("git -C '{}' reset -q --hard {second}", git.dir.display());
        let command = interrupted(&place, &git.dir, source, word, &script);
        check(&place, command, &git, &git.dir.join("one"));
    }
}

#[test]
fn a_link_that_flips_between_two_directories_is_seen() {
    for (source, word) in [("git", "ls-tree"), ("worktree", "rev-parse")] {
        let place = Place::new();
        let (git, commits) = repository(&place);
        for (name, commit) in ["first", "second"].into_iter().zip(&commits) {
            git.run(&["worktree", "add", "-q", "--detach", &format!("../{name}"), commit]);
        }
        let current = place.path("current");
        symlink("first", &current).expect("a link");
        let script = format!("ln -sfn second '{}'", current.display());
        let command = interrupted(&place, &current, source, word, &script);
        check(&place, command, &git, &place.path("first/one"));
    }
}

/// A directory below which the second mesh lies in another repository, and the directory of that.
type Nested = fn(&Place, &Git) -> (Git, Git);

const NESTED: [(&str, Nested); 2] = [
    ("a submodule", |place, inner| {
        let above = Git::init(&place.path("above"), &[]);
        above.run(&["submodule", "--quiet", "add", inner.dir.to_str().expect("UTF-8"), "two"]);
        fs::write(above.dir.join("one.yaml"), policies("one", 17)).expect("a file");
        above.commit("with a submodule");
        let sub = Git::at(above.dir.join("two"));
        (above, sub)
    }),
    ("a clone in a plain directory", |place, inner| {
        let above = Git::at(place.path("above"));
        fs::create_dir(&above.dir).expect("a directory");
        fs::write(above.dir.join("one.yaml"), policies("one", 17)).expect("a file");
        above.run(&["clone", "-q", inner.dir.to_str().expect("UTF-8"), "two"]);
        let clone = Git::at(above.dir.join("two"));
        (above, clone)
    }),
];

#[test]
fn what_git_does_in_a_repository_below_is_waited_for() {
    for (what, nest) in NESTED {
        let place = Place::new();
        let inner = Git::init(&place.path("inner"), &[]);
        fs::write(inner.dir.join("mesh.yaml"), policies("two", 17)).expect("a file");
        inner.commit("words");
        let (above, below) = nest(&place, &inner);
        assert_eq!(place.publish(&above.dir, "auto"), Ok(stamps_are(17)), "{what}");
        let lock = below.run(&["rev-parse", "--absolute-git-dir"]) + "/index.lock";
        fs::write(&lock, "").expect("a lock");
        for (mesh, dir) in MESHES
            .iter()
            .zip([above.dir.join("one.yaml"), below.dir.join("mesh.yaml")])
        {
            fs::write(dir, policies(mesh, 18)).expect("a file");
        }
        let said = place.publish(&above.dir, "auto").expect_err(what);
        let lock_is_named = said.contains("two/index.lock") || said.contains("two/.git/index.lock");
        assert!(said.contains("a Git command is under way") && lock_is_named, "{said}");
        assert_eq!(place.stamps(), stamps_are(17), "{what}");
        fs::remove_file(&lock).expect("our own lock");
        assert_eq!(place.publish(&above.dir, "auto"), Ok(stamps_are(18)), "{what}");
    }
}

#[test]
fn files_of_a_submodule_without_its_repository_are_only_files() {
    let place = Place::new();
    let root = place.path("policies");
    apart(&root, 17);
    fs::write(root.join("two/.git"), "gitdir: ../.git/modules/two\n").expect("a file");
    assert_eq!(place.publish(&root, "auto"), Ok(stamps_are(17)));
}
