//! The JSON Schemas say what the program says: of every policy of the suite, and of every field.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use jsonschema::Validator;
use meshtraced::compile::compile;
use meshtraced::diag::{Code, Diagnostic, Place, Severity};
use meshtraced::kuma::{Fidelity, Version};
use meshtraced::resource::Kind;
use meshtraced::schema;
use meshtraced::settings::keys;
use meshtraced::source::Snapshot;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::props::compile::options;

/// Findings that come from looking at more than one document, or at the text: no schema sees what they see.
const BEYOND: [Code; 18] = [
    Code::AmbiguousPolicies,
    Code::AmbiguousScalar,
    Code::BackendNotFound,
    Code::BothPolicies,
    Code::BuiltinGateway,
    Code::DuplicateKey,
    Code::DuplicateResource,
    Code::ForwardsToItself,
    Code::HiddenListener,
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

/// Words of findings about documents that the schema cannot recognize, or about a section that it leaves open.
const UNRECOGNIZED: [&str; 5] = [
    "so this document has no type",
    "`apiVersion` is missing, or",
    "it must be `kuma.io/v1alpha1`",
    "is a report of a control plane",
    "does not belong into",
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
                .filter(|finding| finding.document == Some(index))
                .filter(|finding| {
                    finding.severity == Severity::Error && finding.code == Code::DuplicateKey
                        || !BEYOND.contains(&finding.code)
                })
                .filter(|finding| !finding.message.starts_with("only a policy of the system namespace"))
                // Without the name of a kind, the schema takes a document for one of others.
                .filter(|finding| !UNRECOGNIZED.iter().any(|words| finding.message.contains(words)))
                // Only YAML 1.1 reads it as a boolean, and editors read 1.2.
                .filter(|finding| !matches!(&*text_of(finding), "on" | "off" | "yes" | "no"))
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

fn findings(text: &str, version: Version) -> Vec<Arc<Diagnostic>> {
    let options = options(Fidelity::Documented, version);
    compile(&Snapshot::from_texts([("a.yaml", text)]), &options)
        .diagnostics
        .into_iter()
        .collect()
}

/// The text a finding points at.
fn text_of(finding: &Diagnostic) -> Cow<'_, str> {
    match &finding.place {
        Place::In(at) => at.text(),
        Place::File(_) | Place::Nowhere => Cow::default(),
    }
}

pub(crate) fn validator(schema: &Value) -> Validator {
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

/// The documents of a file that are neither null nor text; `None` where the text is not YAML.
fn documents(text: &str) -> Option<Vec<Value>> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).ok())
        .filter(|document| {
            document
                .as_ref()
                .is_none_or(|document| !document.is_null() && !document.is_string())
        })
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
            let known = finding
                .help
                .as_deref()
                .and_then(|help| help.strip_prefix("known fields: "));
            if let (Code::UnknownField, "\"qqqqqqqqqq\"", Some(known)) = (finding.code, &*text_of(&finding), known) {
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
fn the_schemas_can_be_printed() {
    for (arguments, expected) in [
        (&["schema"][..], schema::resources()),
        (&["schema", "resources"], schema::resources()),
        (&["schema", "settings"], keys::schema()),
    ] {
        let printed = Command::new(env!("CARGO_BIN_EXE_meshtraced")).args(arguments).output();
        let printed = printed.expect("the program starts");
        let printed: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
        assert_eq!(printed, expected);
    }
}
