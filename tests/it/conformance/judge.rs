//! The comparison of meshtraced's output with the expectation of a case.
//!
//! Field names may be snake_case or lowerCamelCase, numbers are equal by value, a percentage of zero may be written
//! out or left out, and the order of listeners, clusters and dataplanes means nothing. All other order does.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::kit::yaml::items;

/// The result of `meshtraced compile -o json`.
pub(super) struct Answer {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// All differences; none means that the answer is right.
pub(super) fn judge(expected: &Value, answer: &Answer) -> Vec<String> {
    let Ok(got) = serde_json::from_str::<Value>(&answer.stdout) else {
        return vec![format!(
            "no JSON (exit {:?}): {}",
            answer.code,
            short(answer.stderr.trim())
        )];
    };
    let errors: Vec<&Value> = items(&got["diagnostics"])
        .filter(|d| d["severity"] == "error")
        .collect();
    if expected["result"] == "invalid" {
        let mut differences = violations(expected, &errors);
        if answer.code != Some(1) {
            differences.push(format!("exit {:?}, expected 1", answer.code));
        }
        return differences;
    }
    if answer.code != Some(0) || !errors.is_empty() {
        let said: Vec<_> = errors
            .iter()
            .take(3)
            .map(|d| format!("{} {}", d["code"], d["message"]))
            .collect();
        return vec![format!("exit {:?}, errors: {}", answer.code, said.join("; "))];
    }
    dataplanes(expected, &got)
}

/// The file, document and path of an error; the file without its folder.
fn pointed_at<'a>(finding: &'a Value, path: &str) -> (&'a str, u64, Option<&'a str>, Option<&'a str>) {
    let file = Path::new(finding["file"].as_str().unwrap_or_default()).file_name();
    let file = file.and_then(|name| name.to_str()).unwrap_or_default();
    (
        file,
        finding["document"].as_u64().unwrap_or(0),
        finding[path].as_str(),
        finding["kind"].as_str(),
    )
}

fn violations(expected: &Value, errors: &[&Value]) -> Vec<String> {
    let mut reported: Vec<_> = errors.iter().map(|error| pointed_at(error, "path")).collect();
    let mut differences = Vec::new();
    for violation in items(&expected["violations"]) {
        // Kuma's spelling of the path, or that of the document where it differs.
        let ways = ["path", "documentPath"].map(|path| pointed_at(violation, path));
        match reported
            .iter()
            .position(|error| error.2.is_some() && ways.contains(error))
        {
            Some(hit) => drop(reported.remove(hit)),
            None => differences.push(format!("not reported: {:?}", ways[0])),
        }
    }
    differences.extend(
        reported
            .iter()
            .map(|error| format!("reported but not expected: {error:?}")),
    );
    differences
}

fn dataplanes(expected: &Value, got: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    let mut printed: BTreeMap<String, &Value> = items(&got["dataplanes"]).map(|d| (key(d), d)).collect();
    for dataplane in items(&expected["dataplanes"]) {
        let name = key(dataplane);
        let Some(got) = printed.remove(&name) else {
            differences.push(format!("no dataplane {name}"));
            continue;
        };
        for field in ["trafficTrace", "meshTrace", "backend"] {
            if let Some(expected) = dataplane.get(field) {
                diff(&format!("{name}.{field}"), expected, &got[field], &mut differences);
            }
        }
        for field in ["clusters", "listeners"] {
            let [expected, got] = [dataplane, got].map(|dataplane| by_name(&dataplane[field]));
            diff(&format!("{name}.{field}"), &expected, &got, &mut differences);
        }
    }
    differences.extend(printed.keys().map(|name| format!("unexpected dataplane {name}")));
    differences
}

fn key(dataplane: &Value) -> String {
    let part = |field: &str| dataplane[field].as_str().unwrap_or("?").to_owned();
    format!("{}/{}", part("mesh"), part("name"))
}

/// The messages of a list in one spelling, sorted by name.
fn by_name(list: &Value) -> Value {
    let mut messages: Vec<Value> = items(list).map(normal).collect();
    messages.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    Value::Array(messages)
}

