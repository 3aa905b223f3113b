//! Kuma's behaviour, case by case: `tests/conformance/README.md` tells the form of a case.
//!
//! `unsupported.txt` names the cases that are not compiled yet, each with the reason. A case that is not named must
//! pass; one that is named must not, so that none starts to pass unnoticed. `UPDATE_UNSUPPORTED=1` rewrites the list.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::kit::validate::in_parallel;

#[test]
fn every_supported_case_passes_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let cases = cases(&root);
    assert!(cases.len() > 100, "only {} cases", cases.len());
    let list = root.join("unsupported.txt");
    let results = in_parallel(&cases, |case| run(case));
    let named = |path: &PathBuf| {
        path.strip_prefix(&root)
            .expect("below the root")
            .to_string_lossy()
            .into_owned()
    };
    let failing: BTreeMap<String, Vec<String>> = cases
        .iter()
        .map(named)
        .zip(results)
        .filter(|(_, problems)| !problems.is_empty())
        .collect();
    if std::env::var_os("UPDATE_UNSUPPORTED").is_some() {
        let lines = failing
            .keys()
            .map(|name| format!("{name}: {}\n", reason(&root.join(name))));
        fs::write(&list, lines.collect::<String>()).expect("the list");
    }
    let text = fs::read_to_string(&list).expect("the list of unsupported cases");
    let unsupported: BTreeSet<&str> = text.lines().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    let names: BTreeSet<String> = cases.iter().map(named).collect();

    let broken: Vec<String> = (failing.iter())
        .filter(|(name, _)| !unsupported.contains(name.as_str()))
        .map(|(name, problems)| format!("{name}\n    {}", problems.join("\n    ")))
        .collect();
    assert!(broken.is_empty(), "{} cases fail:\n{}", broken.len(), broken.join("\n"));
    let passing: Vec<&&str> = unsupported
        .iter()
        .filter(|name| !failing.contains_key(**name))
        .collect();
    assert!(
        passing.is_empty(),
        "these pass, or are no cases, and are on the list: {passing:?}"
    );
    println!(
        "{} of {} cases pass; not supported yet:\n{text}",
        names.len() - failing.len(),
        names.len()
    );
}

/// The directories that hold a case.
fn cases(root: &Path) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = ["cases", "recorded"]
        .iter()
        .flat_map(|part| fs::read_dir(root.join(part)).expect("a directory of cases"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("expected.yaml").exists())
        .collect();
    cases.sort();
    cases
}

/// Why a case is not supported: the kinds and forms of its resources that are not compiled.
fn reason(case: &Path) -> String {
    let mut reasons = BTreeSet::new();
    for file in walkdir::WalkDir::new(case.join("input"))
        .into_iter()
        .filter_map(Result::ok)
    {
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        for line in text.lines() {
            let word = |key: &str| Some(line.strip_prefix(key)?.trim().trim_matches('"').to_owned());
            if line.starts_with("apiVersion:") {
                reasons.insert("Kubernetes form".to_owned());
            }
            let supported = ["Mesh", "TrafficTrace", "TrafficRoute", "Dataplane"];
            reasons.extend(word("type:").filter(|kind| !supported.contains(&kind.as_str())));
        }
    }
    assert!(
        !reasons.is_empty(),
        "{} must pass: it needs nothing that is not supported",
        case.display()
    );
    reasons.into_iter().collect::<Vec<_>>().join(", ")
}

/// What is wrong with the answer to a case; nothing when it passes.
fn run(case: &Path) -> Vec<String> {
    let text = fs::read_to_string(case.join("expected.yaml")).expect("an expectation");
    let expected: Value = serde_yaml::from_str(&text).expect("an expectation in YAML");
    let settings = tempfile::Builder::new()
        .suffix(".yaml")
        .tempfile()
        .expect("a temporary file");
    fs::write(settings.path(), json!({"kuma": kuma(&expected)}).to_string()).expect("the settings");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
    command
        .arg("--config")
        .arg(settings.path())
        .arg("--policies")
        .arg(case.join("input"));
    let output = command
        .args(["compile", "-o", "json"])
        .output()
        .expect("the program starts");
    let Ok(found) = serde_json::from_slice::<Value>(&output.stdout) else {
        return vec![format!("no JSON: {}", String::from_utf8_lossy(&output.stderr))];
    };
    let errors: Vec<&Value> = items(&found["diagnostics"])
        .filter(|finding| finding["severity"] == "error")
        .collect();
    let code = output.status.code();
    if expected["result"] == "invalid" {
        let mut problems = violations(&expected, &errors);
        problems.extend((code != Some(1)).then(|| format!("exit code {code:?}, expected 1")));
        problems
    } else if code != Some(0) || !errors.is_empty() {
        vec![format!("exit code {code:?}, errors {errors:?}")]
    } else {
        dataplanes(&expected, &found)
    }
}

