//! `MeshTrace`: the newer policy, which selects dataplanes by a `targetRef` and contains its backend.

mod shape;

use crate::diag::{Code, Diagnostic};
use crate::keep::Text;
use crate::kuma::Version;
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::{Decoder, Phase};
use crate::resource::decode::number::plain_number;
use crate::resource::decode::object::{Object, TextMap};
use crate::resource::decode::origin::{Located, Origin};
use crate::resource::document::envelope::Body;
use crate::resource::document::header::Header;
use crate::resource::kinds::mesh::ZipkinApiVersion;
use crate::resource::kinds::target_ref::{self, TargetRef};
use crate::resource::value::collector_url::{self, CollectorUrl};
use crate::resource::value::otlp_endpoint::{self, Otlp};
use crate::resource::value::percent::Percent;

use self::shape::{BackendShape, DEFAULT, Shape, TYPES, TagShape, conf_shape};

/// A policy that turns tracing on or off for the dataplanes of its target.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshTrace {
    /// Type, mesh, name and labels.
    pub header: Header,
    /// `spec.targetRef`: the dataplanes that the policy applies to.
    pub target: TargetRef,
    /// `spec.default`: the tracing configuration.
    pub conf: Conf,
}

/// `spec.default`.
#[derive(Debug, Clone, PartialEq)]
pub struct Conf {
    /// `backends`, at most one; none switches tracing off.
    pub backend: Located<Option<Backend>>,
    /// The percentages in `default.sampling`.
    pub sampling: Sampling,
    /// `tags`; if absent, those of a wider policy apply.
    pub tags: Option<Vec<Tag>>,
}

/// `sampling`: percentages of requests. If absent, those of a wider policy apply, then Envoy's default of 100.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sampling {
    /// The upper limit on all traced requests, applied after the other two.
    pub overall: Option<Located<Percent>>,
    /// The percentage of requests with the header `x-client-trace-id`.
    pub client: Option<Located<Percent>>,
    /// The percentage of other requests.
    pub random: Option<Located<Percent>>,
}

/// An entry of `tags`: a tag of every span.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// The name of the tag on spans.
    pub name: Located<Text>,
    /// The source of the value.
    pub value: TagValue,
}

/// The source of the value of a tag.
#[derive(Debug, Clone, PartialEq)]
pub enum TagValue {
    /// `literal`: a constant.
    Literal(Located<Text>),
    /// `header`: a header of the request.
    Header {
        /// The name of the header.
        name: Located<Text>,
        /// The value for requests without the header; if absent, such requests have no tag.
        default: Option<Located<Text>>,
    },
}

/// An entry of `backends`.
#[derive(Debug, Clone, PartialEq)]
pub enum Backend {
    /// The type `Zipkin`, with its fields.
    Zipkin(ZipkinBackend),
    /// The type `Datadog`, with its fields.
    Datadog(DatadogBackend),
    /// The type `OpenTelemetry`, with its fields.
    OpenTelemetry(OpenTelemetryBackend),
}

/// `zipkin`.
#[derive(Debug, Clone, PartialEq)]
pub struct ZipkinBackend {
    /// The URL of the collector.
    pub url: Located<CollectorUrl>,
    /// The text of `url`.
    pub written: Text,
    /// `traceId128bit`; the default is `false`.
    pub trace_id_128bit: Option<Located<bool>>,
    /// `apiVersion`; the default is JSON.
    pub api_version: Option<Located<ZipkinApiVersion>>,
    /// `sharedSpanContext`; the default is `true`.
    pub shared_span_context: Option<Located<bool>>,
}

/// `datadog`.
#[derive(Debug, Clone, PartialEq)]
pub struct DatadogBackend {
    /// `url`: host and port of the agent.
    pub url: Located<CollectorUrl>,
    /// The text of `url`.
    pub written: Text,
    /// `splitService`; the default is `false`.
    pub split_service: Option<Located<bool>>,
}

/// `openTelemetry`.
#[derive(Debug, Clone, PartialEq)]
pub enum OpenTelemetryBackend {
    /// `endpoint`: an OTLP collector over gRPC.
    Endpoint {
        /// The endpoint of the collector.
        endpoint: Located<Otlp>,
        /// The text of `endpoint`.
        written: Text,
    },
    /// `backendRef`: a `MeshOpenTelemetryBackend`, selected by labels.
    BackendRef {
        /// The labels, with their place.
        labels: Located<TextMap>,
    },
}

