//! The files of a Git work tree, while Git changes them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::{Place, policies, stamp, stamps_are};
use crate::kit::git::Git;
use crate::kit::wait;

fn repository(place: &Place) -> Git {
    let git = Git::init(&place.path("repository"), &[]);
    stamp(&git.dir.join("policies"), 17);
    git.commit("first words");
    git
}

#[test]
fn a_lock_holds_everything_up_and_says_so_until_it_goes() {
    let place = Place::new();
    let git = repository(&place);
    let linked = place.path("linked");
    git.run(&["worktree", "add", "-q", "../linked"]);
    let git_dir = git.dir.join(".git/worktrees/linked");
    for (root, lock) in [
        (&git.dir, git.dir.join(".git/index.lock")),
        (&linked, git_dir.join("HEAD.lock")),
    ] {
        let root = root.join("policies");
        fs::write(root.join("one.yaml"), policies("one", 17)).expect("a file");
        let daemon = place.daemon(&root, "auto");
        daemon.until("its first turn", |status| status["revisions"]["published"].is_object());
        fs::write(&lock, "").expect("a lock");
        stamp(&root, 18);
        let status = daemon.until("it waits", |status| status["waiting"].is_object());
        let why = status["waiting"]["why"].as_str().expect("words");
        for word in [
            "a Git command is under way",
            "if no git runs there any more",
            lock.to_str().expect("UTF-8"),
        ] {
            assert!(why.contains(word), "{why}");
        }
        daemon.until_said("until then nothing is compiled");
        assert_eq!(place.stamps(), stamps_are(17));
        let output = place
            .meshtraced(&root, "auto", &["status"])
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            (output.status.code(), said.contains("\nwaiting ")),
            (Some(1), true),
            "{said}"
        );
        fs::remove_file(&lock).expect("our own lock");
        place.until_published(&daemon, 18);
        daemon.until("it waits no more", |status| status["waiting"].is_null());
        daemon.until_said("the Git operation has ended");
        assert_eq!(
            daemon.process.log().matches("until then nothing is compiled").count(),
            1
        );
        stamp(&root, 17);
        place.until_published(&daemon, 17);
    }
}

