//! The envelope of a resource: decoding of its header, in the universal and in the Kubernetes form.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset};
use litemap::LiteMap;

use crate::diag::{Code, Diagnostic};
use crate::keep::Text;
use crate::kuma::{Fidelity, Version};
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::{Decoder, Phase};
use crate::resource::decode::object::{Object, TextMap};
use crate::resource::decode::origin::{Located, Origin};
use crate::resource::document::header::Header;
use crate::resource::document::identity::DEFAULT_NAMESPACE;
use crate::resource::document::kind::{Form, Kind};
use crate::resource::document::labels::{
    DISPLAY_NAME, MESH, NAMESPACE, ORIGIN, ROLE, WORKLOAD, ZONE_LABEL, check_labels, verify_collector,
};
use crate::resource::value::names::{is_mesh_name, is_subdomain};
use crate::yaml::{Node, Value};

/// The fields of the header in a document of the universal form.
const HEADER: &[&str] = &[
    "type",
    "mesh",
    "name",
    "labels",
    "creationTime",
    "modificationTime",
    "status",
    // This field is in exports of a control plane.
    "kri",
    "snis",
];

/// The part of a document with the fields of its kind.
pub(in crate::resource) struct Body<'a> {
    /// The mapping; `None` when it is missing and may be.
    node: Option<&'a Node<'a>>,
    /// The whole document.
    root: &'a Node<'a>,
    path: &'static str,
    /// The fields of the header, if they are in the same mapping.
    beside: &'static [&'static str],
}

impl<'a> Body<'a> {
    /// The mapping with the fields of the kind, whatever fields it has.
    pub(in crate::resource) fn open(&self, decoder: &mut Decoder) -> Option<Object<'a>> {
        match self.node {
            Some(node) => Object::open(decoder, node, self.path.into()),
            None => Some(Object::empty(&self.root.at, self.path.into())),
        }
    }

    /// The mapping with the fields of the kind; unknown fields are reported.
    pub(in crate::resource) fn object(&self, decoder: &mut Decoder, known: &[&str]) -> Option<Object<'a>> {
        let known: Vec<&str> = known.iter().chain(self.beside).copied().collect();
        match self.node {
            Some(node) => Object::new(decoder, node, decoder.shared(self.path), &known),
            None => Some(Object::empty(&self.root.at, self.path.into())),
        }
    }
}

/// Decodes the header, and finds the part with the fields of the kind.
///
/// `None`, with an error, when the part is missing.
pub(in crate::resource) fn decode<'a>(
    decoder: &mut Decoder,
    context: &Context,
    kind: Kind,
    form: Form,
    root: &'a Node<'a>,
) -> (Header, Option<Body<'a>>) {
    let mut header = Header {
        id: Arc::clone(&decoder.resource),
        at: decoder.place.clone(),
        document: decoder.document,
        form,
        creation_time: None,
        labels: Arc::default(),
        display_name: decoder.resource.name.clone(),
        verify_collector: None,
    };
    decoder.phase = Phase::Metadata;
    let body = match form {
        Form::Universal => universal(decoder, context, kind, root, &mut header),
        Form::Kubernetes => kubernetes(decoder, context, kind, root, &mut header),
    };
    decoder.phase = Phase::Semantics;
    (header, body)
}

fn universal<'a>(
    decoder: &mut Decoder,
    context: &Context,
    kind: Kind,
    root: &'a Node<'a>,
    header: &mut Header,
) -> Option<Body<'a>> {
    // The decoder of the kind reports unknown fields, since it knows all of them.
    let object = &Object::without_check(root);
    check_name(decoder, kind, object);
    let mesh_may_lack = kind.is_target() && object.get("mesh").is_none();
    if kind != Kind::Mesh && !mesh_may_lack {
        check_mesh(decoder, object);
    }
    let labels = object.texts(decoder, "labels").unwrap_or_default();
    check_labels(decoder, context, &labels);
    header.verify_collector = verify_collector(decoder, &labels).map(Box::new);
    header.creation_time = decode_time(decoder, object, "creationTime").map(Box::new);
    decode_time(decoder, object, "modificationTime");
    let labels = computed_labels(context, kind, Form::Universal, header, &labels);
    if let Some(name) = labels.get(DISPLAY_NAME) {
        header.display_name = name.clone();
    }
    header.labels = context.texts.share_map(labels);
    if kind.is_target() {
        let known: Vec<&str> = HEADER.iter().chain(&["spec"]).copied().collect();
        return spec(decoder, kind, root, &known);
    }
    let beside = if kind == Kind::Mesh { WITHOUT_MESH } else { HEADER };
    Some(Body {
        node: Some(root),
        root,
        path: "",
        beside,
    })
}

