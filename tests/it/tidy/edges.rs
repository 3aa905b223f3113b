//! Input and output happen at the edges.

use std::path::Path;

use super::none;
use super::source::Sources;

/// The files and folders that may touch the machine: disk, clock, environment, network, log.
const EDGES: &[&str] = &[
    "system",
    "source/dir.rs",
    "source/git",
    "source/watch.rs",
    "source/wanted.rs",
    "source/changing.rs",
    "source/read_mode.rs",
    "source/worktree.rs",
    "settings/ids.rs",
    "settings/load.rs",
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
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let gone = EDGES.iter().filter(|edge| !source.join(edge).exists());
    none(&gone.map(|edge| format!("src/{edge} is gone")).collect::<Vec<_>>());
}

#[test]
fn only_the_edges_touch_the_machine() {
    let mut wrong = Vec::new();
    let sources = Sources::read();
    for module in sources
        .iter()
        .filter(|module| !EDGES.iter().any(|edge| module.file.starts_with(edge)))
    {
        let code = without_comments(module.without_tests());
        // `envoy::tracing` is our own; the log crate is `tracing::` at the start of a path.
        for word in MACHINE
            .iter()
            .filter(|word| code.match_indices(**word).any(|(i, _)| starts_a_path(&code, i)))
        {
            wrong.push(format!("src/{} mentions `{word}`", module.file.display()));
        }
    }
    none(&wrong);
}

/// What is overwritten is decided in one place, so nothing else makes a change or edits a plan.
#[test]
fn changes_are_made_by_the_planner_alone() {
    let sources = Sources::read();
    let others = sources.iter().filter(|module| !module.file.starts_with("plan"));
    let makes = |text: &str| {
        let code = without_comments(text);
        let literal = code.match_indices("Change {").any(|(i, _)| starts_a_path(&code, i));
        literal || code.contains(".changes.push") || code.contains(".changes.extend")
    };
    let wrong = others.filter(|module| makes(module.without_tests()));
    let wrong = wrong.map(|module| format!("src/{} makes a change of a plan", module.file.display()));
    none(&wrong.collect::<Vec<_>>());
}

/// What an Envoy says and what is on our disk meet in `apply/publish` alone.
#[test]
fn the_store_knows_no_envoy_and_the_envoys_no_store() {
    let sources = Sources::read();
    let mut wrong = Vec::new();
    for (room, other) in [("apply/store", ["apply", "envoy"]), ("apply/envoy", ["apply", "store"])] {
        for module in sources.iter().filter(|module| module.file.starts_with(room)) {
            let uses = |(path, _): &(Vec<String>, usize)| path.starts_with(&other.map(str::to_owned));
            for (path, line) in module.mentions().into_iter().filter(uses) {
                wrong.push(format!(
                    "src/{}:{line} uses `{}`",
                    module.file.display(),
                    path.join("::")
                ));
            }
        }
    }
    none(&wrong);
}

/// What the policies asked for is resolved in `ir`: which kind of policy it came from does not matter to Envoy.
#[test]
fn envoy_knows_no_policies() {
    let sources = Sources::read();
    let mut wrong = Vec::new();
    for module in sources.iter().filter(|module| module.file.starts_with("envoy")) {
        let is_policy = |path: &[String]| match path.first().map(String::as_str) {
            Some("kuma" | "select") => true,
            Some("resource") => path.get(1).is_some_and(|room| room == "kinds" || room == "document"),
            Some("ir") => path.iter().any(|name| name == "PolicyKind"),
            _ => false,
        };
        for (path, line) in module.mentions().into_iter().filter(|(path, _)| is_policy(path)) {
            wrong.push(format!(
                "src/{}:{line} knows `{}`",
                module.file.display(),
                path.join("::")
            ));
        }
    }
    none(&wrong);
}

fn starts_a_path(code: &str, at: usize) -> bool {
    let before = code[..at].chars().next_back();
    !before.is_some_and(|c| c == ':' || c == '_' || c.is_alphanumeric())
}

fn without_comments(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}