/// Brings a repository into the middle of an operation, and the words for it.
type Begin = fn(&Git) -> (&'static str, &'static [&'static str]);

/// Each begins on `main`, of which `side` is another line of history that changes the same file.
const OPERATIONS: [Begin; 7] = [
    |git| {
        assert!(!git.try_run(&["merge", "side"]).0);
        ("a merge", &["merge", "--abort"])
    },
    |git| {
        assert!(!git.try_run(&["rebase", "side"]).0);
        ("a rebase", &["rebase", "--abort"])
    },
    |git| {
        assert!(!git.try_run(&["rebase", "--apply", "side"]).0);
        ("a rebase", &["rebase", "--abort"])
    },
    |git| {
        assert!(!git.try_run(&["cherry-pick", "side"]).0);
        ("a cherry-pick", &["cherry-pick", "--abort"])
    },
    |git| {
        assert!(!git.try_run(&["revert", "HEAD~1"]).0);
        ("a revert", &["revert", "--abort"])
    },
    |git| {
        // The second of three was solved by hand, and the third is still to come.
        assert!(!git.try_run(&["cherry-pick", "side~1", "side", "side~2"]).0);
        git.run(&["checkout", "--ours", "."]);
        git.commit("solved by hand");
        assert!(!git.dir.join(".git/CHERRY_PICK_HEAD").exists());
        ("a series of cherry-picks", &["cherry-pick", "--quit"])
    },
    |git| {
        git.run(&["bisect", "start", "HEAD", "HEAD~2"]);
        ("a bisection", &["bisect", "reset"])
    },
];

#[test]
fn nothing_is_compiled_in_the_middle_of_an_operation() {
    for begin in OPERATIONS {
        let place = Place::new();
        let git = repository(&place);
        let root = git.dir.join("policies");
        git.run(&["checkout", "-q", "-b", "side"]);
        for stamped in [30, 31, 32] {
            stamp(&root, stamped);
            git.commit("on the side");
        }
        git.run(&["checkout", "-q", "main"]);
        for stamped in [18, 19] {
            stamp(&root, stamped);
            git.commit("on main");
        }
        assert_eq!(place.publish(&root, "auto"), Ok(stamps_are(19)));
        let (what, end) = begin(&git);
        let said = place.publish(&root, "auto").expect_err(what);
        assert!(
            said.contains(&format!("{what} ")) && said.contains("under way"),
            "{what}: {said}"
        );
        assert_eq!(place.stamps(), stamps_are(19));
        // Whoever is in the middle of it looks at the files as they are.
        let looked = place
            .meshtraced(&root, "auto", &["compile"])
            .output()
            .expect("it starts");
        assert!(!String::from_utf8_lossy(&looked.stderr).contains("under way"));
        // Commits are whole at any time.
        assert!(place.publish(&root, "git").is_ok(), "{what}");
        git.run(end);
        git.run(&["reset", "-q", "--hard"]);
        assert!(place.publish(&root, "auto").is_ok(), "{what}");
    }
}

#[test]
fn changed_files_have_a_name_of_their_own() {
    let place = Place::new();
    let git = repository(&place);
    let root = git.dir.join("policies");
    let head = format!("main@{}", &git.head()[..7]);
    let modified = |place: &Place| place.revision().starts_with(&format!("{head}+"));
    stamp(&root, 18);
    place.publish(&root, "auto").expect("published");
    assert!(modified(&place), "{}", place.revision());
    // Neither files that are not read, nor those that cannot be, nor ends of lines make another text.
    git.run(&["config", "core.autocrlf", "true"]);
    fs::write(
        root.join("lfs.yaml"),
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    )
    .expect("a file");
    fs::write(root.join("empty.yaml"), "").expect("a file");
    stamp(&root, 19);
    let head = format!("main@{}", &git.commit("second words")[..7]);
    for mesh in ["one", "two"] {
        fs::remove_file(root.join(mesh).with_extension("yaml")).expect("a file");
    }
    git.run(&["checkout", "-q", "."]);
    assert!(
        fs::read_to_string(root.join("one.yaml"))
            .expect("a file")
            .contains("\r\n")
    );
    fs::write(root.join("notes.txt"), "x").expect("a file");
    place.publish(&root, "auto").expect("published");
    assert_eq!((place.revision(), place.stamps()), (head, stamps_are(19)));
}

#[test]
fn a_commit_does_not_name_what_it_does_not_hold() {
    let place = Place::new();
    let git = repository(&place);
    fs::write(git.dir.join(".gitignore"), "/scratch\n").expect("a file");
    git.commit("second words");
    let scratch = git.dir.join("scratch");
    fs::create_dir(&scratch).expect("a directory");
    stamp(&scratch, 21);
    place.publish(&scratch, "auto").expect("published");
    assert!(!place.revision().contains('@'), "{}", place.revision());
    assert_eq!(place.stamps(), stamps_are(21));
}

/// So many files that a checkout takes a while, with policies first and last in the order of Git.
fn large(dir: &Path, stamped: u32) {
    for at in 0..1500 {
        let path = dir.join(format!("m{:02}", at % 50));
        fs::create_dir_all(&path).expect("a directory");
        fs::write(path.join(format!("{at}.yaml")), format!("# {stamped}\n")).expect("a file");
    }
    for (mesh, name) in [("one", "a.yaml"), ("two", "z.yaml")] {
        fs::write(dir.join(name), policies(mesh, stamped)).expect("a file");
    }
}

#[test]
fn what_a_killed_git_leaves_is_never_published() {
    let place = Place::new();
    let git = Git::init(&place.path("repository"), &[]);
    let mut commits = Vec::new();
    for stamped in [17, 18] {
        large(&git.dir, stamped);
        commits.push((git.commit("words"), stamped));
    }
    let daemon = place.daemon(&git.dir, "auto");
    place.until_published(&daemon, 18);
    let mut killed_halfway = 0;
    for round in 0..12_u64 {
        let (commit, stamped) = &commits[usize::from(round % 2 == 1)];
        let mut child = git.command(&["checkout", "-q", commit]).spawn().expect("git starts");
        // Anywhere in it; where exactly decides nothing but how much is seen.
        thread::sleep(Duration::from_millis(round * 6));
        child.kill().expect("our own child");
        child.wait().expect("our own child");
        let lock = git.dir.join(".git/index.lock");
        if lock.exists() {
            let is_there = |name: &str| fs::read_to_string(git.dir.join(name)).unwrap_or_default();
            let is_new = |name: &str| is_there(name).contains(&format!("sampling: {stamped}\n"));
            killed_halfway += usize::from(is_new("a.yaml") != is_new("z.yaml"));
            let status = daemon.until("it waits", |status| status["waiting"].is_object());
            // What a person does who follows the message: what the files are then is a commit again.
            let waiting = status["waiting"]["why"].as_str().expect("words");
            let advice = waiting.split('`').nth(1).expect("a command");
            let followed = Command::new("sh").args(["-c", advice]).output().expect("a shell");
            assert!(followed.status.success(), "{advice}: {followed:?}");
            assert_eq!(git.run(&["status", "--porcelain"]), "", "{advice}");
        }
        git.run(&["reset", "-q", "--hard", commit]);
        daemon.until("the commit", |status| {
            let published = &status["revisions"]["published"];
            published["commit"] == commit.as_str() && !published["name"].as_str().unwrap_or("+").contains('+')
        });
        assert_eq!(place.stamps(), stamps_are(*stamped), "{}", daemon.process.log());
    }
    wait::until("it is at rest", || {
        if daemon.status()?["waiting"].is_null() {
            Ok(())
        } else {
            Err("waits".to_owned())
        }
    });
    println!("{killed_halfway} of 12 were killed between the two policies");
}
