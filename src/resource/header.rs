//! What every resource has: type, mesh, name, labels.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset};

use super::decode::{Decoder, Object, Origin, TextMap, key_path};
use super::kind::Kind;
use super::{Context, Fidelity};
use crate::diag::{Code, ResourceId};
use crate::source::Location;
use crate::yaml::{Map, Node, Value};

/// The fields that stand in every document; mesh-scoped kinds have `mesh` as well.
pub(super) const HEADER: &[&str] = &["type", "name", "labels", "creationTime", "modificationTime", "status"];

/// What every resource has.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Type, mesh and name.
    pub id: Arc<ResourceId>,
    /// Where the name stands, or the document where it has none.
    pub at: Location,
    /// Index of the document in its file.
    pub document: usize,
    /// `creationTime`, which decides ties when the settings say so.
    pub creation_time: Option<DateTime<FixedOffset>>,
}

impl Header {
    /// The mesh it belongs to.
    #[must_use]
    pub fn mesh(&self) -> &str {
        &self.id.mesh
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.id.name
    }

    /// By mesh and name.
    pub(super) fn order(&self) -> (&str, &str) {
        (self.mesh(), self.name())
    }
}

/// Type, mesh and name as they are written, right or wrong.
pub(super) fn identify(kind: Kind, map: &Map) -> ResourceId {
    let text = |key: &str| match map.get(key).map(|entry| &entry.value.value) {
        Some(Value::Scalar(scalar)) => scalar.text.clone(),
        Some(Value::List(_) | Value::Map(_)) | None => String::new(),
    };
    let mesh = if kind == Kind::Mesh { text("name") } else { text("mesh") };
    ResourceId {
        kind: kind.as_str().to_owned(),
        mesh,
        name: text("name"),
    }
}

/// Where the value of a top-level field stands, or the document where it is not there.
pub(super) fn place(root: &Node, key: &str) -> Location {
    match &root.value {
        Value::Map(map) => map.get(key).map_or(&root.at, |entry| &entry.value.at).clone(),
        Value::Scalar(_) | Value::List(_) => root.at.clone(),
    }
}

pub(super) fn decode(decoder: &mut Decoder, context: &Context, kind: Kind, root: &Node) -> Header {
    let mut header = Header {
        id: Arc::clone(&decoder.resource),
        at: place(root, "name"),
        document: decoder.document,
        creation_time: None,
    };
    let Value::Map(_) = &root.value else { return header };
    // The decoder of the kind reports unknown fields, since it knows all of them.
    let object = Object::without_check(root);
    check_name(decoder, kind, &object);
    if kind != Kind::Mesh {
        check_mesh(decoder, &object);
    }
    check_labels(decoder, context, &object);
    header.creation_time = decode_time(decoder, &object, "creationTime");
    decode_time(decoder, &object, "modificationTime");
    header
}

fn check_name(decoder: &mut Decoder, kind: Kind, object: &Object) {
    let Some(name) = required(decoder, object, "name") else {
        return;
    };
    let Origin { path, at, .. } = &name.origin;
    let limit = if kind == Kind::Mesh { 63 } else { 253 };
    if name.value.len() > limit {
        decoder.error(
            Code::TooLong,
            at,
            path,
            format!("`name` is {} characters long, more than {limit}", name.value.len()),
        );
    } else if !is_subdomain(&name.value) {
        let message = format!(
            "`name` is `{}`; it must be lowercase letters, digits, `-` and `.`, with a letter or digit at both ends",
            name.value
        );
        decoder.error(Code::InvalidValue, at, path, message);
    }
}

fn check_mesh(decoder: &mut Decoder, object: &Object) {
    let Some(mesh) = required(decoder, object, "mesh") else {
        return;
    };
    let Origin { path, at, .. } = &mesh.origin;
    if mesh.value.len() > 253 {
        decoder.error(
            Code::TooLong,
            at,
            path,
            format!("`mesh` is {} characters long, more than 253", mesh.value.len()),
        );
    } else if !is_mesh_name(&mesh.value) {
        let message = format!(
            "`mesh` is `{}`; it must be lowercase letters, digits, `-`, `_` and `.`",
            mesh.value
        );
        decoder.error(Code::InvalidValue, at, path, message);
    }
}

/// Whether a resource may name its mesh so: by a rule older, and more lenient, than that for names.
pub(super) fn is_mesh_name(mesh: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    !mesh.is_empty() && mesh.bytes().all(fits)
}