fn normal(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(fields.iter().map(|(k, v)| normal_field(k, v)).collect()),
        Value::Array(list) => Value::Array(list.iter().map(normal).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn normal_field(name: &str, value: &Value) -> (String, Value) {
    let (name, value) = (camel(name), normal(value));
    let only_zero = |percent: &Map<String, Value>| percent.len() == 1 && value["value"].as_f64() == Some(0.0);
    if name.ends_with("Sampling") && value.as_object().is_some_and(only_zero) {
        return (name, Value::Object(Map::new()));
    }
    (name, value)
}

/// lowerCamelCase as proto3 JSON has it: `trace_id_128bit` is `traceId128bit`. Names that are no field stay.
fn camel(name: &str) -> String {
    if name.contains(['.', '@', '/']) {
        return name.to_owned();
    }
    let mut camel = String::with_capacity(name.len());
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        match letters.peek() {
            Some(next) if letter == '_' && (next.is_ascii_lowercase() || next.is_ascii_digit()) => {
                camel.push(next.to_ascii_uppercase());
                letters.next();
            }
            _ => camel.push(letter),
        }
    }
    camel
}

fn diff(path: &str, expected: &Value, got: &Value, differences: &mut Vec<String>) {
    match (expected, got) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, value) in a {
                match b.get(name) {
                    Some(other) => diff(&format!("{path}.{name}"), value, other, differences),
                    None => differences.push(format!("{path}.{name}: missing, expected {}", shown(value))),
                }
            }
            let extra = b.iter().filter(|(name, _)| !a.contains_key(*name));
            differences.extend(extra.map(|(name, value)| format!("{path}.{name}: unexpected {}", shown(value))));
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                differences.push(format!(
                    "{path}: {} items expected, got {}: {}",
                    a.len(),
                    b.len(),
                    shown(got)
                ));
            }
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                diff(&format!("{path}[{i}]"), a, b, differences);
            }
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        _ if expected == got => {}
        _ => differences.push(format!("{path}: expected {}, got {}", shown(expected), shown(got))),
    }
}

fn shown(value: &Value) -> String {
    short(&value.to_string())
}

fn short(text: &str) -> String {
    text.chars().take(160).collect()
}

/// The right answer to a case, in another spelling than that of the case: snake_case, numbers with a fraction, lists
/// in reverse.
pub(super) fn as_printed(expected: &Value) -> Answer {
    let invalid = expected["result"] == "invalid";
    let errors = items(&expected["violations"]).map(|violation| {
        let mut error = violation.clone();
        error["severity"] = "error".into();
        error["file"] = format!("some/folder/{}", violation["file"].as_str().expect("a file")).into();
        if let Some(path) = violation.get("documentPath") {
            error["path"] = path.clone();
        }
        error
    });
    let dataplanes = items(&expected["dataplanes"]).map(|dataplane| {
        let mut printed = dataplane.clone();
        for field in ["clusters", "listeners"] {
            printed[field] = items(&dataplane[field]).map(respelled).rev().collect();
        }
        printed
    });
    let diagnostics: Vec<Value> = errors.rev().collect();
    let dataplanes: Vec<Value> = dataplanes.rev().collect();
    Answer {
        code: Some(i32::from(invalid)),
        stdout: serde_json::json!({"dataplanes": dataplanes, "diagnostics": diagnostics}).to_string(),
        stderr: String::new(),
    }
}

fn respelled(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (snake(name), respelled(value)))
            .collect(),
        Value::Array(list) => list.iter().map(respelled).collect(),
        Value::Number(number) => number.as_f64().into(),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

