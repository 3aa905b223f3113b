//! Generations: recording, pruning, rollback, and damaged ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use meshtraced::apply::{self, ApplyError, Bases, Looks, Session, Target, history};
use meshtraced::envoy::artifact::{Artifact, Fragments};
use meshtraced::plan::{self, Constraints, Desired};

use crate::kit::publish::{apply, key, publish, publish_with};
use crate::publish::{files, out, states};

/// Fragments of one proxy, another for each number.
fn numbered(number: usize) -> Fragments {
    Fragments::from([(key("web"), files(&["a"], &number.to_string()))])
}

fn ids(target: &Target) -> Vec<u64> {
    history::list(&target.out)
        .expect("a history")
        .iter()
        .map(|generation| generation.id)
        .collect()
}

/// How many texts are kept.
fn objects(target: &Target) -> usize {
    fs::read_dir(target.out.root.join(".meshtraced/history/objects"))
        .expect("a directory")
        .count()
}

#[test]
fn every_publication_that_changes_something_is_a_generation() {
    let [first, second] = states();
    let (_dir, target) = out();
    assert_eq!(history::list(&target.out).expect("none yet"), []);
    assert_eq!(publish(&first, &target).generation, Some(1));
    assert_eq!(publish(&first, &target).generation, None);
    assert_eq!(publish(&second, &target).generation, Some(2));
    let generations = history::list(&target.out).expect("a history");
    let counts: Vec<_> = generations
        .iter()
        .map(|generation| {
            (
                generation.counts.added,
                generation.counts.changed,
                generation.counts.removed,
            )
        })
        .collect();
    assert_eq!(counts, [(2, 0, 0), (1, 1, 1)]);
    assert_eq!(generations[1].revision, "a revision");
    assert!(generations[0].time.ends_with('Z') && generations[0].time <= generations[1].time);
    assert_eq!(history::load(&target.out, 1).expect("kept"), first);
    assert_eq!(history::load(&target.out, 2).expect("kept"), second);
    // A text takes no room twice.
    let published = target.out.root.join("default/stays/xds/lds.yaml");
    assert_eq!(fs::metadata(published).expect("published").nlink(), 2);
}

#[test]
fn only_so_many_are_kept_and_nothing_else() {
    let (_dir, mut target) = out();
    for number in 1..=5 {
        publish(&numbered(number), &target);
    }
    assert_eq!(ids(&target), [3, 4, 5]);
    // Three listeners; clusters and the other three files, which are equal, are the same in all.
    assert_eq!(objects(&target), 3 + 2);
    let error = history::load(&target.out, 2).expect_err("it is gone");
    assert_eq!(
        error.to_string(),
        "there is no generation 2: 3 to 5 are kept (setting `history`)"
    );
    target.history = 1;
    publish(&numbered(5), &target);
    assert_eq!(ids(&target), [5]);
    assert_eq!(history::load(&target.out, 5).expect("kept"), numbered(5));
    target.history = 0;
    assert_eq!(publish(&numbered(6), &target).generation, None);
    assert_eq!((ids(&target), objects(&target)), (Vec::new(), 0));
    assert_eq!(
        history::load(&target.out, 6).expect_err("none").to_string(),
        "there is no generation 6: none is kept"
    );
}

#[test]
fn what_was_brought_back_can_be_brought_back_from() {
    let (_dir, target) = out();
    let all: Vec<Fragments> = (1..=2).map(numbered).collect();
    all.iter().for_each(|desired| drop(publish(desired, &target)));
    // Back to the first, and back from that.
    for (generation, expected) in [(1, &all[0]), (2, &all[1]), (3, &all[0])] {
        let outcome = publish(&history::load(&target.out, generation).expect("kept"), &target);
        assert_eq!(outcome.generation, Some(generation + 2));
        assert_eq!(&apply::observe(&target.out).expect("readable").applied, expected);
    }
    assert_eq!(ids(&target), [3, 4, 5]);
}

#[test]
fn a_text_that_somebody_changed_is_not_brought_back() {
    let (_dir, target) = out();
    publish(&numbered(1), &target);
    publish(&numbered(2), &target);
    let lds = target.out.root.join("default/web/xds/lds.yaml");
    // In place, as some editors do, so that the kept text changes with it.
    OpenOptions::new()
        .append(true)
        .open(&lds)
        .expect("ours")
        .write_all(b"# mine\n")
        .expect("written");
    let error = history::load(&target.out, 2).expect_err("it is another text");
    assert!(matches!(error, ApplyError::Damaged { .. }), "{error}");
    assert!(
        error.to_string().contains("history/objects/") && error.to_string().contains("somebody changed it"),
        "{error}"
    );
    assert_eq!(history::load(&target.out, 1).expect("it has another text"), numbered(1));
    // What is published again is kept again.
    publish(&numbered(2), &target);
    assert_eq!(history::load(&target.out, 2).expect("whole again"), numbered(2));
    assert_eq!(ids(&target), [1, 2]);
}

#[test]
fn a_damaged_generation_is_left_out_and_removed() {
    let (_dir, target) = out();
    (1..=2).for_each(|number| drop(publish(&numbered(number), &target)));
    let directory = target.out.root.join(".meshtraced/history/generations");
    for (id, text) in [(1, ""), (2, "{\"format\": 9}")] {
        fs::write(directory.join(format!("{id}.json")), text).expect("ours");
        let error = history::load(&target.out, id).expect_err("damaged").to_string();
        assert!(error.contains(&format!("generations/{id}.json is damaged")), "{error}");
    }
    assert!(ids(&target).is_empty());
    publish(&numbered(3), &target);
    assert_eq!(ids(&target), [3]);
    assert_eq!(fs::read_dir(directory).expect("ours").count(), 1);
    assert_eq!(history::load(&target.out, 3).expect("kept"), numbered(3));
}