fn kuma(expected: &Value) -> Value {
    let mut kuma = json!({"fidelity": "exact", "version": expected["kuma"]});
    let options = &expected["options"];
    for (option, setting) in [
        ("zone", "zone"),
        ("systemNamespace", "system_namespace"),
        ("unifiedNaming", "unified_naming"),
    ] {
        if !options[option].is_null() {
            kuma[setting] = options[option].clone();
        }
    }
    kuma
}

fn violations(expected: &Value, errors: &[&Value]) -> Vec<String> {
    let mut left: Vec<&Value> = errors.to_vec();
    let mut problems = Vec::new();
    for wanted in items(&expected["violations"]) {
        let paths = [&wanted["path"], wanted.get("documentPath").unwrap_or(&wanted["path"])];
        let fits = |error: &&Value| {
            let file = Path::new(error["file"].as_str().unwrap_or("")).file_name();
            file == Path::new(wanted["file"].as_str().unwrap_or("")).file_name()
                && error["document"] == wanted["document"]
                && paths.contains(&&error["path"])
                && error["kind"] == wanted["kind"]
        };
        match left.iter().position(fits) {
            Some(i) => {
                left.remove(i);
            }
            None => problems.push(format!("not reported: {wanted}")),
        }
    }
    problems.extend(left.iter().map(|error| format!("not expected: {error}")));
    problems
}

fn dataplanes(expected: &Value, found: &Value) -> Vec<String> {
    let key = |entry: &Value| (entry["mesh"].to_string(), entry["name"].to_string());
    let mut found: BTreeMap<_, &Value> = items(&found["dataplanes"]).map(|entry| (key(entry), entry)).collect();
    let mut problems = Vec::new();
    for wanted in items(&expected["dataplanes"]) {
        let Some(found) = found.remove(&key(wanted)) else {
            problems.push(format!("no dataplane {:?}", key(wanted)));
            continue;
        };
        // Recordings say nothing of these.
        for field in ["trafficTrace", "meshTrace", "backend"]
            .iter()
            .filter(|field| wanted.get(*field).is_some())
        {
            compare(field, &wanted[field], &found[field], &mut problems);
        }
        for field in ["clusters", "listeners"] {
            compare(field, &by_name(&wanted[field]), &by_name(&found[field]), &mut problems);
        }
    }
    problems.extend(found.keys().map(|key| format!("unexpected dataplane {key:?}")));
    problems
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Messages by their names, in one spelling.
fn by_name(messages: &Value) -> Value {
    items(messages)
        .map(normal)
        .map(|message| (message["name"].as_str().unwrap_or("").to_owned(), message))
        .collect::<Map<_, _>>()
        .into()
}

/// Keys in lowerCamelCase, numbers by value, and a percentage of zero as an empty message.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| {
                let (key, value) = (camel(key), normal(value));
                let is_zero = key.ends_with("Sampling") && value == json!({"value": 0.0});
                (key, if is_zero { json!({}) } else { value })
            };
            Value::Object(fields.iter().map(field).collect())
        }
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Number(number) => number.as_f64().into(),
        other => other.clone(),
    }
}

fn camel(key: &str) -> String {
    if key.contains(['.', '@', '/']) {
        return key.to_owned();
    }
    let mut parts = key.split('_');
    let first = parts.next().unwrap_or("").to_owned();
    parts.fold(first, |all, part| {
        let mut letters = part.chars();
        let head = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
        all + &head + letters.as_str()
    })
}

/// The first places where two values differ.
fn compare(path: &str, wanted: &Value, found: &Value, problems: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let null = Value::Null;
                compare(
                    &format!("{path}.{key}"),
                    a.get(key).unwrap_or(&null),
                    b.get(key).unwrap_or(&null),
                    problems,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{i}]"), a, b, problems);
            }
        }
        (a, b) if a == b => {}
        (a, b) => problems.push(format!("{path}: expected {a}, found {b}")),
    }
}
