//! Lost events, limits of watches, and many events.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::{Daemon, Place, policies, stamp, stamps_are};
use crate::kit::git::Git;
use crate::kit::wait;

/// A daemon in a user namespace of its own, in which a limit of inotify is lower; that of nobody else changes.
fn daemon_with(place: &Place, root: &Path, limit: &str, value: u32) -> Daemon {
    let command = place.meshtraced(root, "auto", &["run", "-v"]);
    let script = "echo \"$1\" > \"/proc/sys/user/$0\" || exit 99; shift; exec \"$@\"";
    let mut wrapped = Command::new("unshare");
    wrapped.args([
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        script,
        limit,
        &value.to_string(),
    ]);
    wrapped.arg(command.get_program()).args(command.get_args());
    wrapped.current_dir(place.dir.path()).env("MESHTRACED_RESCAN", "1s");
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap_or(OsStr::new("")));
    }
    place.daemon_by(wrapped)
}

#[test]
fn without_watches_it_says_so_and_looks_by_itself() {
    for (limit, words) in [
        ("max_inotify_watches", "fs.inotify.max_user_watches"),
        ("max_inotify_instances", "fs.inotify.max_user_instances"),
    ] {
        let place = Place::new();
        let root = place.path("policies");
        stamp(&root, 17);
        // One watch is too few: the directory above is watched too.
        let daemon = daemon_with(&place, &root, limit, u32::from(limit.ends_with("watches")));
        let status = daemon.until("the watch is degraded", |status| {
            status["watch"]["degraded_reason"].is_string()
        });
        assert!(
            status["watch"]["degraded_reason"].to_string().contains(words),
            "{limit}: {status:#}"
        );
        daemon.until_said("changes are found at the next rescan");
        for stamped in [17, 18, 19] {
            stamp(&root, stamped);
            place.until_published(&daemon, stamped);
        }
        assert_eq!(
            daemon
                .process
                .log()
                .matches("changes are found at the next rescan")
                .count(),
            1
        );
    }
}

#[test]
fn watches_that_are_to_be_had_again_are_taken() {
    let place = Place::new();
    let root = place.path("policies");
    stamp(&root, 17);
    for at in 0..20 {
        fs::create_dir(root.join(format!("d{at}"))).expect("a directory");
    }
    let daemon = daemon_with(&place, &root, "max_inotify_watches", 10);
    daemon.until("the watch is degraded", |status| {
        status["watch"]["degraded_reason"].is_string()
    });
    for at in 0..20 {
        fs::remove_dir(root.join(format!("d{at}"))).expect("our own directory");
    }
    let status = daemon.until("the watch is whole again", |status| {
        status["watch"]["degraded_reason"].is_null()
    });
    assert!(status["watch"]["directories"].as_u64() >= Some(2), "{status:#}");
    daemon.until_said("changes of the policies are watched again");
    stamp(&root, 18);
    place.until_published(&daemon, 18);
}

/// How many events wait for a process at most.
fn queue() -> usize {
    let text = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("the tests need inotify");
    text.trim().parse().expect("a number")
}

#[test]
fn events_that_were_lost_are_made_up_for() {
    let place = Place::new();
    let root = place.path("policies");
    stamp(&root, 17);
    let mut command = place.meshtraced(&root, "auto", &["run", "-v"]);
    // Only events, and what follows from their loss, may lead to the change.
    command.env("MESHTRACED_RESCAN", "1h");
    let daemon = place.daemon_by(command);
    place.until_published(&daemon, 17);
    daemon.signal(Signal::STOP);
    // Each is two events.
    let names = [root.join("x.yaml"), root.join("y.yaml")];
    fs::write(&names[0], "# nothing\n").expect("a file");
    for at in 0..queue() {
        fs::rename(&names[at % 2], &names[(at + 1) % 2]).expect("renamed");
    }
    // Of all this the queue has no room for a word.
    fs::create_dir(root.join("new")).expect("a directory");
    for mesh in ["one", "two"] {
        fs::remove_file(root.join(mesh).with_extension("yaml")).expect("a file");
    }
    stamp(&root.join("new"), 18);
    daemon.signal(Signal::CONT);
    place.until_published(&daemon, 18);
    daemon.until("the loss is counted", |status| {
        status["watch"]["overflows"].as_u64() >= Some(1) && status["watch"]["rearmed"].as_u64() >= Some(2)
    });
    // The new watch hears what happens in the new directory.
    stamp(&root.join("new"), 19);
    place.until_published(&daemon, 19);
}