#[test]
fn what_was_published_before_a_kill_becomes_a_generation_later() {
    let (_dir, target) = out();
    publish(&numbered(1), &target);
    publish(&numbered(2), &target);
    // As if the program had ended just before it was recorded.
    fs::remove_file(target.out.root.join(".meshtraced/history/generations/2.json")).expect("ours");
    assert_eq!(publish(&numbered(2), &target).generation, Some(2));
    assert_eq!(history::load(&target.out, 2).expect("kept"), numbered(2));
}

#[test]
fn a_history_that_cannot_be_written_keeps_nothing_from_being_published() {
    let (_dir, target) = out();
    publish(&numbered(1), &target);
    let history = target.out.root.join(".meshtraced/history");
    fs::remove_dir_all(&history).expect("ours");
    fs::write(&history, "in the way").expect("ours");
    let outcome = publish(&numbered(2), &target);
    assert_eq!((outcome.generation, outcome.failures().count()), (None, 0));
    assert!(
        outcome.warnings.iter().any(|note| note.to_string().contains("history")),
        "{:?}",
        outcome.warnings
    );
    assert_eq!(apply::observe(&target.out).expect("readable").applied, numbered(2));
    let staging = fs::read_dir(target.out.root.join(".meshtraced/staging")).expect("ours");
    assert_eq!(staging.count(), 0);
}

#[test]
fn a_generation_holds_what_was_published_and_not_what_was_found() {
    let (_dir, target) = out();
    publish(&numbered(1), &target);
    // By another file of that name, as most editors do.
    let lds = target.out.root.join("default/web/xds/lds.yaml");
    fs::remove_file(&lds).expect("ours");
    fs::write(&lds, "mine").expect("ours");
    let session = Session::open(&target).expect("nobody else");
    let observed = apply::observe(&target.out).expect("readable");
    let mut desired = numbered(1);
    desired.insert(key("other"), files(&["a"], "7"));
    let planned = plan::plan(&observed, Desired::Files(&desired), &Constraints::default());
    let left: Vec<Artifact> = planned.drift_left.iter().map(|drift| drift.artifact).collect();
    assert_eq!(left, [Artifact::Lds]);
    apply(&planned.plan, &Bases::new(), &target, &session).expect("published");
    assert_eq!(fs::read_to_string(&lds).expect("still there"), "mine");
    assert_eq!(history::load(&target.out, 2).expect("kept"), desired);
}

/// Publications one after another, in each of which some of many proxies change, come and go.
fn publications() -> Vec<Fragments> {
    let mut state = Fragments::new();
    for i in 0..400 {
        state.insert(key(&format!("p-{i}")), files(&["a"], "0"));
    }
    let mut all = vec![state.clone()];
    for number in 1..20_usize {
        for i in (0..5).map(|i| (number * 37 + i * 101) % 420) {
            let proxy = key(&format!("p-{i}"));
            match (number + i) % 4 {
                0 => drop(state.remove(&proxy)),
                // Some go back to what they were.
                1 => drop(state.insert(proxy, files(&["a"], "0"))),
                _ => drop(state.insert(proxy, files(&["a"], &number.to_string()))),
            }
        }
        all.push(state.clone());
    }
    all
}

/// The files of a directory, by their names.
fn texts(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    let file = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).expect("a text");
        (entry.file_name().to_string_lossy().into_owned(), text)
    };
    entries.map(file).collect()
}

#[test]
fn a_look_at_changes_leaves_the_same_as_a_look_at_all() {
    let targets = [(Looks::Changes, out()), (Looks::All, out())];
    for (number, desired) in publications().iter().enumerate() {
        let left = targets.each_ref().map(|(looks, (_, target))| {
            publish_with(desired, target, *looks);
            let own = target.out.own_directory();
            let history = own.join("history");
            (
                [
                    own.join("inventory"),
                    history.join("manifests"),
                    history.join("objects"),
                ]
                .map(|dir| texts(&dir)),
                history::list(&target.out)
                    .expect("a history")
                    .into_iter()
                    .map(|generation| (generation.id, generation.proxies, generation.counts))
                    .collect::<Vec<_>>(),
                ids(target)
                    .into_iter()
                    .map(|id| history::load(&target.out, id).expect("kept"))
                    .collect::<Vec<_>>(),
            )
        });
        assert!(left[0] == left[1], "publication {number}");
        assert!(left[0].0.iter().all(|files| files.len() > 150), "publication {number}");
        assert_eq!(left[0].1.last().map(|last| last.1), Some(desired.len()));
        assert_eq!(left[0].2.last(), Some(desired));
    }
}

#[test]
fn the_change_of_one_proxy_writes_the_lists_of_few() {
    let (_dir, target) = out();
    let mut state = publications().remove(0);
    publish(&state, &target);
    let written = |directory: &str| {
        let entries = fs::read_dir(target.out.own_directory().join(directory))
            .expect("ours")
            .flatten();
        // The number of an inode that went may return.
        let written = entries.map(|entry| {
            let metadata = entry.metadata().expect("a file");
            (
                entry.file_name(),
                metadata.ino(),
                metadata.mtime(),
                metadata.mtime_nsec(),
            )
        });
        written.collect::<BTreeSet<_>>()
    };
    let before = ["inventory", "history/manifests"].map(written);
    assert!(before[0].len() > 150, "400 proxies are in most of 256 shards");
    state.insert(key("p-7"), files(&["a"], "1"));
    publish_with(&state, &target, Looks::Changes);
    let new = ["inventory", "history/manifests"].map(written);
    for (before, new) in before.iter().zip(&new) {
        assert_eq!(new.difference(before).count(), 1);
    }
}
