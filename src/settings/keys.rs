//! The keys of the settings and their JSON Schema, both derived from the declaration of [`Settings`].

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::model::Settings;

/// The prefix of the environment variables that set keys.
pub const VARIABLE_PREFIX: &str = "MESHTRACED_";

/// A key of the settings, or a section of keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The names from the outermost section to the key.
    pub path: Vec<String>,
    /// Whether the key holds more keys.
    pub is_section: bool,
    /// The schema of the value, without references.
    pub schema: Value,
}

impl Key {
    /// The path as people write it: `kuma.version`.
    #[must_use]
    pub fn dotted(&self) -> String {
        self.path.join(".")
    }

    /// The environment variable that sets the key: `MESHTRACED_KUMA_VERSION`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.path.join("_").to_uppercase())
    }

    /// Whether a variable holds the value as YAML, since it may be a list, a mapping or a boolean, rather than as
    /// plain text.
    #[must_use]
    pub fn is_yaml_in_variable(&self) -> bool {
        is_more_than_text(&self.schema)
    }
}

/// The keys and sections, in the order of their declaration; a section stands before its keys.
#[must_use]
pub fn keys() -> Vec<Key> {
    let mut keys = Vec::new();
    collect(&declared(), &[], &mut keys);
    keys
}

fn collect(section: &Value, at: &[String], keys: &mut Vec<Key>) {
    for (name, schema) in section["properties"].as_object().into_iter().flatten() {
        let path = [at, std::slice::from_ref(name)].concat();
        let is_section = is_section(schema);
        keys.push(Key {
            path: path.clone(),
            is_section,
            schema: schema.clone(),
        });
        if is_section {
            collect(schema, &path, keys);
        }
    }
}

/// The JSON Schema (draft 07) of a settings file.
#[must_use]
pub fn schema() -> Value {
    let mut declared = declared();
    allow_null(&mut declared);
    // What a reader looks for first stands first.
    let mut schema = json!({});
    for keyword in ["$schema", "title", "description"] {
        schema[keyword] = declared[keyword].take();
    }
    for (keyword, value) in declared.as_object().into_iter().flatten() {
        if !value.is_null() {
            schema[keyword] = value.clone();
        }
    }
    schema
}

/// Everything that the types say, inline, so that a section is told by its properties.
fn declared() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Settings>().to_value()
}

fn is_section(schema: &Value) -> bool {
    schema["properties"].is_object()
}

fn is_more_than_text(schema: &Value) -> bool {
    let is = |name: &Value| name == "array" || name == "object" || name == "boolean";
    let own = &schema["type"];
    let alternatives = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema[key].as_array());
    is(own) || own.as_array().is_some_and(|names| names.iter().any(is)) || alternatives.flatten().any(is_more_than_text)
}

/// Lets a section, and each of its keys, be null.
fn allow_null(section: &mut Value) {
    for schema in section["properties"].as_object_mut().expect("a section").values_mut() {
        if is_section(schema) {
            allow_null(schema);
        } else {
            key_or_null(schema);
        }
    }
    section["type"] = json!(["object", "null"]);
}

/// Lets a key be null; what is said of it stays where editors look for it.
fn key_or_null(schema: &mut Value) {
    let mut value = std::mem::take(schema);
    let mut whole = json!({});
    for keyword in ["description", "default", "examples"] {
        if let Some(said) = value.as_object_mut().and_then(|value| value.shift_remove(keyword)) {
            whole[keyword] = said;
        }
    }
    whole["anyOf"] = json!([value, {"type": "null"}]);
    *schema = whole;
}