pub(in crate::resource) fn decode(
    decoder: &mut Decoder,
    context: &Context,
    header: Header,
    body: &Body,
) -> Option<MeshTrace> {
    // As in Kuma, the schema is checked first. A control plane looks at the meaning only if the schema is satisfied.
    decoder.phase = Phase::Schema;
    let spec = body.object(decoder, &["targetRef", "default"])?;
    let target = target_ref::shape(decoder, context, &spec, "targetRef");
    let default = spec.object(decoder, "default", &DEFAULT);
    let shape = default.map(|default| conf_shape(decoder, context, default));
    decoder.phase = Phase::Semantics;
    let target = target_ref::meaning(decoder, context, target, header.is_system());
    let has_backends = shape
        .as_ref()
        .is_some_and(|shape| shape.object.get("backends").is_some());
    if !has_backends {
        let path = spec.path_of("default.backends");
        let help = match spec.has("backends") {
            true if spec.has("default") => "move it into `default`; it is beside `default` now",
            true => "put it below a key `default:`",
            false => "add a backend, or write `backends: []` to switch tracing off",
        };
        let message = "`default.backends` is missing";
        decoder.error_help(Code::MissingField, spec.at, &path, message, help);
    }
    let conf = shape.and_then(|shape| conf(decoder, context, shape));
    Some(MeshTrace {
        header,
        target: target?,
        conf: conf?,
    })
}

/// The meaning of `default`, which the schema accepts.
fn conf(decoder: &mut Decoder, context: &Context, shape: Shape) -> Option<Conf> {
    let at = (shape.object.get("backends"))
        .map(|entry| decoder.located((), &shape.object.field_path(decoder, "backends"), &entry.value.at));
    let is_empty = shape.backends.is_empty();
    let backend = (shape.backends.into_iter().next()).and_then(|backend| backend_of(decoder, context, backend));
    let tags = shape
        .tags
        .map(|tags| tags.into_iter().filter_map(|tag| tag_of(decoder, tag)).collect());
    let [overall, client, random] = shape
        .sampling
        .map(|share| share.and_then(|share| percent(decoder, share)));
    let at = at.filter(|_| backend.is_some() || is_empty)?;
    Some(Conf {
        backend: at.map(|()| backend),
        sampling: Sampling {
            overall,
            client,
            random,
        },
        tags,
    })
}

fn backend_of(decoder: &mut Decoder, context: &Context, shape: BackendShape) -> Option<Backend> {
    let kind = shape
        .kind
        .as_ref()
        .filter(|kind| TYPES.contains(&kind.value.as_str()))?;
    let blocks = [
        ("zipkin", "Zipkin", shape.zipkin.is_some()),
        ("datadog", "Datadog", shape.datadog.is_some()),
        ("openTelemetry", "OpenTelemetry", shape.open_telemetry.is_some()),
    ];
    for (key, of, is_there) in blocks {
        let path = shape.object.path_of(key);
        if of == kind.value && !is_there {
            let message = format!("`{key}` is missing; the type `{of}` requires it");
            decoder.error(Code::MissingField, shape.object.at, &path, message);
        } else if of != kind.value && is_there {
            // Kuma takes the cluster from one block and the provider from the other, which Envoy rejects.
            let at = shape.object.get(key).map_or(shape.object.at, |entry| &entry.key_at);
            let message = format!("`{key}` must not be used with the type `{}`", kind.value);
            let finding = Diagnostic::error(Code::NotAllowed, at, message).path(path);
            decoder.rejected_by_envoy(finding.help("remove one of the two"));
        }
    }
    let [trace_id_128bit, shared_span_context, split_service] = shape.flags;
    match kind.value.as_str() {
        "Zipkin" => {
            let written = text_there(decoder, shape.zipkin.as_ref()?, "url")?;
            let url = zipkin_url(decoder, &written)?;
            collector_url::warn_of_unsent_parts(decoder, context, &url);
            Some(Backend::Zipkin(ZipkinBackend {
                url,
                written: written.value,
                trace_id_128bit,
                api_version: shape.api_version,
                shared_span_context,
            }))
        }
        "Datadog" => {
            let written = shape.datadog.as_ref()?.text(decoder, "url")?;
            let url = datadog_url(decoder, &written)?;
            Some(Backend::Datadog(DatadogBackend {
                url,
                written: written.value,
                split_service,
            }))
        }
        _ => {
            let conf = shape.open_telemetry.as_ref()?;
            open_telemetry(decoder, context, conf, shape.backend_ref.as_ref()).map(Backend::OpenTelemetry)
        }
    }
}

