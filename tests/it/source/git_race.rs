//! Commits that change by every Git operation, interrupted at any point: the published files are always those of
//! one commit, and finally those of the last one.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;
use std::{env, fs, thread};

use rustix::process::{Pid, Signal, kill_process};

use super::{MESHES, Place, policies, stamps_are};
use crate::kit::git::Git;

/// Files of which each commit has another text; the two with policies are the first and the last.
const FILES: usize = 5000;

/// How often another commit is checked out; more with this variable.
const MOVES: &str = "HAMMER_MOVES";

fn write(git: &Git, stamp: u32) {
    for i in 0..FILES {
        let directory = git.dir.join(format!("d{:02}", i / 100));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join(format!("f{i:04}.yaml")), format!("# {stamp}\n")).expect("a file");
    }
    for (mesh, directory) in MESHES.iter().zip(["d00", "d49"]) {
        let path = git.dir.join(directory).join(format!("m-{mesh}.yaml"));
        fs::write(path, policies(mesh, stamp)).expect("a file");
    }
}

/// A repository with branches `b1` to `b3` that begin at the same commit, and the stamps of all commits.
fn branches(place: &Place) -> (Git, BTreeMap<String, u32>) {
    let git = Git::init(&place.path("repository"), &[]);
    write(&git, 10);
    let mut stamps = BTreeMap::from([(git.commit("0"), 10)]);
    for branch in 1..4 {
        git.run(&["checkout", "-q", "-B", &format!("b{branch}"), "main"]);
        write(&git, 10 + branch);
        stamps.insert(git.commit(&branch.to_string()), 10 + branch);
    }
    git.run(&["checkout", "-q", "-B", "work", "main"]);
    (git, stamps)
}

/// The commands that bring the work tree to the commit of a branch, in the `way`-th way.
fn commands(way: usize, branch: &str) -> Vec<Vec<&str>> {
    let back = vec!["reset", "-q", "--hard", "main"];
    match way % 6 {
        0 => vec![vec!["reset", "-q", "--hard", branch]],
        1 => vec![vec!["checkout", "-q", "--detach", branch]],
        2 => vec![back, vec!["merge", "-q", "--ff-only", branch]],
        3 => vec![back, vec!["rebase", "-q", branch]],
        4 => vec![back, vec!["pull", "-q", "--ff-only", ".", branch]],
        // What is put away is what was committed, so that every state in between is a commit too.
        _ => vec![vec!["checkout", "-q", "-B", "work", branch], vec!["stash", "-q"]],
    }
}

/// Runs a command and stops it once on its way, long enough for the daemon to look.
fn run_with_a_stop(git: &Git, arguments: &[&str], after: Duration) {
    let mut command = git.command(arguments);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("git starts");
    thread::sleep(after);
    let pid = Pid::from_child(&child);
    // It may have ended, and is not waited for yet.
    let _ = kill_process(pid, Signal::STOP);
    thread::sleep(Duration::from_millis(300));
    let _ = kill_process(pid, Signal::CONT);
    assert!(child.wait().expect("it ends").success(), "git {arguments:?}");
}

fn hammer(source: &str) {
    let place = Place::new();
    let (git, stamps) = branches(&place);
    let mut command = place.meshtraced(&git.dir, source, &["run", "-v"]);
    command.env("MESHTRACED_DEBOUNCE", "20ms");
    let daemon = place.daemon_by(command);
    daemon.until("a first turn", |status| status["revisions"]["published"].is_object());
    let moves = env::var(MOVES).ok().and_then(|moves| moves.parse().ok());
    let moves: usize = moves.unwrap_or(12);
    for step in 0..moves {
        let branch = format!("b{}", 1 + step % 3);
        for command in commands(step, &branch) {
            // Another place each time.
            let after = Duration::from_millis((step as u64 * 37) % 150);
            run_with_a_stop(&git, &command, after);
        }
        // Long enough for a look at files that are at rest, or for the beginning of one.
        thread::sleep(Duration::from_millis((step as u64 * 113) % 900));
    }
    let last = git.head();
    daemon.until("the last commit is published", |status| {
        let published = &status["revisions"]["published"];
        published["commit"] == *last && !published["name"].as_str().unwrap_or("+").contains('+')
    });
    let (generations, mixed) = place.generations();
    assert!(mixed.is_empty(), "{mixed:?}");
    assert!(generations.len() > 1, "{generations:?}");
    for (name, found) in &generations {
        let short = name.rsplit('@').next().unwrap_or_default();
        let commit = stamps.iter().find(|(commit, _)| commit.starts_with(short));
        let (_, stamp) = commit.unwrap_or_else(|| panic!("{name} is no commit; it has {found:?}"));
        assert_eq!(*found, stamps_are(*stamp), "{name}");
    }
    assert_eq!(place.stamps(), stamps_are(stamps[&last]));
    println!("{source}: {} generations in {moves} moves", generations.len());
}

#[test]
fn commits_by_their_objects() {
    hammer("git");
}

#[test]
fn commits_by_their_files() {
    hammer("worktree");
}
