//! The check of a `MeshTrace` against Kuma's schema: the types of its fields.

use crate::diag::Code;
use crate::keep::Text;
use crate::kuma::Version;
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::number::plain_number;
use crate::resource::decode::object::{Object, int_or_text, wrong_type_help};
use crate::resource::decode::origin::{Located, Origin};
use crate::resource::kinds::mesh::ZipkinApiVersion;
use crate::words::closest;
use crate::yaml::{Node, Value};

pub(in crate::resource) const TYPES: [&str; 3] = ["Zipkin", "Datadog", "OpenTelemetry"];
/// The fields of `sampling`, in the order of their array.
const SHARES: [&str; 3] = ["overall", "client", "random"];
pub(in crate::resource) const DEFAULT: [&str; 3] = ["backends", "sampling", "tags"];

/// `default`, with fields of valid types.
pub(in crate::resource) struct Shape<'a> {
    pub(in crate::resource) object: Object<'a>,
    pub(in crate::resource) backends: Vec<BackendShape<'a>>,
    pub(in crate::resource) sampling: [Option<Located<Text>>; 3],
    pub(in crate::resource) tags: Option<Vec<TagShape<'a>>>,
}

pub(in crate::resource) struct BackendShape<'a> {
    pub(in crate::resource) object: Object<'a>,
    pub(in crate::resource) kind: Option<Located<Text>>,
    pub(in crate::resource) zipkin: Option<Object<'a>>,
    pub(in crate::resource) datadog: Option<Object<'a>>,
    pub(in crate::resource) open_telemetry: Option<Object<'a>>,
    pub(in crate::resource) api_version: Option<Located<ZipkinApiVersion>>,
    pub(in crate::resource) flags: [Option<Located<bool>>; 3],
    pub(in crate::resource) backend_ref: Option<Object<'a>>,
}

pub(in crate::resource) struct TagShape<'a> {
    pub(in crate::resource) object: Object<'a>,
    pub(in crate::resource) name: Option<Located<Text>>,
    pub(in crate::resource) literal: Option<Located<Text>>,
    pub(in crate::resource) header: Option<(Located<Text>, Option<Located<Text>>)>,
}

pub(in crate::resource) fn conf_shape<'a>(decoder: &mut Decoder, context: &Context, object: Object<'a>) -> Shape<'a> {
    let items = object.list(decoder, "backends");
    if items.len() > 1 {
        let at = &items[1].1.at;
        let help = "a proxy sends spans to one backend; remove the others";
        let message = format!("`backends` has {} entries; it must have at most one", items.len());
        decoder.error_help(Code::NotAllowed, at, &object.path_of("backends"), message, help);
    }
    let backends = items
        .into_iter()
        .filter_map(|(path, node)| backend_shape(decoder, context, path, node))
        .collect();
    let sampling = sampling_of(decoder, &object);
    let sampling = SHARES.map(|key| sampling.as_ref().and_then(|sampling| share_of(decoder, sampling, key)));
    let has_tags = object.get("tags").is_some();
    let tags = object.list(decoder, "tags");
    let tags: Vec<TagShape> = tags
        .into_iter()
        .filter_map(|(path, node)| tag_shape(decoder, path, node))
        .collect();
    Shape {
        object,
        backends,
        sampling,
        tags: has_tags.then_some(tags),
    }
}

/// The mapping in `sampling`.
fn sampling_of<'a>(decoder: &mut Decoder, object: &Object<'a>) -> Option<Object<'a>> {
    let entry = object.get("sampling")?;
    if let Some(number) = int_or_text(&entry.value) {
        let share = plain_number(&number).unwrap_or(number);
        let help = format!("write `sampling: {{random: {share}}}`, for {share} % of the requests");
        let path = object.path_of("sampling");
        wrong_type_help(decoder, &entry.value, &path, "a mapping", Some(help));
        return None;
    }
    object.object(decoder, "sampling", &SHARES)
}

fn backend_shape<'a>(
    decoder: &mut Decoder,
    context: &Context,
    path: Text,
    node: &'a Node<'a>,
) -> Option<BackendShape<'a>> {
    let object = Object::new(decoder, node, path, &["type", "zipkin", "datadog", "openTelemetry"])?;
    let kind = required(decoder, &object, "type", "write `Zipkin`, `Datadog` or `OpenTelemetry`");
    if let Some(kind) = kind.as_ref().filter(|kind| !TYPES.contains(&kind.value.as_str())) {
        let Origin { path, at, .. } = &kind.origin;
        let message = format!(
            "a backend has type `{}`; it must be one of {}",
            kind.value,
            TYPES.join(", ")
        );
        let help = closest(&kind.value, TYPES).unwrap_or(TYPES[0]);
        decoder.error_help(Code::UnknownValue, at, path, message, format!("did you mean `{help}`?"));
    }
    let zipkin = object.object(
        decoder,
        "zipkin",
        &["url", "traceId128bit", "apiVersion", "sharedSpanContext"],
    );
    let datadog = object.object(decoder, "datadog", &["url", "splitService"]);
    let open_telemetry = open_telemetry_shape(decoder, context, &object);
    let mut flag = |conf: &Option<Object>, key: &str| conf.as_ref().and_then(|conf| conf.boolean(decoder, key));
    let flags = [
        flag(&zipkin, "traceId128bit"),
        flag(&zipkin, "sharedSpanContext"),
        flag(&datadog, "splitService"),
    ];
    for conf in [&zipkin, &datadog].into_iter().flatten() {
        required(
            decoder,
            conf,
            "url",
            "for example `url: http://collector.example:9411/api/v2/spans`",
        );
    }
    let api_version = zipkin.as_ref().and_then(|zipkin| api_version(decoder, zipkin));
    let conf = open_telemetry.as_ref();
    if let Some(conf) = conf {
        check_endpoint(decoder, context, conf);
    }
    let backend_ref = conf.and_then(|conf| backend_ref_shape(decoder, context, conf));
    Some(BackendShape {
        object,
        kind,
        zipkin,
        datadog,
        open_telemetry,
        api_version,
        flags,
        backend_ref,
    })
}

