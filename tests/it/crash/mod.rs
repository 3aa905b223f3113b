//! Runs that are killed, or fail, at each system call by which they change the output directory.
//!
//! Readers then find complete old or new files, and a pair of clusters and listeners with which Envoy starts. The
//! next run has the same result as an uninterrupted one, without a message.

mod arena;
mod power;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use self::arena::{Arena, ended};
use crate::kit::parallel::in_parallel;
use crate::kit::strace::Call;

/// An interruption: the group of calls, the call, the fault, and the number of the call.
type Accident = (usize, String, &'static str, usize);

/// The calls of each group at which interruptions are tried.
fn accidents(arena: &Arena, how: impl Fn(usize, &Call) -> Vec<&'static str>) -> Vec<Accident> {
    let mut all = BTreeSet::new();
    for (index, group) in arena.groups.iter().enumerate() {
        for call in &group.calls {
            all.extend(
                how(index, call)
                    .into_iter()
                    .map(|how| (index, call.name.clone(), how, call.number)),
            );
        }
    }
    all.into_iter().collect()
}

fn creates(call: &Call) -> bool {
    call.name != "openat" || call.arguments.contains("O_CREAT")
}

/// Spreads work over arenas, since paths are part of what is published.
fn in_arenas(items: &[Accident], arena: fn() -> Arena, work: impl Fn(&Arena, &Accident) + Sync) {
    let next = AtomicUsize::new(0);
    in_parallel(&[(), ()], |()| {
        let arena = arena();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(&arena, item);
        }
    });
}

#[test]
fn killed_at_every_call() {
    let arena = Arena::new();
    let all = accidents(&arena, |_, call| {
        if creates(call) {
            vec!["signal=SIGKILL"]
        } else {
            Vec::new()
        }
    });
    for needed in [
        "openat",
        "write",
        "syncfs",
        "fsync",
        "renameat",
        "renameat2",
        "linkat",
        "unlinkat",
        "mkdirat",
        "fchmod",
    ] {
        assert!(
            all.iter().any(|(_, name, ..)| name == needed),
            "a run makes no {needed}"
        );
    }
    in_arenas(&all, Arena::new, |arena, (group, call, how, number)| {
        let run = arena.hurt(*group, call, how, *number).run;
        // Which thread publishes which proxy is not always the same.
        assert!(run.was_hit || run.output.status.success(), "{call} {number}");
    });
    // There are no more of them than were seen.
    let mut last = BTreeMap::new();
    for (group, name, _, number) in all.iter().filter(|(group, name, ..)| *group == 0 && name != "openat") {
        last.insert((*group, name.clone()), *number);
    }
    for ((group, name), last) in last {
        assert!(
            !arena.hurt(group, &name, "signal=SIGKILL", last + 1).run.was_hit,
            "more than {last} {name}"
        );
    }
}

/// What each call may fail with; not everything again for calls that are in the first group already.
fn errors(group: usize, call: &Call) -> Vec<&'static str> {
    let mut errors = match call.name.as_str() {
        "openat" if !creates(call) => vec!["error=EIO", "error=EMFILE", "error=EACCES"],
        "openat" | "write" => vec!["error=ENOSPC", "error=EINTR", "error=EIO", "error=EDQUOT"],
        "mkdirat" | "renameat" | "renameat2" | "linkat" => {
            vec!["error=ENOSPC", "error=EINTR", "error=EIO", "error=EACCES"]
        }
        _ => vec!["error=EIO", "error=EINTR", "error=EROFS"],
    };
    if group > 0 {
        errors.truncate(if call.name == "openat" { 1 } else { 2 });
    }
    errors
}

fn words(how: &str) -> &'static str {
    match how {
        "error=EMFILE" => "Too many open files",
        "error=EIO" => "Input/output error",
        "error=EACCES" => "Permission denied",
        "error=ENOSPC" => "No space left on device",
        "error=EDQUOT" => "quota exceeded",
        "error=EROFS" => "Read-only file system",
        other => panic!("{other} needs words"),
    }
}

#[test]
fn failing_at_every_call() {
    let all = accidents(&Arena::new(), errors);
    in_arenas(&all, Arena::new, |arena, (group, call, how, number)| {
        let hurt = arena.hurt(*group, call, how, *number);
        let (code, said) = ended(&hurt.run.output);
        let at = format!("{call} {how} {number}: {code:?}: {said}");
        if *how == "error=EINTR" {
            assert_eq!(
                (code, said.as_str()),
                (Some(0), ""),
                "an interrupted call was not made again: {at}"
            );
        } else if code == Some(2) {
            let errors: Vec<&str> = said.lines().filter(|line| !line.starts_with("warning: ")).collect();
            let out = arena.out().display().to_string();
            let says = |line: &&str| line.starts_with("error: ") && line.contains(words(how)) && line.contains(&out);
            assert!(!errors.is_empty() && errors.iter().all(says), "{at}");
        } else {
            assert_eq!(code, Some(0), "{at}");
            assert!(said.is_empty() || said.starts_with("warning: "), "{at}");
            assert!(hurt.is_finished, "{at}");
        }
    });
}