fn required(decoder: &mut Decoder, object: &Object, key: &str) -> Option<super::Located<String>> {
    let entry = object.get(key);
    let text = object.text(decoder, key);
    if text.is_none() && entry.is_some() {
        return None;
    }
    let text = text.filter(|text| !text.value.is_empty());
    if text.is_none() {
        let at = entry.map_or(object.at, |entry| &entry.value.at);
        let help = match key {
            "mesh" => "the mesh that every installation has is `mesh: default`",
            _ => "for example `name: web-01`",
        };
        decoder.error_help(Code::EmptyField, at, key, format!("`{key}` must not be empty"), help);
    }
    text
}

fn is_subdomain(name: &str) -> bool {
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = label.as_bytes();
        bytes.first().is_some_and(|&b| plain(b))
            && bytes.last().is_some_and(|&b| plain(b))
            && bytes.iter().all(|&b| plain(b) || b == b'-')
    };
    name.split('.').all(label)
}

fn check_labels(decoder: &mut Decoder, context: &Context, object: &Object) {
    let labels = object.texts(decoder, "labels").unwrap_or_default();
    for (key, value) in &labels {
        let Origin { path, at, .. } = &value.origin;
        if !is_qualified_name(key) {
            let message = format!("the label `{key}` must have the form `name` or `prefix/name`");
            decoder.error(Code::InvalidValue, at, path, message);
        } else if !is_label_value(&value.value) {
            let message = format!(
                "the value `{}` of a label must be at most 63 letters, digits and `-_.`",
                value.value
            );
            decoder.error(Code::InvalidValue, at, path, message);
        }
    }
    check_computed_labels(decoder, context, &labels);
}

/// Labels that a control plane computes, and refuses with another value.
fn check_computed_labels(decoder: &mut Decoder, context: &Context, labels: &TextMap) {
    let text = |key: &str| labels.get(key).map(|value| value.value.as_str());
    let mesh = decoder.resource.mesh.clone();
    let mut refuse = |key: &str, code: Code, message: String| {
        let Origin { at, .. } = &labels[key].origin;
        decoder.error(code, at, &key_path("labels", key), message);
    };
    let origin = text("kuma.io/origin");
    if let Some(origin) = origin.filter(|origin| !matches!(*origin, "global" | "zone")) {
        refuse(
            "kuma.io/origin",
            Code::UnknownValue,
            format!("the origin is `global` or `zone`, not `{origin}`"),
        );
    }
    if text("kuma.io/mesh").is_some_and(|label| label != mesh) {
        refuse(
            "kuma.io/mesh",
            Code::NotAllowed,
            format!("the label must not differ from the mesh of the resource, `{mesh}`"),
        );
    }
    let zone = &context.kuma.zone;
    let foreign_zone = text("kuma.io/zone").is_some_and(|label| label != zone) && origin != Some("global");
    if foreign_zone && context.kuma.fidelity == Fidelity::Exact {
        refuse(
            "kuma.io/zone",
            Code::NotAllowed,
            format!("the label must be the zone of the control plane, `{zone}`"),
        );
    }
}

fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => prefix.len() <= 253 && is_subdomain(prefix) && !name.is_empty() && is_label_value(name),
        None => !key.is_empty() && is_label_value(key),
    }
}

fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let ends_well = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn decode_time(decoder: &mut Decoder, object: &Object, key: &str) -> Option<DateTime<FixedOffset>> {
    let written = object.text(decoder, key)?;
    let Origin { path, at, .. } = &written.origin;
    match DateTime::parse_from_rfc3339(&written.value) {
        Ok(time) => Some(time),
        Err(_) => {
            let message = format!(
                "`{key}` is `{}`, which is no time such as 2024-05-01T12:00:00Z",
                written.value
            );
            decoder.error(Code::InvalidValue, at, path, message);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_subdomains() {
        for name in ["a", "web-01", "a.b", "0"] {
            assert!(is_subdomain(name), "{name}");
        }
        for name in ["", "-a", "a-", "a..b", "A", "a_b", "../x", "a/b", "ä"] {
            assert!(!is_subdomain(name), "{name}");
        }
    }

    #[test]
    fn labels_have_the_form_of_kubernetes() {
        assert!(is_qualified_name("kuma.io/zone") && is_qualified_name("A_b") && is_label_value(""));
        assert!(
            !is_qualified_name("a b")
                && !is_qualified_name("/x")
                && !is_qualified_name("a/b/c")
                && !is_label_value("-x")
        );
    }
}