/// A text that must not be empty.
fn text_there(decoder: &mut Decoder, object: &Object, key: &str) -> Option<Located<Text>> {
    let text = object.text(decoder, key)?;
    if text.value.is_empty() {
        let Origin { path, at, .. } = &text.origin;
        decoder.error(Code::EmptyField, at, path, format!("`{key}` must not be empty"));
        return None;
    }
    Some(text)
}

fn zipkin_url(decoder: &mut Decoder, written: &Located<Text>) -> Option<Located<CollectorUrl>> {
    match collector_url::parse_http(&written.value) {
        Ok(url) => Some(written.clone().map(|_| url)),
        Err(why) => {
            let Origin { path, at, .. } = &written.origin;
            let message = format!("`url` {why}: `{}`", written.value);
            let help = match collector_url::completed(&written.value, 9411, "/api/v2/spans") {
                Some(meant) => format!("write `url: {meant}`"),
                None => "the form is `http://HOST:PORT/PATH`; for Zipkin, `http://HOST:9411/api/v2/spans`".to_owned(),
            };
            decoder.error_help(Code::InvalidUrl, at, path, message, help);
            None
        }
    }
}

fn datadog_url(decoder: &mut Decoder, written: &Located<Text>) -> Option<Located<CollectorUrl>> {
    match collector_url::parse_agent(&written.value) {
        Ok(url) => Some(written.clone().map(|_| url)),
        Err(reasons) => {
            let Origin { path, at, .. } = &written.origin;
            for why in reasons {
                let code = if why.is_surplus() {
                    Code::NotAllowed
                } else {
                    Code::InvalidUrl
                };
                let message = format!("`url` {why}: `{}`", written.value);
                let help = match collector_url::completed(&written.value, 8126, "") {
                    Some(meant) => format!("write `url: {meant}`"),
                    None => "the form is `http://HOST:PORT`; the default port of the Datadog agent is 8126".to_owned(),
                };
                decoder.error_help(code, at, path, message, help);
            }
            None
        }
    }
}

fn open_telemetry(
    decoder: &mut Decoder,
    context: &Context,
    conf: &Object,
    backend_ref: Option<&Object>,
) -> Option<OpenTelemetryBackend> {
    let version = context.kuma.version;
    let endpoint = conf.text(decoder, "endpoint").filter(|endpoint| {
        // The field is removed in 3.0.
        !endpoint.value.is_empty() && version < Version::V3_0
    });
    match (endpoint, backend_ref) {
        (Some(_), Some(reference)) => {
            let message = "`endpoint` and `backendRef` must not be used together";
            let help = "remove `endpoint`, the older one";
            decoder.error_help(Code::NotAllowed, reference.at, &conf.path, message, help);
            None
        }
        (None, None) if version >= Version::V3_0 => {
            let help = "declare a MeshOpenTelemetryBackend, and refer to it by its labels";
            let path = conf.path_of("backendRef");
            decoder.error_help(Code::MissingField, conf.at, &path, "`backendRef` is missing", help);
            None
        }
        (None, None) => {
            let help = "for example `endpoint: otel-collector:4317`";
            let message = "either `endpoint` or `backendRef` is required";
            decoder.error_help(Code::MissingField, conf.at, &conf.path, message, help);
            None
        }
        (None, Some(reference)) => {
            reference_labels(decoder, reference).map(|labels| OpenTelemetryBackend::BackendRef { labels })
        }
        (Some(written), None) => {
            let Origin { path, at, .. } = &written.origin;
            match otlp_endpoint::parse_endpoint(&written.value, version) {
                Ok(endpoint) => Some(OpenTelemetryBackend::Endpoint {
                    endpoint: written.clone().map(|_| endpoint),
                    written: written.value,
                }),
                Err(why) => {
                    let message = format!("`endpoint` {why}: `{}`", written.value);
                    let help = "the form is `HOST:PORT`; the default port of OTLP over gRPC is 4317";
                    decoder.error_help(Code::InvalidAddress, at, path, message, help);
                    None
                }
            }
        }
    }
}

/// The labels of a `backendRef`.
fn reference_labels(decoder: &mut Decoder, reference: &Object) -> Option<Located<TextMap>> {
    let labels = reference.texts(decoder, "labels").unwrap_or_default();
    if labels.is_empty() {
        let name = reference.text(&mut decoder.silent(), "name").map(|name| name.value);
        let help = match name {
            Some(name) => format!("write the name as a label: `labels: {{kuma.io/display-name: {name}}}`"),
            None => "for the collector with the name NAME: `labels: {kuma.io/display-name: NAME}`".to_owned(),
        };
        let message = "`labels` is missing: the labels of the backend";
        decoder.error_help(Code::MissingField, reference.at, &reference.path, message, help);
        return None;
    }
    let at = reference.get("labels").map_or(reference.at, |entry| &entry.value.at);
    Some(decoder.located(labels, &reference.field_path(decoder, "labels"), at))
}

