//! The rules about the tree itself: which module may use which, and where input and output happen.

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
fn a_module_uses_only_those_above_it() {
    let root = fs::read_to_string(source().join("lib.rs")).expect("src/lib.rs");
    let modules: Vec<&str> = root
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert!(
        modules.len() > 10,
        "the list of modules was not found in lib.rs: {modules:?}"
    );
    let mut wrong = Vec::new();
    for file in files() {
        let own = module_of(&file);
        let Some(position) = modules.iter().position(|module| *module == own) else {
            continue;
        };
        let code = code_of(&file);
        for later in &modules[position + 1..] {
            let mentions = [
                format!("crate::{later}::"),
                format!("crate::{later};"),
                format!("crate::{{{later}"),
            ];
            if mentions.iter().any(|mention| code.contains(mention)) {
                wrong.push(format!(
                    "{}: `{own}` uses `{later}`, which comes after it",
                    file.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_is_in_the_list() {
    let root = fs::read_to_string(source().join("lib.rs")).expect("src/lib.rs");
    for file in files() {
        let module = module_of(&file);
        let listed = root.contains(&format!("pub mod {module};"));
        assert!(
            listed || ["lib", "main"].contains(&module.as_str()),
            "{} is not in lib.rs",
            file.display()
        );
    }
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

fn module_of(file: &Path) -> String {
    let first = file.components().next().expect("a path").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
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
