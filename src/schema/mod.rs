//! JSON Schema (draft 07) of the resources, by which editors complete and underline.
//!
//! `kinds.json` says what the fields of each kind are; what a resource has beside them, in its universal form and in
//! that of Kubernetes, is put around them here. What a schema cannot say, such as a backend that the mesh does not
//! have, is left to `check`.

use serde_json::{Map, Value, json};

use crate::resource::Kind;

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The schema of a document of policies: a resource in either form, a list of them, or something that is not Kuma's.
#[must_use]
pub fn resources() -> Value {
    let mut parts = parse(include_str!("kinds.json"));
    let mut definitions = taken(&mut parts, "definitions");
    let mut kinds = taken(&mut parts, "kinds");
    let mut rules = vec![lists(), known_types(), known_kinds()];
    for kind in Kind::ALL {
        let name = kind.as_str();
        let fields = taken(&mut kinds, name);
        definitions.insert(name.to_owned(), universal(kind, fields.clone()));
        definitions.insert(format!("{name}Object"), object(kind, fields));
        rules.push(json!({
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": {"$ref": format!("#/definitions/{name}")},
        }));
        rules.push(json!({
            "if": {"properties": {"apiVersion": {"pattern": "^kuma\\.io/"}, "kind": {"const": name}}, "required": ["apiVersion", "kind"], "not": {"required": ["type"]}},
            "then": {"$ref": format!("#/definitions/{name}Object")},
        }));
    }
    json!({
        "$schema": DRAFT,
        "title": "Kuma resources that decide tracing",
        "description": "In the universal form (type, mesh, name) or in that of Kubernetes (apiVersion, kind, metadata, spec). Other documents may be anything.",
        "type": ["object", "null"],
        // Offered by editors; what may stand there is said by the rules.
        "properties": {"type": {"anyOf": [{"enum": Kind::ALL.map(Kind::as_str)}, {}]}},
        "allOf": rules,
        "definitions": definitions,
    })
}

/// The resources in a list.
fn lists() -> Value {
    json!({
        "if": {"properties": {"items": {"type": "array"}}, "required": ["items"], "not": {"required": ["type"]}},
        "then": {"properties": {"items": {"items": {"if": {"type": "object"}, "then": {"$ref": "#"}}}}},
    })
}

/// Many formats have a `type`; with a mesh beside it, it is Kuma's.
fn known_types() -> Value {
    json!({
        "if": {"required": ["type", "mesh"]},
        "then": {"properties": {"type": {"enum": kind_names()}}},
    })
}

fn known_kinds() -> Value {
    json!({
        "if": {
            "properties": {"apiVersion": {"pattern": "^kuma\\.io/"}},
            "required": ["apiVersion", "kind"],
            "not": {"required": ["type"]},
        },
        "then": {"properties": {"kind": {"enum": kind_names()}}},
    })
}

fn kind_names() -> Vec<&'static str> {
    Kind::ALL.map(Kind::as_str).into_iter().chain(Kind::OTHER).collect()
}

/// A resource of the universal form: `type`, `mesh` and `name` stand beside its fields, or above its `spec`.
fn universal(kind: Kind, mut fields: Map<String, Value>) -> Value {
    let time = json!({"type": "string", "format": "date-time"});
    let mut properties = json!({
        "type": {"const": kind.as_str()},
        "name": name(kind),
        "labels": {"$ref": "#/definitions/resourceLabels"},
        "creationTime": time,
        "modificationTime": time,
        "status": {},
        "kri": {},
    });
    if kind != Kind::Mesh {
        properties["snis"] = json!({});
    }
    let mut required = vec![json!("type"), json!("name")];
    if kind != Kind::Mesh {
        properties["mesh"] = json!({"$ref": "#/definitions/meshName"});
    }
    if kind.names_its_mesh() {
        required.push(json!("mesh"));
    }
    if kind.is_target() {
        return with_spec(kind, properties, required, fields);
    }
    let own = taken(&mut fields, "properties");
    for (field, schema) in own {
        properties[field] = schema;
    }
    if let Some(Value::Array(own)) = fields.remove("required") {
        required.extend(own);
    }
    json!({
        "description": fields["description"],
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// A resource of the form of Kubernetes.
fn object(kind: Kind, fields: Map<String, Value>) -> Value {
    let mut properties = json!({
        "apiVersion": {"type": "string"},
        "kind": {"const": kind.as_str()},
        "metadata": {
            "type": "object",
            "properties": {
                "name": name(kind),
                "namespace": {"type": "string"},
                "labels": {"$ref": "#/definitions/resourceLabels"},
                "annotations": {"$ref": "#/definitions/labels"},
            },
            "required": ["name"],
        },
        "status": {},
    });
    let mut required = vec![json!("apiVersion"), json!("kind"), json!("metadata")];
    if kind.names_its_mesh() {
        properties["mesh"] = json!({"$ref": "#/definitions/meshName"});
        required.push(json!("mesh"));
    }
    with_spec(kind, properties, required, fields)
}

/// A resource whose fields stand in `spec`.
fn with_spec(kind: Kind, mut properties: Value, mut required: Vec<Value>, mut spec: Map<String, Value>) -> Value {
    let description = spec.remove("description");
    if kind.is_target() || spec.contains_key("required") {
        required.push(json!("spec"));
    }
    spec.insert("type".to_owned(), "object".into());
    spec.insert("additionalProperties".to_owned(), false.into());
    properties["spec"] = spec.into();
    json!({
        "description": description,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn name(kind: Kind) -> Value {
    match kind {
        Kind::Mesh => json!({"allOf": [{"$ref": "#/definitions/name"}, {"maxLength": 63}]}),
        _ => json!({"$ref": "#/definitions/name"}),
    }
}

/// The object of a JSON file of this folder.
fn parse(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).expect("the tests read it")
}

/// The mapping in a field, which is there.
fn taken(from: &mut Map<String, Value>, key: &str) -> Map<String, Value> {
    match from.remove(key) {
        Some(Value::Object(map)) => map,
        _ => panic!("the tests see that there is a mapping `{key}`"),
    }
}
