//! Events tell which files to read again, and never make a snapshot differ from one that is read as a whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use meshtraced::source::watch::Watcher;
use meshtraced::source::{Consistency, ReadWork, Reader, Scan, Snapshot, Sources, read};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::sync::Notify;

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

fn content(snapshot: &Snapshot) -> (Vec<(&str, &str)>, Vec<String>) {
    let files = snapshot
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.text.as_str()));
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
    assert_eq!(content(&snapshot).0[0], ("0.yaml", "a: 2"));
}
