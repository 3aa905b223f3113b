//! The JSON Schemas say what the program says: of every policy of the suite, of every field, of every setting.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jsonschema::Validator;
use meshtraced::compile::compile;
use meshtraced::diag::{Code, Diagnostic, Place};
use meshtraced::kuma::{Fidelity, Version};
use meshtraced::resource::Kind;
use meshtraced::schema;
use meshtraced::settings::{Overrides, Settings};
use meshtraced::source::Snapshot;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::props::compile::options;

/// Findings that come from looking at more than one document, or at the text: no schema sees what they see.
const BEYOND: [Code; 17] = [
    Code::AmbiguousPolicies,
    Code::AmbiguousScalar,
    Code::BackendNotFound,
    Code::BothPolicies,
    Code::BuiltinGateway,
    Code::DuplicateKey,
    Code::DuplicateResource,
    Code::ForwardsToItself,
    Code::ListenerConflict,
    Code::MixedPropagation,
    Code::NoHttpListener,
    Code::SamplingZero,
    Code::SelectsNothing,
    Code::TransparentProxyOutbounds,
    Code::UnknownDestination,
    Code::UnknownMesh,
    Code::UnknownDefaultBackend,
];

/// Findings that the schema underlines too, wherever they are.
const WITHIN: [Code; 8] = [
    Code::EmptyField,
    Code::MissingField,
    Code::PortOutOfRange,
    Code::SamplingOutOfRange,
    Code::UnknownField,
    Code::UnknownType,
    Code::UnknownValue,
    Code::WrongType,
];

