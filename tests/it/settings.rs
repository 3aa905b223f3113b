//! The settings: what the schema says of them, the program does, and `docs/settings.md` has it all.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it settings` writes the page from the declaration in `src/settings/model.rs`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use meshtraced::settings::keys::{self, Key};
use meshtraced::settings::{Overrides, Settings};
use serde_json::{Value, json};

use crate::kit::program;
use crate::schema::validator;

#[test]
fn every_default_and_every_example_is_taken() {
    let validator = validator(&keys::schema());
    for key in keys::keys().iter().filter(|key| !key.is_section) {
        for value in [default(key), example(key)] {
            let settings = nested(key, value);
            assert!(validator.is_valid(&settings), "{settings}");
            assert_eq!(error(&settings), None, "{settings}");
        }
        assert_ne!(
            default(key),
            example(key),
            "{}: the example shows nothing new",
            key.dotted()
        );
    }
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    let dir = program::good();
    for key in keys::keys().iter().filter(|key| !key.is_section) {
        let value = match example(key) {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let output = Command::new(env!("CARGO_BIN_EXE_meshtraced"))
            .arg("check")
            .current_dir(dir.path())
            .env(key.variable(), &value)
            .output()
            .expect("the program starts");
        // Policies may be missing where the example looks for them, which is no matter of settings.
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("settings"), "{}={value}: {said}", key.variable());
    }
}

#[test]
fn the_schema_takes_the_settings_that_the_program_takes() {
    let validator = validator(&keys::schema());
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
        let error = error(&settings);
        assert_eq!(validator.is_valid(&settings), is_right, "{text}");
        assert_eq!(error.is_none(), is_right, "{text}: {error:?}");
    }
}

#[test]
fn the_settings_of_the_service_are_taken() {
    // The users are those of the package, which is not installed here.
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/meshtraced.yaml")).expect("a file");
    let text = text
        .replace("owner: meshtraced", "owner: 0")
        .replace("group: envoy", "group: 0");
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), text).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_meshtraced"))
        .arg("--config")
        .arg(file.path())
        .args(["--policies", "policies", "check"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_reference_has_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    let page = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &page).expect("the page is written");
    }
    let there = fs::read_to_string(&path).expect("the page");
    assert!(
        there == page,
        "docs/settings.md differs from the declaration; UPDATE_GOLDEN=1 rewrites it"
    );
}

/// The error of the program about these settings.
fn error(settings: &Value) -> Option<String> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), settings.to_string()).expect("written");
    let loaded = Settings::load(Some(file.path()), &Overrides::default());
    loaded.err().map(|error| error.to_string())
}

fn default(key: &Key) -> &Value {
    (key.schema.get("default")).unwrap_or_else(|| panic!("{} has no default", key.dotted()))
}

fn example(key: &Key) -> &Value {
    let examples = key.schema["examples"].as_array();
    let example = examples.and_then(|examples| examples.first());
    example.unwrap_or_else(|| panic!("{} has no example", key.dotted()))
}

fn description<'a>(schema: &'a Value, of: &str) -> &'a str {
    (schema["description"].as_str()).unwrap_or_else(|| panic!("{of} has no description"))
}

/// The settings with that one key.
fn nested(key: &Key, value: &Value) -> Value {
    (key.path.iter().rev()).fold(value.clone(), |inner, name| json!({name: inner}))
}

const INTRODUCTION: &str = "\
# Settings

Settings are read from one YAML file (`--config`), then from environment variables, then from options of the command line; each
overrides the ones before. Every key is optional, a key without a value has its default, and an unknown key is an error.
Variables hold plain text, and YAML where the value is a list, a mapping or a boolean.

`meshtraced schema settings` prints a JSON Schema of the file, by which editors complete and underline.
";

/// The text of `docs/settings.md`.
fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for key in keys::keys() {
        let level = "#".repeat(key.path.len() + 1);
        let name = key.dotted();
        let description = description(&key.schema, &name);
        write!(page, "\n{level} `{name}`\n\n{description}\n").expect("text");
        if key.is_section {
            continue;
        }
        let default = match default(&key) {
            Value::Null => "none".to_owned(),
            Value::String(text) => format!("`{text}`"),
            value => format!("`{value}`"),
        };
        let kind = kind(&key.schema);
        write!(
            page,
            "\n- Value: {kind}\n- Default: {default}\n- Variable: `{}`\n",
            key.variable()
        )
        .expect("text");
        list_choices(&key.schema, &mut page);
        list_fields(&key.schema, "", &mut page);
        let example = serde_yaml::to_string(&nested(&key, example(&key))).expect("YAML");
        write!(page, "\n```yaml\n{example}```\n").expect("text");
    }
    page
}

/// The type of a value, in words.
fn kind(schema: &Value) -> String {
    if let Some(title) = schema["title"].as_str() {
        return title.to_owned();
    }
    if let Some(alternatives) = schema["anyOf"].as_array() {
        // A key that may be left without a value.
        let given = alternatives.iter().find(|alternative| alternative["type"] != "null");
        return kind(given.expect("a value"));
    }
    let words = choices(schema);
    if let Some((last, first)) = words.split_last() {
        let first: Vec<String> = first.iter().map(|(word, _)| format!("`{word}`")).collect();
        return format!("{} or `{}`", first.join(", "), last.0);
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        names => names
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect(),
    };
    match names.iter().find(|name| **name != "null") {
        Some(&"array") => match kind(&schema["items"]).as_str() {
            "a mapping" => "a list of mappings".to_owned(),
            item => format!("a list of {item}"),
        },
        Some(&"object") => match &schema["additionalProperties"] {
            Value::Object(_) => format!("a mapping of names to {}", kind(&schema["additionalProperties"])),
            _ => "a mapping".to_owned(),
        },
        Some(&"boolean") => "a boolean".to_owned(),
        Some(&"integer") => "a whole number".to_owned(),
        Some(&"string") => "text".to_owned(),
        other => panic!("no words for {other:?}: {schema}"),
    }
}

/// The text of an item of a list, whose further lines are indented.
fn continued(text: &str) -> String {
    text.replace('\n', "\n  ")
}

/// The words of an enumeration, with what each means.
fn list_choices(schema: &Value, page: &mut String) {
    let choices = choices(schema);
    if !choices.is_empty() {
        page.push('\n');
    }
    for (word, choice) in choices {
        writeln!(page, "- `{word}`: {}", continued(description(choice, word))).expect("text");
    }
}

/// The words of an enumeration, each with its schema; empty for other types.
fn choices(schema: &Value) -> Vec<(&str, &Value)> {
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    choices
        .filter_map(|choice| Some((choice["const"].as_str()?, choice)))
        .collect()
}

/// The fields of the mappings in a list, and of the mappings in them.
fn list_fields(schema: &Value, prefix: &str, page: &mut String) {
    let inner = [&schema["items"], schema]
        .into_iter()
        .find(|inner| inner["properties"].is_object());
    let Some(inner) = inner else { return };
    if prefix.is_empty() {
        page.push_str("\nKeys of an entry:\n\n");
    }
    for (name, field) in inner["properties"].as_object().into_iter().flatten() {
        let field_of = field["anyOf"].as_array().map_or(field, |alternatives| &alternatives[0]);
        let name = format!("{prefix}{name}");
        writeln!(
            page,
            "- `{name}` ({}): {}",
            kind(field_of),
            continued(description(field, &name))
        )
        .expect("text");
        if field_of["properties"].is_object() {
            list_fields(field_of, &format!("{name}."), page);
        }
    }
}