/// The fields of the header of a `Mesh`.
const WITHOUT_MESH: &[&str] = &[
    "type",
    "name",
    "labels",
    "creationTime",
    "modificationTime",
    "status",
    "kri",
];

fn kubernetes<'a>(
    decoder: &mut Decoder,
    context: &Context,
    kind: Kind,
    root: &'a Node<'a>,
    header: &mut Header,
) -> Option<Body<'a>> {
    // `spec`, below, reports unknown fields.
    let object = &Object::without_check(root);
    let metadata = metadata(decoder, kind, object, header);
    if kind.names_its_mesh() {
        check_mesh(decoder, object);
    }
    let Metadata {
        labels, annotations, ..
    } = &metadata;
    check_labels(decoder, context, labels);
    let verify = verify_collector(decoder, labels).or_else(|| verify_collector(decoder, annotations));
    header.verify_collector = verify.map(Box::new);
    let mut labels = computed_labels(context, kind, Form::Kubernetes, header, labels);
    if let Some(workload) = annotations.get(WORKLOAD) {
        labels.insert(WORKLOAD.into(), workload.value.clone());
    }
    if kind.is_namespaced() {
        let is_system = metadata.namespace == context.kuma.system_namespace;
        if !is_system {
            check_namespace(decoder, context, kind, object);
        }
        if kind == Kind::MeshTrace {
            let role = if is_system { "system" } else { "workload-owner" };
            labels.insert(ROLE.into(), role.into());
        }
        labels.try_insert(NAMESPACE.into(), metadata.namespace);
    }
    header.labels = context.texts.share_map(labels);
    let known: &[&str] = if kind.is_target() || kind == Kind::Mesh {
        &["apiVersion", "kind", "metadata", "spec", "status"]
    } else {
        &["apiVersion", "kind", "metadata", "mesh", "spec", "status"]
    };
    spec(decoder, kind, root, known)
}

/// The fields of `metadata` beside the name.
struct Metadata {
    labels: TextMap,
    annotations: TextMap,
    namespace: Text,
}

/// Decodes `metadata`, and sets creation time and name in the header. Fields that only Kubernetes uses are ignored.
fn metadata(decoder: &mut Decoder, kind: Kind, object: &Object, header: &mut Header) -> Metadata {
    let mut decoded = Metadata {
        labels: TextMap::new(),
        annotations: TextMap::new(),
        namespace: DEFAULT_NAMESPACE.into(),
    };
    let Some(metadata) = object.open_object(decoder, "metadata") else {
        if object.get("metadata").is_none() {
            decoder.error_help(
                Code::MissingField,
                object.at,
                "metadata",
                "`metadata` must not be missing; it has the name",
                "write `metadata: {name: NAME}`",
            );
        }
        return decoded;
    };
    check_name(decoder, kind, &metadata);
    decoded.labels = metadata.texts(decoder, "labels").unwrap_or_default();
    decoded.annotations = metadata.texts(decoder, "annotations").unwrap_or_default();
    header.creation_time = decode_time(decoder, &metadata, "creationTimestamp").map(Box::new);
    let own = metadata.text(decoder, "name").map(|name| name.value);
    let display_name = decoded.annotations.get(DISPLAY_NAME).map(|name| name.value.clone());
    header.display_name = display_name.or(own).unwrap_or_default();
    if kind.is_namespaced()
        && let Some(namespace) = metadata.text(decoder, "namespace")
    {
        decoded.namespace = namespace.value;
    }
    decoded
}

/// Reports a resource outside of the control plane's namespace, if its kind must be in it.
fn check_namespace(decoder: &mut Decoder, context: &Context, kind: Kind, object: &Object) {
    if matches!(kind, Kind::MeshOpenTelemetryBackend | Kind::MeshExternalService) {
        let at = object.get("metadata").map_or(object.at, |entry| &entry.key_at);
        let own = &context.kuma.system_namespace;
        let message = format!("a {} must be in the namespace `{own}`", kind.as_str());
        let written = object.open_object(&mut decoder.silent(), "metadata");
        let written = written.and_then(|metadata| metadata.text(&mut decoder.silent(), "namespace"));
        let help = match written {
            Some(other) => format!(
                "if `{0}` is the namespace of the control plane, say so in the settings: `kuma: {{system_namespace: {0}}}`",
                other.value
            ),
            None => format!("write `namespace: {own}`"),
        };
        decoder.error_help(Code::NotAllowed, at, "metadata.namespace", message, help);
    }
}