#[test]
fn killed_at_every_call_with_places_on_another_file_system() {
    let kills = |index: usize, call: &Call| {
        let is_meant = index == 0 && creates(call);
        if is_meant { vec!["signal=SIGKILL"] } else { Vec::new() }
    };
    let arena = Arena::elsewhere();
    let all = accidents(&arena, kills);
    let copies = arena
        .calls
        .iter()
        .filter(|call| call.arguments.contains(".web-lds.yaml.meshtraced"));
    let copies: BTreeSet<&str> = copies.map(|call| call.name.as_str()).collect();
    assert!(
        copies.is_superset(&BTreeSet::from(["openat", "write", "fsync", "renameat"])),
        "{copies:?}"
    );
    in_arenas(&all, Arena::elsewhere, |arena, (group, call, how, number)| {
        let run = arena.hurt(*group, call, how, *number).run;
        assert!(run.was_hit || run.output.status.success(), "{call} {number}");
    });
}

#[test]
fn what_cannot_be_read_for_a_moment_is_not_gone() {
    let arena = Arena::new();
    // The clusters are read first, and an Envoy that starts while the listeners change needs the old ones too.
    for how in ["error=EIO", "error=EACCES"] {
        let run = arena.hurt_in("default/web/xds", "openat", how, 1).run;
        assert!(run.was_hit, "{how}");
        assert_eq!(ended(&run.output), (Some(0), String::new()), "{how}");
        let written = run.calls.iter().filter(|call| call.name == "renameat");
        let written: Vec<_> = written.filter_map(|call| call.arguments.split('"').nth(3)).collect();
        assert_eq!(written, ["cds.yaml", "lds.yaml", "cds.yaml"], "{how}");
    }
}

#[test]
fn what_is_seen_is_on_disk_before() {
    let arena = Arena::new();
    let out = arena.out().display().to_string();
    let published = format!("<{out}/default");
    let inventory = format!("{out}/.meshtraced/inventory");
    let record = format!("{out}/.meshtraced/staging/last-run.json");
    let mut unsynced: BTreeSet<String> = BTreeSet::new();
    let (mut file_system_syncs, mut file_syncs) = (0, Vec::new());
    // The inventory that lists what comes: not there, renamed, or on disk.
    let (mut is_listed, mut renames) = (false, 0);
    for call in &arena.calls {
        let (from, to) = places(call);
        match call.name.as_str() {
            "openat" if call.arguments.contains("O_CREAT") => {
                unsynced.insert(from);
            }
            "write" | "ftruncate" => {
                unsynced.insert(from);
            }
            "syncfs" => {
                file_system_syncs += 1;
                unsynced.clear();
            }
            "fsync" => {
                is_listed |= from == inventory;
                unsynced.remove(&from);
                file_syncs.push(from);
            }
            "renameat" | "renameat2" => {
                // The record of the run is disposable: one that lost its content is ignored.
                assert!(
                    !unsynced.contains(&from) || from == record,
                    "{from} becomes {to}, and its content may be lost: {call:?}"
                );
                if call.arguments.contains(&published) {
                    renames += 1;
                    assert!(is_listed, "{to} comes before the inventory that lists it is on disk");
                }
            }
            _ => {}
        }
    }
    assert!(renames >= 10, "{renames}");
    assert_eq!(file_system_syncs, 2);
    let directories = [format!("{out}/.meshtraced"), inventory];
    let of_files = file_syncs.iter().filter(|path| !directories.contains(path));
    assert_eq!(
        of_files.collect::<Vec<_>>(),
        [&format!("{out}/.meshtraced/staging/file-meshes.json")]
    );
}

/// The paths that a call is about: one, or where from and where to.
fn places(call: &Call) -> (String, String) {
    let mut parts = call.arguments.split(", ");
    let mut place = || {
        let open = parts.next()?.split_once('<')?.1.split_once('>')?.0.to_owned();
        if matches!(
            call.name.as_str(),
            "write" | "ftruncate" | "fsync" | "syncfs" | "fchmod"
        ) {
            return Some(open);
        }
        Some(format!("{open}/{}", parts.next()?.trim_matches('"')))
    };
    let from = place().unwrap_or_default();
    (from, place().unwrap_or_default())
}