fn open_telemetry_shape<'a>(decoder: &mut Decoder, context: &Context, backend: &Object<'a>) -> Option<Object<'a>> {
    let known: &[&str] = match context.kuma.version {
        Version::V2_13 => &["endpoint"],
        Version::V2_14 => &["endpoint", "backendRef"],
        Version::V3_0 => &["backendRef"],
    };
    backend.object(decoder, "openTelemetry", known)
}

fn check_endpoint(decoder: &mut Decoder, context: &Context, conf: &Object) {
    if context.kuma.version >= Version::V2_14 {
        conf.text(decoder, "endpoint");
        return;
    }
    let endpoint = required(decoder, conf, "endpoint", "for example `endpoint: otel-collector:4317`");
    if let Some(empty) = endpoint.filter(|endpoint| endpoint.value.is_empty()) {
        let Origin { path, at, .. } = &empty.origin;
        decoder.error(Code::TooShort, at, path, "`endpoint` must not be empty");
    }
}

fn backend_ref_shape<'a>(decoder: &mut Decoder, context: &Context, conf: &Object<'a>) -> Option<Object<'a>> {
    if context.kuma.version < Version::V2_14 {
        return None;
    }
    let reference = conf.object(decoder, "backendRef", &["kind", "labels"])?;
    let kind = required(decoder, &reference, "kind", "write `kind: MeshOpenTelemetryBackend`");
    if let Some(kind) = kind.filter(|kind| kind.value != "MeshOpenTelemetryBackend") {
        let Origin { path, at, .. } = &kind.origin;
        let message = format!("a backend must be a `MeshOpenTelemetryBackend`, not a `{}`", kind.value);
        decoder.error(Code::UnknownType, at, path, message);
    }
    reference.texts(decoder, "labels");
    Some(reference)
}

fn tag_shape<'a>(decoder: &mut Decoder, path: Text, node: &'a Node<'a>) -> Option<TagShape<'a>> {
    let object = Object::new(decoder, node, path, &["name", "literal", "header"])?;
    let name = required(decoder, &object, "name", "write the name of the tag");
    let literal = object.text(decoder, "literal");
    let header = object.object(decoder, "header", &["name", "default"]);
    let header = header.and_then(|header| {
        let name = required(decoder, &header, "name", "write the name of the header")?;
        Some((name, header.text(decoder, "default")))
    });
    Some(TagShape {
        object,
        name,
        literal,
        header,
    })
}

/// A required text, which may be empty.
fn required(decoder: &mut Decoder, object: &Object, key: &str, help: &'static str) -> Option<Located<Text>> {
    if !object.has(key) {
        let message = format!("`{key}` is missing");
        decoder.error_help(Code::MissingField, object.at, &object.path_of(key), message, help);
    }
    object.text(decoder, key)
}

/// An integer, or a decimal number in quotes, as text.
fn share_of(decoder: &mut Decoder, object: &Object, key: &str) -> Option<Located<Text>> {
    let entry = object.get(key)?;
    let path = object.field_path(decoder, key);
    let Some(text) = int_or_text(&entry.value) else {
        let help = match &entry.value.value {
            Value::Scalar(_) => format!("quote it: {key}: \"{}\"", entry.value.at.text()),
            Value::List(items) => match items.as_slice() {
                [
                    Node {
                        value: Value::Scalar(only),
                        ..
                    },
                ] => format!("write it without brackets: {key}: {}", only.text),
                _ => "a percentage is one number".to_owned(),
            },
            Value::Map(_) => "a percentage is one number".to_owned(),
        };
        let what = "an integer, or a decimal number in quotes";
        wrong_type_help(decoder, &entry.value, &path, what, Some(help));
        return None;
    };
    Some(decoder.located(decoder.shared(&text), &path, &entry.value.at))
}

fn api_version(decoder: &mut Decoder, zipkin: &Object) -> Option<Located<ZipkinApiVersion>> {
    let written = zipkin.text(decoder, "apiVersion")?;
    let version = match written.value.as_str() {
        "httpJson" => ZipkinApiVersion::HttpJson,
        "httpProto" => ZipkinApiVersion::HttpProto,
        other => {
            let Origin { path, at, .. } = &written.origin;
            let message = format!("`apiVersion` is `{other}`; it must be `httpJson` or `httpProto`");
            let meant = closest(other, ["httpJson", "httpProto"]).unwrap_or("httpJson");
            decoder.error_help(
                Code::UnknownValue,
                at,
                path,
                message,
                format!("did you mean `{meant}`?"),
            );
            return None;
        }
    };
    Some(written.map(|_| version))
}
