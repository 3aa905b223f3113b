//! Events tell which files to read again, and never make a snapshot differ from one that is read as a whole.

use std::borrow::Cow;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use meshtraced::source::watch::Watcher;
use meshtraced::source::{Consistency, Mode, ReadWork, Reader, Scan, Snapshot, Sources, read};
use meshtraced::words::with_causes;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::sync::Notify;

use crate::kit::git::Git;

/// Names that are read, that are not, that are hidden, and a directory with the name of a file.
const PATHS: [&str; 9] = [
    "a.yaml",
    "b.yml",
    "c.txt",
    ".hidden.yaml",
    "d/e.yaml",
    "d/f/g.json",
    "d/f",
    "h.yaml/i.yaml",
    "j.yaml",
];

#[derive(Debug, Clone)]
enum Edit {
    Write(usize, u8),
    /// As editors and Git do: another file takes the name.
    Replace(usize, u8),
    Remove(usize),
    Rename(usize, usize),
    Directory(usize),
    Link(usize, usize),
    /// A file is made unreadable as text.
    Spoil(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let path = || 0..PATHS.len();
    prop_oneof![
        8 => (path(), 0..4_u8).prop_map(|(path, text)| Edit::Write(path, text)),
        8 => (path(), 0..4_u8).prop_map(|(path, text)| Edit::Replace(path, text)),
        4 => path().prop_map(Edit::Remove),
        4 => (path(), path()).prop_map(|(from, to)| Edit::Rename(from, to)),
        1 => path().prop_map(Edit::Directory),
        1 => (path(), path()).prop_map(|(path, to)| Edit::Link(path, to)),
        1 => path().prop_map(Edit::Spoil),
    ]
}

/// Carries out an edit, as far as the tree allows it.
fn carry_out(root: &Path, edit: &Edit) {
    let path = |i: usize| root.join(PATHS[i]);
    let text = |text: u8| format!("text: {text}\n");
    let with_parent = |path: PathBuf| {
        let _ = fs::create_dir_all(path.parent().expect("a parent"));
        path
    };
    // Many edits are impossible in many trees.
    let _ = match edit {
        Edit::Write(i, content) => fs::write(with_parent(path(*i)), text(*content)),
        Edit::Replace(i, content) => {
            let aside = with_parent(path(*i)).with_extension("tmp");
            fs::write(&aside, text(*content)).and_then(|()| fs::rename(&aside, path(*i)))
        }
        Edit::Remove(i) if path(*i).is_dir() => fs::remove_dir_all(path(*i)),
        Edit::Remove(i) => fs::remove_file(path(*i)),
        Edit::Rename(from, to) => fs::rename(path(*from), with_parent(path(*to))),
        Edit::Directory(i) => fs::create_dir_all(path(*i)),
        Edit::Link(i, to) => symlink(path(*to), with_parent(path(*i))),
        Edit::Spoil(i) => fs::write(with_parent(path(*i)), b"\xff\xff"),
    };
}

/// A reader with a watch on a directory.
fn reader(root: &Path, beacon: &Path) -> Reader {
    fs::write(beacon, "").expect("a file");
    let mut reader = Reader::default();
    let sources = Sources::one(root);
    reader.watch(Watcher::new(&sources, Arc::new(Notify::new()), Some(beacon.to_owned())));
    reader
}

fn scan(reader: &mut Reader, root: &Path, scan: Scan) -> Snapshot {
    let snapshot = reader.read(&Sources::one(root), 1 << 20, Consistency::Stable, scan);
    snapshot.expect("it can be read")
}

fn content(snapshot: &Snapshot) -> (Vec<(&str, Cow<'_, str>)>, Vec<String>) {
    let files = snapshot.files.iter().map(|file| (file.path.as_str(), file.text()));
    let unreadable = snapshot
        .unreadable
        .iter()
        .map(|file| format!("{}: {}", file.path, file.reason));
    (files.collect(), unreadable.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_scan_of_changes_finds_what_a_full_scan_finds(edits in vec(vec(edit(), 1..4), 1..8)) {
        let (dir, own) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let mut reader = reader(dir.path(), &own.path().join("beacon"));
        scan(&mut reader, dir.path(), Scan::Full);
        for edits in &edits {
            edits.iter().for_each(|edit| carry_out(dir.path(), edit));
            let kept = scan(&mut reader, dir.path(), Scan::Changes);
            let fresh = read(&Sources::one(dir.path()), 1 << 20, Consistency::Stable).expect("it can be read");
            prop_assert_eq!(content(&kept), content(&fresh), "after {:?}", edits);
        }
    }
}

/// A change in a repository whose policies are in a directory below its top.
#[derive(Debug, Clone)]
enum GitEdit {
    File(Edit),
    /// A file beside the policies.
    Beside(u8),
    Commit,
    /// The work tree becomes as the commit.
    Reset,
    /// The commit before.
    Back,
    /// The newest commit.
    Forth,
    /// The last commit is replaced by another one.
    Amend,
}

fn git_edit() -> impl Strategy<Value = GitEdit> {
    prop_oneof![
        12 => edit().prop_map(GitEdit::File),
        1 => (0..4_u8).prop_map(GitEdit::Beside),
        6 => Just(GitEdit::Commit),
        1 => Just(GitEdit::Reset),
        2 => Just(GitEdit::Back),
        2 => Just(GitEdit::Forth),
        1 => Just(GitEdit::Amend),
    ]
}

fn carry_out_in(git: &Git, root: &Path, edit: &GitEdit) {
    // Some are impossible at some moments.
    let _ = match edit {
        GitEdit::File(edit) => return carry_out(root, edit),
        GitEdit::Beside(text) => {
            return fs::write(git.dir.join("beside.yaml"), format!("text: {text}")).expect("a file");
        }
        GitEdit::Commit => {
            let added = git.try_run(&["add", "-A"]);
            (added.0 && git.try_run(&["commit", "-q", "-m", "edit"]).0, added.1)
        }
        GitEdit::Reset => git.try_run(&["reset", "-q", "--hard"]),
        GitEdit::Back => git.try_run(&["checkout", "-q", "HEAD~1"]),
        GitEdit::Forth => git.try_run(&["checkout", "-q", "main"]),
        GitEdit::Amend => git.try_run(&["commit", "-q", "-a", "--amend", "-m", "amended"]),
    };
    // The policies must be there, whatever was checked out.
    fs::create_dir_all(root).expect("a directory");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_repository_is_followed_as_it_is_read(
        edits in vec((vec(git_edit(), 1..4), any::<bool>()), 1..6),
        mode in prop_oneof![Just(Mode::Git), Just(Mode::Worktree)],
    ) {
        let (dir, own) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let root = dir.path().join("policies");
        let git = Git::init(dir.path(), &[]);
        carry_out(&root, &Edit::Write(0, 0));
        carry_out(&root, &Edit::Write(4, 0));
        git.commit("first");
        let sources = Sources { mode, ..Sources::one(&root) };
        let beacon = own.path().join("beacon");
        fs::write(&beacon, "").expect("a file");
        let mut reader = Reader::default();
        reader.watch(Watcher::new(&sources, Arc::new(Notify::new()), Some(beacon)));
        let read_now = |reader: &mut Reader, scan| {
            reader.read(&sources, 1 << 20, Consistency::Stable, scan).map_err(|error| with_causes(&error))
        };
        read_now(&mut reader, Scan::Full).expect("it can be read");
        for (edits, is_full) in &edits {
            edits.iter().for_each(|edit| carry_out_in(&git, &root, edit));
            let scan = if *is_full { Scan::Full } else { Scan::Changes };
            let (kept, fresh) = (read_now(&mut reader, scan), read_now(&mut Reader::default(), Scan::Full));
            let seen = |snapshot: &Result<Snapshot, String>| {
                let content = |snapshot: &Snapshot| format!("{:?} {:?}", content(snapshot), snapshot.commit());
                snapshot.as_ref().map(content).map_err(Clone::clone)
            };
            prop_assert_eq!(seen(&kept), seen(&fresh), "after {:?}", edits);
        }
    }
}

#[test]
fn a_commit_costs_the_files_that_it_changes() {
    const FILES: usize = 100;
    let dir = tempfile::tempdir().expect("a directory");
    let own = tempfile::tempdir().expect("a directory");
    let git = Git::init(dir.path(), &[]);
    let write = |i: usize, text: &str| fs::write(dir.path().join(format!("{i}.yaml")), text).expect("a file");
    (0..FILES).for_each(|i| write(i, "a: 1"));
    git.commit("first");
    for mode in [Mode::Git, Mode::Worktree] {
        let sources = Sources {
            mode,
            ..Sources::one(dir.path())
        };
        let beacon = own.path().join("beacon");
        fs::write(&beacon, "").expect("a file");
        let mut reader = Reader::default();
        reader.watch(Watcher::new(&sources, Arc::new(Notify::new()), Some(beacon)));
        let mut work = |scan| {
            let snapshot = reader
                .read(&sources, 1 << 20, Consistency::Stable, scan)
                .expect("readable");
            assert!(
                snapshot.commit().is_some_and(|commit| !commit.is_modified),
                "{:?}",
                snapshot.commit()
            );
            reader.work()
        };
        assert_eq!(work(Scan::Full).changed, FILES);
        for i in 0..3 {
            write(i, &format!("a: {mode:?}"));
            fs::remove_file(dir.path().join(format!("{}.yaml", 50 + i))).expect("our own file");
            git.commit("next");
            let ReadWork { looked_at, changed } = work(Scan::Changes);
            // A path may be looked at again, when more of its events come.
            assert!((2..=8).contains(&looked_at), "{mode:?}: {looked_at}");
            assert_eq!(changed, 1, "{mode:?}");
            write(50 + i, "a: 1");
            git.commit("back");
            assert_eq!(work(Scan::Changes).changed, 1, "{mode:?}");
        }
    }
}

#[test]
fn only_the_files_that_changed_are_looked_at() {
    const FILES: usize = 100;
    let (dir, own) = (
        tempfile::tempdir().expect("a directory"),
        tempfile::tempdir().expect("a directory"),
    );
    for i in 0..FILES {
        fs::write(dir.path().join(format!("{i}.yaml")), "a: 1").expect("a file");
    }
    let mut reader = reader(dir.path(), &own.path().join("beacon"));
    let mut work = |which, expected_changes: usize| {
        scan(&mut reader, dir.path(), which);
        let ReadWork { looked_at, changed } = reader.work();
        assert_eq!(changed, expected_changes);
        looked_at
    };
    assert_eq!(work(Scan::Full, FILES), FILES);
    assert_eq!(work(Scan::Changes, 0), 0);
    // A path may be looked at again, when more of its events come.
    const FEW: std::ops::RangeInclusive<usize> = 1..=6;
    fs::write(dir.path().join("7.yaml"), "a: 2").expect("a file");
    assert!(FEW.contains(&work(Scan::Changes, 1)));
    // A file in its place, by way of another name.
    fs::write(dir.path().join("8.yaml.tmp"), "a: 2").expect("a file");
    fs::rename(dir.path().join("8.yaml.tmp"), dir.path().join("8.yaml")).expect("renamed");
    assert!(FEW.contains(&work(Scan::Changes, 1)));
    fs::remove_file(dir.path().join("9.yaml")).expect("our own file");
    assert!(FEW.contains(&work(Scan::Changes, 0)));
    // What events missed is found all the same.
    assert_eq!(work(Scan::Full, 0), FILES - 1);
}

#[test]
fn without_the_beacon_everything_is_looked_at() {
    let (dir, own) = (
        tempfile::tempdir().expect("a directory"),
        tempfile::tempdir().expect("a directory"),
    );
    for i in 0..10 {
        fs::write(dir.path().join(format!("{i}.yaml")), "a: 1").expect("a file");
    }
    let beacon = own.path().join("beacon");
    let mut reader = reader(dir.path(), &beacon);
    scan(&mut reader, dir.path(), Scan::Full);
    fs::remove_file(&beacon).expect("our own file");
    fs::write(dir.path().join("0.yaml"), "a: 2").expect("a file");
    let snapshot = scan(&mut reader, dir.path(), Scan::Changes);
    assert!(reader.work().looked_at >= 10);
    assert_eq!(content(&snapshot).0[0], ("0.yaml", "a: 2".into()));
}
