//! Whatever the suite compiles, a real Envoy takes: every bootstrap, and its clusters and listeners wrapped in one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kit::parallel::in_parallel;
use crate::kit::validate::{validate_many, validate_resources};
use crate::mesh::find;

/// The directories with policies: golden cases, conformance cases, and the samples.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let below = |path: &str, input: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        entries
            .map(|entry| entry.expect("an entry").path().join(input))
            .collect()
    };
    let mut sources = vec![root.join("policies")];
    sources.extend(below("tests/cases", "in"));
    sources.extend(below("tests/conformance/cases", "input"));
    sources.extend(below("tests/conformance/recorded", "input"));
    sources.sort();
    sources
}

#[test]
fn envoy_takes_every_file_of_the_suite() {
    let sources = sources();
    let published = in_parallel(&sources, |source| {
        let out = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
        command
            .arg("--policies")
            .arg(source)
            .arg("--out")
            .arg(out.path())
            .args(["run", "--once"]);
        command.output().expect("the program starts");
        out
    });
    let bootstraps: Vec<PathBuf> = published
        .iter()
        .flat_map(|out| find(out.path(), "bootstrap.yaml"))
        .collect();
    assert!(bootstraps.len() > 100, "only {} proxies", bootstraps.len());
    let mut refused = Vec::new();
    for (bootstrap, result) in bootstraps.iter().zip(validate_many(&bootstraps)) {
        refused.extend(result.err().map(|why| format!("{}: {why}", bootstrap.display())));
    }
    let wrapped = in_parallel(&bootstraps, |bootstrap| {
        let xds = bootstrap.parent().expect("a directory").join("xds");
        validate_resources(&xds.join("cds.yaml"), &xds.join("lds.yaml"))
    });
    for (bootstrap, result) in bootstraps.iter().zip(wrapped) {
        refused.extend(
            result
                .err()
                .map(|why| format!("{} (wrapped): {why}", bootstrap.display())),
        );
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    println!("{} proxies of {} sources", bootstraps.len(), sources.len());
}
