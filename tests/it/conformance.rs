//! The answers of meshtraced, compared with those of Kuma's control planes in `tests/conformance`.
//!
//! `judge` compares one answer with one expectation.

mod judge;
mod mistakes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::kit::parallel::in_parallel;
use crate::kit::yaml;
use judge::{Answer, judge};

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
    let failing: Vec<String> = (cases.iter().zip(&differences))
        .filter(|(_, differences)| !differences.is_empty())
        .map(|(case, differences)| {
            let first = &differences[..differences.len().min(6)];
            format!("{}:\n    {}", case.name, first.join("\n    "))
        })
        .collect();
    assert!(
        failing.is_empty(),
        "{} of {} cases fail\n{}",
        failing.len(),
        cases.len(),
        failing.join("\n")
    );
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// All cases, sorted by name.
fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = ["cases", "measured", "recorded"]
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
pub(crate) fn settings_for(expected: &Value) -> Value {
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

/// The judge itself must accept the right answer to every case, and see every fault.
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