#[test]
fn the_schema_takes_what_check_takes_and_underlines_what_it_finds() {
    let validator = validator(&schema::resources());
    let (mut taken, mut refused) = (0, 0);
    let mut wrong = Vec::new();
    for (path, text) in policies() {
        let Some(documents) = documents(&text) else { continue };
        let found = found(&text);
        for (index, document) in documents.iter().enumerate() {
            let codes = &found[&index];
            let errors: Vec<String> = validator
                .iter_errors(document)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            let at = format!("{path} #{index}");
            if codes.is_empty() {
                taken += 1;
                if !errors.is_empty() {
                    wrong.push(format!("{at}: refused by the schema alone: {errors:?}"));
                }
            } else if codes.iter().all(|code| *code == Code::UnknownType) && document.get("mesh").is_none() {
                // A word that is nearly one of Kuma's; no schema knows what is near.
            } else if codes.iter().any(|code| WITHIN.contains(code)) {
                refused += 1;
                if errors.is_empty() {
                    wrong.push(format!("{at}: the schema sees nothing of {codes:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(taken > 1500 && refused > 30, "{taken} and {refused} documents");
}

/// The codes of what is wrong with each document by itself; nothing where some version of Kuma takes it.
fn found(text: &str) -> BTreeMap<usize, BTreeSet<Code>> {
    let mut least: BTreeMap<usize, BTreeSet<Code>> = BTreeMap::new();
    // What 3.0 took away stands in the schema, and what it dropped silently is a mistake to 2.
    for version in [Version::V2_13, Version::V2_14] {
        let findings = findings(text, version);
        if findings
            .iter()
            .any(|finding| finding.message.starts_with("Kuma 2.13 has no resource type"))
        {
            continue;
        }
        for index in 0..100 {
            let codes: BTreeSet<Code> = (findings.iter())
                .filter(|finding| finding.document == Some(index) && !BEYOND.contains(&finding.code))
                .filter(|finding| !finding.message.starts_with("only a policy of the system namespace"))
                // Only YAML 1.1 reads it as a boolean, and editors read 1.2.
                .filter(|finding| !matches!(text_of(finding), "on" | "off" | "yes" | "no"))
                .map(|finding| finding.code)
                .collect();
            least
                .entry(index)
                .and_modify(|least| {
                    if codes.len() < least.len() {
                        least.clone_from(&codes);
                    }
                })
                .or_insert(codes);
        }
    }
    least
}

fn findings(text: &str, version: Version) -> Vec<Diagnostic> {
    let options = options(Fidelity::Documented, version);
    compile(&Snapshot::from_texts([("a.yaml", text)]), &options)
        .diagnostics
        .into_iter()
        .collect()
}

/// The text a finding points at.
fn text_of(finding: &Diagnostic) -> &str {
    match &finding.place {
        Place::In(at) => at.text(),
        Place::File(_) | Place::Nowhere => "",
    }
}

fn validator(schema: &Value) -> Validator {
    jsonschema::meta::validate(schema).unwrap_or_else(|error| panic!("no schema: {error}"));
    jsonschema::validator_for(schema).unwrap_or_else(|error| panic!("{error}"))
}

/// The texts of all policies of the project, by where they stand.
fn policies() -> Vec<(String, String)> {
    let table = fs::read_to_string("tests/conformance/mistakes.yaml").expect("the table of mistakes");
    let lines: Vec<Value> = serde_yaml::from_str(&table).expect("a list");
    let of_table = lines
        .iter()
        .enumerate()
        .map(|(i, line)| (format!("mistake {i}: {}", line["in"]), line["in"].to_string()));
    let of_files = files()
        .into_iter()
        .filter_map(|path| Some((path.display().to_string(), fs::read_to_string(path).ok()?)));
    of_table.chain(of_files).collect()
}

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = ["policies", "examples", "tests/cases", "tests/conformance"]
        .iter()
        .flat_map(|folder| walkdir::WalkDir::new(root.join(folder)))
        .map(|entry| entry.expect("a folder of the project").into_path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml" || extension == "json")
        })
        .filter(|path| !path.components().any(|part| part.as_os_str() == "out"))
        .filter(|path| !path.ends_with("settings.yaml") && !path.ends_with("expected.yaml"))
        .filter(|path| !path.ends_with("mistakes.yaml"))
        .collect();
    files.sort();
    files
}

/// The documents of a file that are not null; `None` where the text is no YAML.
fn documents(text: &str) -> Option<Vec<Value>> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).ok())
        .filter(|document| document.as_ref().is_none_or(|document| !document.is_null()))
        .collect()
}

/// What a field of the schema holds, with where it is: keys, and `[]` for the items of a list.
type At<'p> = &'p [String];

#[test]
fn the_fields_of_the_schema_are_those_that_are_read() {
    let schema = schema::resources();
    let mut seen = 0;
    for kind in Kind::ALL {
        for form in [kind.as_str().to_owned(), format!("{}Object", kind.as_str())] {
            let mut closed = Vec::new();
            collect_closed(&schema, &schema["definitions"][&form], &mut Vec::new(), &mut closed);
            for (at, fields) in closed {
                let read = fields_read(kind, form.ends_with("Object"), &at);
                assert_eq!(fields, read, "{form} {}", at.join("."));
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen} mappings");
}

/// The mappings that take no other field, and the fields they take.
fn collect_closed(
    schema: &Value,
    part: &Value,
    at: &mut Vec<String>,
    found: &mut Vec<(Vec<String>, BTreeSet<String>)>,
) {
    if let Some(name) = part["$ref"].as_str() {
        let name = name.strip_prefix("#/definitions/").expect("a definition");
        collect_closed(schema, &schema["definitions"][name], at, found);
        return;
    }
    let fields = part["properties"].as_object();
    if part["additionalProperties"] == json!(false) {
        let fields = fields.into_iter().flatten().map(|(key, _)| key.clone()).collect();
        found.push((at.clone(), fields));
    }
    let inner = fields.into_iter().flatten().map(|(key, part)| (key.as_str(), part));
    let items = part.get("items").map(|items| ("[]", items));
    for (key, part) in inner.chain(items) {
        at.push(key.to_owned());
        collect_closed(schema, part, at, found);
        at.pop();
    }
}

/// The fields that the program says it knows at that place, in any version of Kuma.
fn fields_read(kind: Kind, is_object: bool, at: At) -> BTreeSet<String> {
    let mut document = match is_object {
        true => {
            json!({"apiVersion": "kuma.io/v1alpha1", "kind": kind.as_str(), "metadata": {"name": "a"}, "mesh": "default"})
        }
        false => json!({"type": kind.as_str(), "name": "a", "mesh": "default"}),
    };
    let inner = at
        .iter()
        .rev()
        .fold(json!({"qqqqqqqqqq": 1}), |inner, key| match key.as_str() {
            "[]" => json!([inner]),
            key => json!({key: inner}),
        });
    merge(&mut document, inner);
    let text = document.to_string();
    let mut fields = BTreeSet::new();
    for version in [Version::V2_13, Version::V2_14, Version::V3_0] {
        for finding in findings(&text, version) {
            let known = finding.help.as_deref().and_then(|help| help.strip_prefix("it has: "));
            if let (Code::UnknownField, "\"qqqqqqqqqq\"", Some(known)) = (finding.code, text_of(&finding), known) {
                fields.extend(known.split(", ").map(str::to_owned));
            }
        }
    }
    fields
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[test]
fn the_settings_of_the_schema_are_those_that_are_read() {
    let schema = schema::settings();
    for at in [&[][..], &["kuma"], &["envoy"], &["limits"]] {
        let part = at.iter().fold(&schema, |part, key| &part["properties"][key]);
        let fields = part["properties"].as_object().expect("a mapping");
        let fields: BTreeSet<String> = fields.keys().cloned().collect();
        let wrong = at
            .iter()
            .rev()
            .fold(json!({"qqqqqqqqqq": 1}), |inner, key| json!({*key: inner}));
        let said = settings_error(&wrong).unwrap_or_else(|| panic!("{wrong} is taken"));
        let known: BTreeSet<String> = said.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        assert_eq!(fields, known, "{said}");
    }
}

#[test]
fn what_the_schema_says_of_settings_is_so() {
    let schema = schema::settings();
    let validator = validator(&schema);
    let mut defaults = Vec::new();
    collect_defaults(&schema, &mut Vec::new(), &mut defaults);
    assert!(defaults.len() > 20, "{defaults:?}");
    for (at, default) in defaults {
        let settings = at.iter().rev().fold(default, |inner, key| json!({key: inner}));
        assert!(validator.is_valid(&settings), "{settings}");
        assert_eq!(settings_error(&settings), None, "{settings}");
    }
    for (text, is_right) in [
        ("policies: [a, {path: b, vars: {name: x, a: {b: 1}}}]", true),
        ("policies: []", false),
        ("policies: [{path: b, var: {}}]", false),
        ("kuma: {version: 2.13, ties: creation-time, unified_naming: true}", true),
        ("kuma: {version: 2.12}", false),
        ("kuma: {fidelity: full}", false),
        ("debounce: 1m 30s", true),
        ("debounce: 0s", true),
        ("debounce: soon", false),
        ("mode: \"0440\"", false),
        ("mode: \"640\"", true),
        ("owner: 0", true),
        ("envoy: {admin: tcp}", false),
        ("envoy: {admin: \"unix:/run/envoy.sock\"}", true),
        ("services: {web: htp}", false),
        ("select: [{mesh: a, name: \"web-*\", tags: {version: v1}}]", true),
        ("select: [{label: a}]", false),
        ("limits: {depth: 129}", false),
        ("limits: {depth: 128, nodes: 1}", true),
        ("on_error: hold", false),
        (
            "reload: [{select: {name: a}, signal: {pidfile: /a, name: SIGUSR1}}]",
            true,
        ),
        (
            "reload: [{signal: {pidfile: \"{path}/a\"}, files: [xds/lds.yaml]}]",
            true,
        ),
        (
            "reload: [{systemd: {unit: \"envoy@{dataplane}\", action: restart}}]",
            true,
        ),
        ("reload: [{exec: {argv: [a, \"{mesh}\"], timeout: 1m}}]", true),
        ("reload: [{exec: {argv: []}}]", false),
        ("reload: [{exec: {argv: [a]}, systemd: {unit: a}}]", false),
        ("reload: [{select: {name: a}}]", false),
        ("reload: [{signal: {pidfile: a}}]", false),
        ("reload: [{signal: {pidfile: /a, name: KILL}}]", false),
        ("reload: [{systemd: {unit: a, action: stop}}]", false),
        ("reload: [{exec: {argv: [a]}, files: [lds.yaml]}]", false),
    ] {
        let settings: Value = serde_yaml::from_str(text).expect(text);
        let refused = settings_error(&settings);
        assert_eq!(validator.is_valid(&settings), is_right, "{text}");
        assert_eq!(refused.is_none(), is_right, "{text}: {refused:?}");
    }
}

/// The values that the schema of the settings says are taken when there is none.
fn collect_defaults(part: &Value, at: &mut Vec<String>, found: &mut Vec<(Vec<String>, Value)>) {
    if let Some(default) = part.get("default") {
        found.push((at.clone(), default.clone()));
    }
    for (key, part) in part["properties"].as_object().into_iter().flatten() {
        at.push(key.clone());
        collect_defaults(part, at, found);
        at.pop();
    }
}

/// What the program has against these settings.
fn settings_error(settings: &Value) -> Option<String> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("settings.yaml");
    fs::write(&path, settings.to_string()).expect("a file");
    match Settings::load(Some(&path), &Overrides::default()) {
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn the_schemas_can_be_printed() {
    for (arguments, expected) in [
        (&["schema"][..], schema::resources()),
        (&["schema", "resources"], schema::resources()),
        (&["schema", "settings"], schema::settings()),
    ] {
        let printed = Command::new(env!("CARGO_BIN_EXE_meshtraced")).args(arguments).output();
        let printed = printed.expect("the program starts");
        let printed: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
        assert_eq!(printed, expected);
    }
}
