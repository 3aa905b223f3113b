//! Input and output happen at the edges.

use std::fs;
use std::path::{Path, PathBuf};

/// The files and folders that may touch the machine: disk, clock, environment, network, log.
const EDGES: [&str; 12] = [
    "source/dir.rs",
    "source/git",
    "source/watch.rs",
    "source/way.rs",
    "source/worktree.rs",
    "settings.rs",
    "telemetry",
    "apply",
    "reconcile",
    "daemon",
    "cli",
    "main.rs",
];

/// What only an edge may mention.
const MACHINE: [&str; 18] = [
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "std::os::unix",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "tracing::info",
    "tracing::warn",
    "tracing::error",
    "tracing::debug",
    "tracing::trace",
    "println!",
    "eprintln!",
    "tokio::",
    "rustix::",
    "notify::",
];

#[test]
fn every_edge_is_there() {
    let gone = EDGES.iter().filter(|edge| !source().join(edge).exists());
    super::none(&gone.map(|edge| format!("src/{edge} is gone")).collect::<Vec<_>>());
}

#[test]
fn only_the_edges_touch_the_machine() {
    let mut wrong = Vec::new();
    for file in files()
        .into_iter()
        .filter(|file| !EDGES.iter().any(|edge| file.starts_with(edge)))
    {
        let code = code_of(&file);
        // `envoy::tracing` is our own; the log crate is `tracing::` at the start of a path.
        for word in MACHINE
            .iter()
            .filter(|word| code.match_indices(**word).any(|(i, _)| starts_a_path(&code, i)))
        {
            wrong.push(format!("{} mentions `{word}`", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn starts_a_path(code: &str, at: usize) -> bool {
    let before = code[..at].chars().next_back();
    !before.is_some_and(|c| c == ':' || c == '_' || c.is_alphanumeric())
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All files below `src`, relative to it.
fn files() -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(source())
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.expect("a readable tree"));
    let files = entries
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.path().to_owned());
    files
        .map(|path| path.strip_prefix(source()).expect("below src").to_owned())
        .collect()
}

/// The text without comments and without the tests below it.
fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(source().join(file)).expect("a readable file");
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}