#[test]
fn reading_many_files_wakes_nobody() {
    let place = Place::new();
    let root = place.path("policies");
    stamp(&root, 17);
    for at in 0..20_000 {
        let dir = root.join(format!("d{}", at % 100));
        if at < 100 {
            fs::create_dir(&dir).expect("a directory");
        }
        fs::write(dir.join(format!("{at}.yaml")), "# nothing\n").expect("a file");
    }
    let daemon = place.daemon(&root, "auto");
    daemon.until("its first turn", |status| status["watch"]["files"] == 20_002);
    let turns = || ["changed", "unchanged", "failed"].map(|result| daemon.reconciliations(result));
    // Whatever its own reading would lead to comes before the answer to a change that is made after it.
    for stamped in [18, 19] {
        stamp(&root, stamped);
        place.until_published(&daemon, stamped);
    }
    let before = settled(&turns);
    let files = walkdir::WalkDir::new(&root)
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_type().is_file());
    let read: usize = files.map(|entry| fs::read(entry.path()).expect("a file").len()).sum();
    assert!(read > 200_000);
    stamp(&root, 20);
    place.until_published(&daemon, 20);
    let after = settled(&turns);
    // The change, which is of two files; perhaps one turn for each.
    assert!(
        after[0] - before[0] <= 2 && after[1] - before[1] <= 1 && after[2] == before[2],
        "{before:?} {after:?}"
    );
    assert_eq!(daemon.status().expect("a status")["watch"]["overflows"], 0);
}

/// What counters say once they stay the same for some looks.
fn settled(counters: &dyn Fn() -> [u64; 3]) -> [u64; 3] {
    let (mut last, mut same) = (counters(), 0);
    wait::until("the counters stay", || {
        let now = counters();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        if same > 40 { Ok(now) } else { Err(format!("{now:?}")) }
    })
}

#[test]
fn a_checkout_with_twenty_thousand_events_is_one_compilation() {
    let place = Place::new();
    let git = Git::init(&place.path("repository"), &[]);
    let mut commits = Vec::new();
    for stamped in [17, 18] {
        for at in 0..5_000 {
            let dir = git.dir.join(format!("d{}", at % 50));
            fs::create_dir_all(&dir).expect("a directory");
            fs::write(dir.join(format!("{at}.yaml")), format!("# {stamped}\n")).expect("a file");
        }
        fs::write(git.dir.join("a.yaml"), policies("one", stamped)).expect("a file");
        fs::write(git.dir.join("z.yaml"), policies("two", stamped)).expect("a file");
        commits.push(git.commit(&format!("stamp {stamped}")));
    }
    for source in ["git", "worktree"] {
        git.run(&["checkout", "-q", "-B", "main", &commits[0]]);
        let daemon = place.daemon(&git.dir, source);
        let at = |status: &serde_json::Value, commit: &str| {
            status["revisions"]["published"]["commit"] == commit
                && !status["revisions"]["published"]["name"].to_string().contains('+')
        };
        daemon.until("the first commit", |status| at(status, &commits[0]));
        place.until_published(&daemon, 17);
        let turns = || ["changed", "unchanged", "failed"].map(|result| daemon.reconciliations(result));
        let before = settled(&turns);
        git.run(&["reset", "-q", "--hard", &commits[1]]);
        daemon.until("the second commit", |status| at(status, &commits[1]));
        let after = settled(&turns);
        assert_eq!(place.stamps(), stamps_are(18));
        // Publishing is counted once; a look that finds a work tree busy compiles nothing.
        assert_eq!(
            (after[0] - before[0], after[2] - before[2]),
            (1, 0),
            "{source}: {before:?} {after:?}"
        );
        if source == "git" {
            assert_eq!(
                after[1],
                before[1],
                "{source}: a look for nothing\n{}",
                daemon.process.log()
            );
        }
        let said = daemon
            .process
            .log()
            .matches(&format!("main@{}", &commits[1][..7]))
            .count();
        assert!(said >= 1, "{}", daemon.process.log());
    }
    assert_eq!(place.generations().1, vec![]);
}

#[test]
fn links_that_multiply_each_other_come_to_an_end() {
    let place = Place::new();
    let git = Git::init(&place.path("repository"), &[]);
    stamp(&git.dir, 17);
    git.commit("words");
    // Each directory shows the next one twice.
    for level in 0..25 {
        let dir = git.dir.join(format!("d{level}"));
        fs::create_dir(&dir).expect("a directory");
        for name in ["a", "b"] {
            symlink(format!("../d{}", level + 1), dir.join(name)).expect("a link");
        }
    }
    stamp(&git.dir.join("d25"), 18);
    git.commit("links");
    for source in ["git", "worktree"] {
        let said = place.publish(&git.dir, source).expect_err(source);
        assert!(said.contains("links to directories multiply each other"), "{said}");
    }
}