fn snake(name: &str) -> String {
    if name.contains(['.', '@', '/']) {
        return name.to_owned();
    }
    let mut snake = String::new();
    for letter in name.replace("traceId128bit", "trace_id_128bit").chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[test]
fn differences_are_named() {
    let expected: Value = serde_yaml::from_str(
        "{result: ok, dataplanes: [{mesh: m, name: d, trafficTrace: t, clusters: [], listeners: [{name: l, tracing:
          {overallSampling: {}, randomSampling: {value: 5}, maxPathTagLength: 64, customTags: [{tag: a}, {tag: b}]}}]}]}",
    )
    .expect("YAML");
    let check = |trace: &str, tracing: &str, differences: &[&str]| {
        let stdout = format!(
            r#"{{"dataplanes": [{{"mesh": "m", "name": "d", "trafficTrace": {trace}, "clusters": [],
                "listeners": [{{"name": "l", "tracing": {tracing}}}]}}]}}"#
        );
        assert_eq!(
            judge(
                &expected,
                &Answer {
                    code: Some(0),
                    stdout,
                    stderr: String::new()
                }
            ),
            differences
        );
    };
    let right = r#"{"overall_sampling": {"value": 0}, "random_sampling": {"value": 5.0}, "max_path_tag_length": 64,
                    "custom_tags": [{"tag": "a"}, {"tag": "b"}]}"#;
    check(r#""t""#, right, &[]);
    check("null", right, &[r#"m/d.trafficTrace: expected "t", got null"#]);
    let tracing = "m/d.listeners[0].tracing";
    let or = |from: &str, to: &str| right.replace(from, to);
    check(
        r#""t""#,
        &or("5.0", "0.5"),
        &[&format!("{tracing}.randomSampling.value: expected 5, got 0.5")],
    );
    check(
        r#""t""#,
        &or("64", r#""64""#),
        &[&format!(r#"{tracing}.maxPathTagLength: expected 64, got "64""#)],
    );
    check(
        r#""t""#,
        &or(r#", {"tag": "b"}"#, ""),
        &[&format!(
            r#"{tracing}.customTags: 2 items expected, got 1: [{{"tag":"a"}}]"#
        )],
    );
    check(
        r#""t""#,
        &or(r#""a""#, r#""c""#),
        &[&format!(r#"{tracing}.customTags[0].tag: expected "a", got "c""#)],
    );
    check(
        r#""t""#,
        &or("max_path_tag_length", "verbose"),
        &[
            &format!("{tracing}.maxPathTagLength: missing, expected 64"),
            &format!("{tracing}.verbose: unexpected 64"),
        ],
    );
    assert_eq!(
        ["trace_id_128bit", "a.b_c", "alt_stat_name"].map(camel),
        ["traceId128bit", "a.b_c", "altStatName"]
    );
}

#[test]
fn errors_are_matched_one_to_one() {
    let expected: Value = serde_yaml::from_str(
        "{result: invalid, violations: [
          {file: a.yaml, document: 1, path: p.config.x, documentPath: p.conf.x, kind: required},
          {file: a.yaml, document: 1, path: p.config.x, documentPath: p.conf.x, kind: required}]}",
    )
    .expect("YAML");
    let error = r#"{"severity": "error", "file": "in/a.yaml", "document": 1, "path": "p.conf.x", "kind": "required"}"#;
    let warning = error.replace(r#""error""#, r#""warning""#);
    let check = |code: i32, diagnostics: &[&str], count: usize| {
        let stdout = format!(r#"{{"dataplanes": [], "diagnostics": [{}]}}"#, diagnostics.join(","));
        let differences = judge(
            &expected,
            &Answer {
                code: Some(code),
                stdout,
                stderr: String::new(),
            },
        );
        assert_eq!(differences.len(), count, "{differences:?}");
    };
    check(1, &[error, error], 0);
    check(1, &[error, &error.replace("conf", "config"), &warning], 0);
    check(0, &[error, error], 1);
    check(1, &[error], 1);
    check(1, &[error, error, error], 1);
    check(1, &[error, &error.replace("required", "empty")], 2);
    check(1, &[error, &error.replace("1,", "0,")], 2);
    check(1, &[error, &warning], 1);
    let crashed = Answer {
        code: Some(101),
        stdout: String::new(),
        stderr: "panicked".to_owned(),
    };
    assert_eq!(judge(&expected, &crashed), ["no JSON (exit Some(101)): panicked"]);
}