/// The mapping in `spec`. A control plane reports errors in it without a path.
fn spec<'a>(decoder: &mut Decoder, kind: Kind, root: &'a Node<'a>, known: &[&str]) -> Option<Body<'a>> {
    let object = Object::new(decoder, root, Text::default(), known)?;
    let node = match object.get("spec") {
        Some(entry) if matches!(entry.value.value, Value::Map(_)) => Some(&entry.value),
        Some(entry) => {
            let finding = Diagnostic::error(Code::WrongType, &entry.value.at, "`spec` must be a mapping");
            decoder.undecodable(finding);
            return None;
        }
        None if kind.is_target() && !object.has("spec") => {
            let finding = Diagnostic::error(Code::MissingField, object.at, "`spec` must not be missing");
            decoder.undecodable(finding.help("it has the fields of the kind"));
            return None;
        }
        None => None,
    };
    Some(Body {
        node,
        root,
        path: "spec",
        beside: &[],
    })
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
            "`name` is `{}`; it must consist of lowercase letters, digits, `-` and `.`, and start and end with a letter or digit",
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
            "`mesh` is `{}`; it must consist of lowercase letters, digits, `-`, `_` and `.`",
            mesh.value
        );
        decoder.error(Code::InvalidValue, at, path, message);
    }
}

fn required(decoder: &mut Decoder, object: &Object, key: &str) -> Option<Located<Text>> {
    let entry = object.get(key);
    let text = object.text(decoder, key);
    if text.is_none() && entry.is_some() {
        return None;
    }
    let text = text.filter(|text| !text.value.is_empty());
    if text.is_none() {
        let at = entry.map_or(object.at, |entry| &entry.value.at);
        let help = match key {
            "mesh" => "the mesh of every installation is `mesh: default`".to_owned(),
            _ => format!("a {} is known by its name: write `name: NAME`", decoder.resource.kind),
        };
        let path = object.path_of(key);
        decoder.error_help(Code::EmptyField, at, &path, format!("`{key}` must not be empty"), help);
    }
    text
}

fn decode_time(decoder: &mut Decoder, object: &Object, key: &str) -> Option<DateTime<FixedOffset>> {
    let written = object.text(decoder, key)?;
    let Origin { path, at, .. } = &written.origin;
    match DateTime::parse_from_rfc3339(&written.value) {
        Ok(time) => Some(time),
        Err(_) => {
            let message = format!(
                "`{key}` is `{}`, which is not a time; example: 2024-05-01T12:00:00Z",
                written.value
            );
            decoder.undecodable(Diagnostic::error(Code::InvalidValue, at, message).path(path.as_str()));
            None
        }
    }
}

/// The labels, with those that a control plane adds on write.
pub(in crate::resource) fn computed_labels(
    context: &Context,
    kind: Kind,
    form: Form,
    header: &Header,
    written: &TextMap,
) -> LiteMap<Text, Text> {
    let mut labels: LiteMap<Text, Text> = (written.iter())
        .map(|(key, value)| (key.clone(), value.value.clone()))
        .collect();
    let texts = context.texts;
    let mut add = |key: &str, value: &str| {
        labels.try_insert(texts.get(key), texts.get(value));
    };
    if kind == Kind::Mesh {
        return labels;
    }
    add(MESH, header.mesh());
    // A service of several zones has no zone label.
    let has_zone = kind.is_target() && kind != Kind::MeshMultiZoneService;
    if kind == Kind::Dataplane || has_zone {
        add(ORIGIN, "zone");
        if written.get(ORIGIN).is_none_or(|origin| origin.value != "global") {
            add(ZONE_LABEL, &context.kuma.zone);
            let environment = match form {
                Form::Universal => "universal",
                Form::Kubernetes => "kubernetes",
            };
            add("kuma.io/env", environment);
        }
        if context.names_are_labels(kind) {
            add(DISPLAY_NAME, &header.display_name);
        }
    }
    if form == Form::Kubernetes {
        labels.insert(texts.get(DISPLAY_NAME), header.display_name.clone());
    }
    labels
}

impl Context<'_> {
    /// Whether the name of a resource counts as its label `kuma.io/display-name`.
    ///
    /// A control plane adds the label from 3.0 on; the documentation describes it for backends of earlier versions,
    /// too.
    fn names_are_labels(&self, kind: Kind) -> bool {
        self.kuma.version >= Version::V3_0
            || (kind == Kind::MeshOpenTelemetryBackend && self.kuma.fidelity == Fidelity::Documented)
    }
}
