//! Does meshtraced answer as Kuma's control plane does? The cases are in `tests/conformance`.
//!
//! `judge` compares one answer with one expectation, `ledger` keeps `unsupported.txt` honest.

mod judge;
mod ledger;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::kit::parallel::in_parallel;
use crate::kit::yaml;
use judge::{Answer, judge};
use ledger::Ledger;

/// A folder with `input/` and `expected.yaml`.
struct Case {
    /// `cases/...` or `recorded/...`.
    name: String,
    dir: PathBuf,
    expected: Value,
}

#[test]
fn meshtraced_answers_as_the_control_plane_does() {
    let cases = cases();
    let differences = in_parallel(&cases, |case| judge(&case.expected, &ask(case)));
    let failing: Vec<&str> = failing(&cases, &differences)
        .map(|(case, _)| case.name.as_str())
        .collect();

    let path = corpus().join("unsupported.txt");
    let written = Ledger::read(&fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
    if std::env::var_os("UPDATE_UNSUPPORTED").is_some() {
        let reason = |name: &str| {
            cases
                .iter()
                .find(|case| case.name == name)
                .map_or(String::new(), reason)
        };
        fs::write(&path, written.updated(&failing, reason).to_string()).expect("the list can be written");
        return;
    }

    println!(
        "{} of {} cases pass; not supported:\n{written}",
        cases.len() - failing.len(),
        cases.len()
    );
    let mut problems = written.problems(
        &cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(),
        &failing,
    );
    for (case, differences) in self::failing(&cases, &differences) {
        if !written.lists(&case.name) {
            problems.push(format!(
                "{} fails:\n    {}",
                case.name,
                differences[..differences.len().min(6)].join("\n    ")
            ));
        }
    }
    assert!(
        problems.is_empty(),
        "{} of {} cases pass\n{}\nUPDATE_UNSUPPORTED=1 rewrites the list; review the change like code.",
        cases.len() - failing.len(),
        cases.len(),
        problems.join("\n")
    );
}

fn failing<'a>(cases: &'a [Case], differences: &'a [Vec<String>]) -> impl Iterator<Item = (&'a Case, &'a Vec<String>)> {
    cases
        .iter()
        .zip(differences)
        .filter(|(_, differences)| !differences.is_empty())
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// All cases, sorted by name.
fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = ["cases", "recorded"]
        .iter()
        .flat_map(|folder| cases_in(folder))
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(cases.len() > 100, "only {} cases found", cases.len());
    cases
}

fn cases_in(folder: &str) -> Vec<Case> {
    let dir = corpus().join(folder);
    let entries = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let dirs = entries.map(|entry| entry.expect("a directory entry").path());
    dirs.map(|dir| {
        let name = format!(
            "{folder}/{}",
            dir.file_name().expect("a folder has a name").to_string_lossy()
        );
        let expected = yaml::read(&dir.join("expected.yaml"));
        Case { name, dir, expected }
    })
    .collect()
}

fn ask(case: &Case) -> Answer {
    // JSON is YAML.
    let settings = tempfile::Builder::new()
        .suffix(".yaml")
        .tempfile()
        .expect("a temporary file");
    fs::write(settings.path(), settings_for(&case.expected).to_string()).expect("a temporary file can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_meshtraced"))
        .arg("--config")
        .arg(settings.path())
        .arg("--policies")
        .arg(case.dir.join("input"))
        .args(["compile", "-o", "json"])
        .output()
        .expect("meshtraced can be started");
    Answer {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The settings under which the control plane gave its answer.
fn settings_for(expected: &Value) -> Value {
    let mut kuma = json!({"version": expected["kuma"], "fidelity": "exact"});
    for (option, setting) in [
        ("zone", "zone"),
        ("systemNamespace", "system_namespace"),
        ("unifiedNaming", "unified_naming"),
    ] {
        if let Some(value) = expected["options"].get(option) {
            kuma[setting] = value.clone();
        }
    }
    json!({ "kuma": kuma })
}

/// Why a case may not be supported, as far as its input tells: what it holds beyond the four kinds of TrafficTrace's
/// time in universal form.
fn reason(case: &Case) -> String {
    let mut found: Vec<String> = documents(&case.dir.join("input"))
        .iter()
        .filter_map(beyond_traffic_trace)
        .collect();
    if case.expected["kuma"] == "3.0" {
        found.push("Kuma 3.0".to_owned());
    }
    found.sort();
    found.dedup();
    if found.is_empty() {
        "differs".to_owned()
    } else {
        found.join(", ")
    }
}

fn documents(dir: &Path) -> Vec<Value> {
    walkdir::WalkDir::new(dir)
        .into_iter()
        .map(|entry| entry.expect("a readable tree"))
        .filter(|entry| entry.file_type().is_file())
        .flat_map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap_or_else(|e| panic!("{}: {e}", entry.path().display()));
            serde_yaml::Deserializer::from_str(&text)
                .map(|document| serde::Deserialize::deserialize(document).unwrap_or(Value::Null))
                .collect::<Vec<Value>>()
        })
        .filter(|document| !document.is_null())
        .collect()
}

fn beyond_traffic_trace(document: &Value) -> Option<String> {
    if document.get("apiVersion").is_some() || document.get("kind").is_some() {
        return Some("Kubernetes form".to_owned());
    }
    match document["type"].as_str() {
        Some("Mesh" | "TrafficTrace" | "TrafficRoute" | "Dataplane") => None,
        Some(kind) => Some(kind.to_owned()),
        None => Some("a document without a type".to_owned()),
    }
}

/// The judge itself must accept what is right in every case and see what is wrong, whatever meshtraced can do today.
#[test]
fn every_expectation_is_met_by_itself_and_by_nothing_else() {
    for case in cases() {
        let right = judge::as_printed(&case.expected);
        assert_eq!(judge(&case.expected, &right), [""; 0], "{}", case.name);
        let nothing = Answer {
            stdout: r#"{"dataplanes": [], "diagnostics": []}"#.to_owned(),
            ..right
        };
        assert_ne!(judge(&case.expected, &nothing), [""; 0], "{}", case.name);
    }
}
