//! Every case of `tests/conformance` with a `TrafficTrace` is migrated to both versions, and what the report says is true.

use std::fs;
use std::path::{Path, PathBuf};

use meshtraced::kuma::Version;
use meshtraced::migrate::proof::Class;
use meshtraced::source::{self, Consistency, Snapshot, Sources};
use serde_json::Value;

use super::check;
use crate::kit::parallel::in_parallel;
use crate::kit::yaml;

/// The cases with a valid `TrafficTrace`, each with its version.
fn cases() -> Vec<(PathBuf, Version)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let folders = ["cases", "measured", "recorded"].map(|folder| fs::read_dir(corpus.join(folder)).expect("a folder"));
    let dirs = folders
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path());
    let mut cases: Vec<(PathBuf, Version)> = dirs
        .filter_map(|dir| {
            let expected: Value = yaml::read(&dir.join("expected.yaml"));
            let version = expected["kuma"].as_str()?.parse::<Version>().ok()?;
            let is_wanted =
                expected["result"] == "ok" && version < Version::V3_0 && has_traffic_trace(&dir.join("input"));
            is_wanted.then_some((dir, version))
        })
        .collect();
    cases.sort();
    cases
}

fn snapshot(dir: &Path) -> Snapshot {
    source::read(&Sources::one(dir.join("input")), 1 << 20, Consistency::Dirty).expect("policies")
}

fn has_traffic_trace(input: &Path) -> bool {
    let read = source::read(&Sources::one(input), 1 << 20, Consistency::Dirty);
    read.is_ok_and(|snapshot| snapshot.files.iter().any(|file| file.text().contains("TrafficTrace")))
}

#[test]
fn every_case_is_proven_or_explained() {
    let cases = cases();
    assert!(cases.len() > 60, "only {} cases", cases.len());
    let failing = in_parallel(&cases, |(dir, version)| {
        let snapshot = snapshot(dir);
        let (older, newer) = (
            check(&snapshot, *version, Version::V2_14),
            check(&snapshot, *version, Version::V3_0),
        );
        let unexplained = [older, newer]
            .into_iter()
            .flat_map(|migration| migration.proof.differences);
        let unexplained = unexplained.filter(|one| one.class == Class::Different && one.reason.is_empty());
        unexplained
            .map(|one| format!("{}: {one:?}", dir.display()))
            .collect::<Vec<_>>()
    });
    let failing: Vec<String> = failing.into_iter().flatten().collect();
    assert!(failing.is_empty(), "{failing:#?}");
}