fn tag_of(decoder: &mut Decoder, shape: TagShape) -> Option<Tag> {
    let name = shape.name?;
    if name.value.is_empty() {
        let Origin { path, at, .. } = &name.origin;
        decoder.error(Code::EmptyField, at, path, "the name of a tag must not be empty");
    }
    let value = match (shape.literal, shape.header) {
        (Some(literal), None) => TagValue::Literal(literal),
        (None, Some((name, default))) => TagValue::Header { name, default },
        (Some(_), Some(_)) | (None, None) => {
            let message = "a tag must have either `literal` or `header`";
            let (path, at) = (&shape.object.path, shape.object.at);
            decoder.error(Code::NotAllowed, at, path, message);
            return None;
        }
    };
    check_tag(decoder, &value);
    Some(Tag { name, value })
}

/// Checks for a tag that Kuma accepts and Envoy rejects.
fn check_tag(decoder: &mut Decoder, value: &TagValue) {
    let (text, what) = match value {
        TagValue::Literal(literal) => (literal, "`literal`"),
        TagValue::Header { name, .. } => (name, "the name of a header"),
    };
    if text.value.is_empty() {
        let Origin { path, at, .. } = &text.origin;
        let message = format!("{what} must not be empty: Envoy rejects such a tag");
        let finding = Diagnostic::error(Code::EmptyField, at, message).path(path.as_str());
        decoder.rejected_by_envoy(finding.help("remove the tag, or give it a value"));
    }
}

fn percent(decoder: &mut Decoder, written: Located<Text>) -> Option<Located<Percent>> {
    let Origin { path, at, .. } = &written.origin;
    let Some(number) = decimal(&written.value) else {
        let message = format!("`{}` is not a decimal number", written.value);
        let help = match plain_number(&written.value) {
            Some(number) => format!("write the number alone: \"{number}\""),
            None => "a percentage is a number from 0 to 100, in quotes if it has a decimal point".to_owned(),
        };
        decoder.error_help(Code::InvalidValue, at, path, message, help);
        return None;
    };
    match Percent::new(number).filter(|_| number != 100.0 || !is_above_hundred(&written.value)) {
        Some(percent) => Some(written.map(|_| percent)),
        None => {
            let message = format!("the percentage is {}; it must be from 0 to 100", written.value);
            let help = "sampling is a percentage: 25 traces one request in four";
            decoder.error_help(Code::SamplingOutOfRange, at, path, message, help);
            None
        }
    }
}

/// Whether a decimal number is above 100, although its floating-point value is 100.
fn is_above_hundred(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let digits = mantissa.trim_start_matches(['+', '0', '.']);
    digits.starts_with('1') && digits.trim_end_matches(['0', '.']).len() > 1
}

/// A decimal number by Kuma's grammar: a sign, digits with a point, an exponent.
fn decimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(m, e)| (m, Some(e)));
    let unsigned = |text: &str| text.strip_prefix(['+', '-']).unwrap_or(text).to_owned();
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa = unsigned(mantissa);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((&mantissa, ""));
    let is_number = !(whole.is_empty() && fraction.is_empty()) && digits(whole) && digits(fraction);
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = unsigned(exponent);
        !exponent.is_empty() && digits(&exponent)
    });
    if is_number && exponent_fits {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn a_little_more_than_hundred_is_more() {
        for text in ["100", "100.0", "1e2", "+0100.", "10E1", "99.99999999999999999999"] {
            assert!(!super::is_above_hundred(text), "{text}");
        }
        assert!(super::is_above_hundred("100.00000000000000000001"));
    }

    #[test]
    fn decimals_are_read_as_kuma_reads_them() {
        for (text, expected) in [
            ("60.1", Some(60.1)),
            ("1e1", Some(10.0)),
            ("0010", Some(10.0)),
            ("-0.1", Some(-0.1)),
            (".5", Some(0.5)),
            ("10%", None),
            ("", None),
            (".", None),
            ("1e", None),
            (" 1", None),
            ("inf", None),
            ("0x10", None),
        ] {
            assert_eq!(decimal(text), expected, "{text}");
        }
    }
}
