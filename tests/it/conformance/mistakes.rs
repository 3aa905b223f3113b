//! The table of mistakes: each document gives exactly the violations that a control plane gives.

use std::fs;
use std::path::Path;

use meshtraced::compile::compile;
use meshtraced::diag::Severity;
use meshtraced::kuma::{Fidelity, Version};
use meshtraced::source::Snapshot;
use serde::Deserialize;
use serde_json::Value;

use crate::props::compile::options;

/// A line of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// The document.
    r#in: Value,
    /// Versions, both of 2 without any.
    #[serde(default)]
    kuma: Vec<String>,
    /// `path kind` of each violation.
    out: Vec<String>,
}

#[test]
fn mistakes_are_found_where_a_control_plane_finds_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/mistakes.yaml");
    let table = fs::read_to_string(path).expect("the table");
    let lines: Vec<Line> = serde_yaml::from_str(&table).expect("a list of lines");
    let mut wrong = Vec::new();
    let mut tried = 0;
    for line in &lines {
        let versions = match line.kuma.is_empty() {
            true => vec!["2.13", "2.14"],
            false => line.kuma.iter().map(String::as_str).collect(),
        };
        for version in versions {
            tried += 1;
            let (mut expected, found) = (line.out.clone(), violations(&line.r#in, version));
            expected.sort();
            if expected != found {
                wrong.push(format!(
                    "{version} {}\n  expected {expected:?}\n  found    {found:?}",
                    line.r#in
                ));
            }
        }
    }
    assert!(tried > 300, "{tried} documents");
    assert!(wrong.is_empty(), "{} of {tried}\n{}", wrong.len(), wrong.join("\n"));
}

fn violations(document: &Value, version: &str) -> Vec<String> {
    let version = match version {
        "2.13" => Version::V2_13,
        "2.14" => Version::V2_14,
        "3.0" => Version::V3_0,
        other => panic!("version {other}"),
    };
    let snapshot = Snapshot::from_texts([("a.yaml", document.to_string())]);
    let compiled = compile(&snapshot, &options(Fidelity::Exact, version));
    let errors = compiled
        .diagnostics
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    let mut found: Vec<String> = errors
        .map(|finding| {
            // Kuma's word for the field.
            let path = finding.path.replace(".conf", ".config");
            format!("{} {}", if path.is_empty() { "-" } else { &path }, finding.code.kind())
        })
        .collect();
    found.sort();
    found
}
