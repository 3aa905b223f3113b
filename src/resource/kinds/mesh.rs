//! `Mesh`: the tracing backends of a mesh.

use std::collections::BTreeSet;

use crate::diag::{Code, Diagnostic, Place, Severity};
use crate::keep::Text;
use crate::kuma::Version;
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::object::Object;
use crate::resource::decode::origin::{Located, Origin};
use crate::resource::document::envelope::Body;
use crate::resource::document::header::Header;
use crate::resource::value::collector_url::{self, CollectorUrl};
use crate::resource::value::percent::Percent;
use crate::words::closest;

/// A mesh and its tracing backends.
#[derive(Debug, Clone, PartialEq)]
pub struct Mesh {
    /// Type, mesh, name and labels.
    pub header: Header,
    /// `tracing.backends`, in the order of declaration.
    pub backends: Vec<Backend>,
    /// The names of all backends, including invalid ones.
    pub declared: BTreeSet<Text>,
    /// `tracing.defaultBackend`; if absent, a policy must name its backend.
    pub default_backend: Option<Located<Text>>,
    /// `mtls` with an `enabledBackend`: proxies encrypt and authenticate their connections.
    pub mtls: Option<Origin>,
    /// `routing.localityAwareLoadBalancing`, if it is on: proxies prefer endpoints of their own zone.
    pub locality: Option<Origin>,
    /// `metrics` with an `enabledBackend`: proxies serve metrics.
    pub metrics: Option<Origin>,
    /// Whether `meshServices.mode` is not `Disabled`, so that services are resources, too.
    pub has_mesh_services: bool,
    /// Whether `meshServices.mode` is `Exclusive`, so that services are resources and have no tags.
    pub has_exclusive_mesh_services: bool,
}

impl Mesh {
    /// The position among the backends of the one with the given name.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.backends.iter().rposition(|backend| backend.name.value == name)
    }
}

/// One of `tracing.backends`.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// `name`, unique in its mesh.
    pub name: Located<Text>,
    /// `sampling`; the default is Envoy's, 100.
    pub sampling: Option<Located<Percent>>,
    /// `type` and `conf`.
    pub conf: BackendConf,
}

/// `type` and `conf` of a backend.
#[derive(Debug, Clone, PartialEq)]
pub enum BackendConf {
    /// The type `zipkin`, with its `conf`.
    Zipkin(ZipkinConf),
    /// The type `datadog`, with its `conf`.
    Datadog(DatadogConf),
}

/// `conf` of a backend of type `zipkin`.
#[derive(Debug, Clone, PartialEq)]
pub struct ZipkinConf {
    /// The URL of the collector, `conf.url`.
    pub url: Located<CollectorUrl>,
    /// The text of `url`.
    pub written: Text,
    /// `traceId128bit`; the default is `false`.
    pub trace_id_128bit: Option<Located<bool>>,
    /// `apiVersion`; the default is JSON.
    pub api_version: Option<Located<ZipkinApiVersion>>,
    /// `sharedSpanContext`; the default is Envoy's, `true`.
    pub shared_span_context: Option<Located<bool>>,
}

/// `apiVersion` of a Zipkin backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZipkinApiVersion {
    /// `httpJsonV1`, which Kuma accepts and sends as version 2.
    HttpJsonV1,
    /// `httpJson`: JSON over HTTP.
    HttpJson,
    /// `httpProto`: protobuf over HTTP.
    HttpProto,
}

/// `conf` of a backend of type `datadog`.
#[derive(Debug, Clone, PartialEq)]
pub struct DatadogConf {
    /// `address`, a host name or IP address.
    pub address: Located<Text>,
    /// `port`, 1 to 65535.
    pub port: Located<u16>,
    /// `splitService`; the default is `false`.
    pub split_service: Option<Located<bool>>,
}

const TYPES: [&str; 2] = ["zipkin", "datadog"];
const API_VERSIONS: [&str; 3] = ["httpJsonV1", "httpJson", "httpProto"];

/// The top-level fields of a `Mesh` that do not affect tracing.
const OTHER: [&str; 8] = [
    "mtls",
    "logging",
    "metrics",
    "networking",
    "routing",
    "constraints",
    "skipCreatingInitialPolicies",
    "meshServices",
];

pub(in crate::resource) fn decode(
    decoder: &mut Decoder,
    context: &Context,
    header: Header,
    body: &Body,
) -> Option<Mesh> {
    let known: Vec<&str> = OTHER.iter().chain(&["tracing"]).copied().collect();
    let root = body.object(decoder, &known)?;
    let tracing = root.object(decoder, "tracing", &["defaultBackend", "backends"]);
    let mode = mesh_services_mode(decoder, &root);
    report_moved_tracing(decoder, &root);
    let mut mesh = Mesh {
        header,
        backends: Vec::new(),
        declared: BTreeSet::new(),
        default_backend: None,
        mtls: enabled(decoder, &root, "mtls"),
        metrics: enabled(decoder, &root, "metrics"),
        locality: locality(decoder, &root),
        has_mesh_services: mode > 0,
        has_exclusive_mesh_services: mode == EXCLUSIVE,
    };
    let Some(tracing) = tracing else { return Some(mesh) };
    if context.kuma.version >= Version::V3_0 {
        warn_of_removal(decoder, &root);
        return Some(mesh);
    }
    let mut names: Vec<Located<Text>> = Vec::new();
    let items = tracing.list(decoder, "backends");
    for (path, node) in items.iter().cloned() {
        let Some(object) = Object::new(decoder, node, path, &["name", "type", "sampling", "conf"]) else {
            continue;
        };
        mesh.backends
            .extend(decode_backend(decoder, context, &object, &mut names));
    }
    mesh.default_backend = tracing
        .text(decoder, "defaultBackend")
        .filter(|name| !name.value.is_empty());
    mesh.declared = names.iter().map(|name| name.value.clone()).collect();
    // An invalid backend may be the one.
    let knows_all = names.len() == items.len();
    if let Some(default) = mesh.default_backend.as_ref().filter(|_| knows_all) {
        check_default(decoder, default, &names);
    }
    Some(mesh)
}

/// The values of `meshServices.mode`, by their numbers.
const MODES: [&str; 4] = ["Disabled", "Everywhere", "ReachableBackends", "Exclusive"];
const EXCLUSIVE: usize = 3;

fn mesh_services_mode(decoder: &mut Decoder, root: &Object) -> usize {
    let services = root.open_object(decoder, "meshServices");
    services.map_or(0, |services| services.word(decoder, "mode", &MODES).unwrap_or(0))
}

/// Reports a block `tracing` inside of another section, which nobody reads there.
fn report_moved_tracing(decoder: &mut Decoder, root: &Object) {
    for key in OTHER {
        let section = root.open_object(&mut decoder.silent(), key);
        if let Some((section, moved)) = section
            .as_ref()
            .and_then(|section| Some((section, section.get("tracing")?)))
        {
            let message = format!("`tracing` does not belong into `{key}`, so Kuma ignores the whole block");
            let severity = if decoder.is_exact() {
                Severity::Warning
            } else {
                Severity::Error
            };
            let finding = Diagnostic::new(severity, Code::UnknownField, Place::In(moved.key_at.clone()), message);
            decoder.report(
                finding
                    .path(section.path_of("tracing"))
                    .help("is its indentation right?"),
            );
        }
    }
}

/// The place of a section with an `enabledBackend`. Nothing else of the section is read.
fn enabled(decoder: &mut Decoder, root: &Object, key: &str) -> Option<Origin> {
    let unheard = &mut decoder.silent();
    let section = root.open_object(unheard, key)?;
    let backend = section.text(unheard, "enabledBackend");
    let is_enabled = backend.is_some_and(|backend| !backend.value.is_empty());
    is_enabled.then(|| root.origin_of(decoder, key))
}

/// The place of `localityAwareLoadBalancing`, if it is on.
fn locality(decoder: &mut Decoder, root: &Object) -> Option<Origin> {
    let unheard = &mut decoder.silent();
    let routing = root.open_object(unheard, "routing")?;
    let is_on = routing.boolean(unheard, "localityAwareLoadBalancing")?.value;
    is_on.then(|| routing.origin_of(decoder, "localityAwareLoadBalancing"))
}

/// Warns of `tracing`, which Kuma 3.0 accepts and ignores.
fn warn_of_removal(decoder: &mut Decoder, root: &Object) {
    if let Some(entry) = root.get("tracing") {
        let message = "Kuma 3.0 ignores `tracing` of a Mesh; backends are part of MeshTrace";
        let finding = Diagnostic::warning(Code::UnknownField, &entry.key_at, message).path(root.path_of("tracing"));
        decoder.report(
            finding.help("`meshtraced migrate` puts them there; or keep `kuma: {version: \"2.14\"}` in the settings"),
        );
    }
}

fn check_default(decoder: &mut Decoder, default: &Located<Text>, names: &[Located<Text>]) {
    if names.iter().any(|name| name.value == default.value) {
        return;
    }
    let Origin { path, at, .. } = &default.origin;
    let names = || names.iter().map(|name| name.value.as_str());
    let message = format!(
        "`defaultBackend` is `{}`, which is not a backend of this mesh",
        default.value
    );
    match closest(&default.value, names()) {
        Some(meant) => decoder.error_help(
            Code::UnknownDefaultBackend,
            at,
            path,
            message,
            format!("did you mean `{meant}`?"),
        ),
        None => decoder.error(Code::UnknownDefaultBackend, at, path, message),
    }
}

/// Decodes one backend. `names` has the names of the backends above, and gets the name of this one.
fn decode_backend(
    decoder: &mut Decoder,
    context: &Context,
    object: &Object,
    names: &mut Vec<Located<Text>>,
) -> Option<Backend> {
    let name = decode_name(decoder, object, names);
    names.extend(name.clone());
    let sampling = decode_sampling(decoder, object);
    let kind_at = object.get("type").map_or(object.at, |entry| &entry.value.at);
    let kind = object.text(decoder, "type");
    let conf = match kind.as_ref().map(|kind| kind.value.as_str()) {
        Some("zipkin") => decode_zipkin(decoder, context, object).map(BackendConf::Zipkin),
        Some("datadog") => decode_datadog(decoder, object).map(BackendConf::Datadog),
        other => {
            // A value of the wrong type has been reported already.
            if other.is_some() || object.get("type").is_none() {
                let found = other.map_or("no type".to_owned(), |kind| format!("type `{kind}`"));
                let help = match other.and_then(|kind| closest(kind, TYPES)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "the types of a Mesh are `zipkin` and `datadog`".to_owned(),
                };
                let message = format!("a backend has {found}; it must be `zipkin` or `datadog`");
                decoder.error_help(Code::UnknownValue, kind_at, &object.path_of("type"), message, help);
            }
            None
        }
    };
    Some(Backend {
        name: name?,
        sampling,
        conf: conf?,
    })
}

fn decode_name(decoder: &mut Decoder, object: &Object, before: &[Located<Text>]) -> Option<Located<Text>> {
    let path = object.field_path(decoder, "name");
    let at = object.get("name").map_or(object.at, |entry| &entry.value.at);
    let name = match object.text(decoder, "name") {
        Some(name) => name,
        None if object.get("name").is_some() => return None,
        None => decoder.located(Text::default(), &path, at),
    };
    if name.value.is_empty() {
        decoder.error_help(
            Code::EmptyField,
            at,
            &path,
            "a backend must have a name",
            "policies choose a backend by its name",
        );
    }
    if let Some(other) = before.iter().find(|other| other.value == name.value) {
        let message = format!(
            "the name `{}` is already used for another backend, in line {}",
            name.value,
            other.origin.at.line()
        );
        decoder.error(Code::DuplicateBackend, at, &path, message);
    }
    Some(name)
}

fn decode_sampling(decoder: &mut Decoder, object: &Object) -> Option<Located<Percent>> {
    let written = object.number(decoder, "sampling")?;
    let Origin { path, at, .. } = &written.origin;
    match Percent::new(written.value) {
        Some(percent) => Some(written.map(|_| percent)),
        None => {
            let message = format!("`sampling` is {}; it must be from 0 to 100", at.text());
            let help = "sampling is a percentage: 25 traces one request in four";
            decoder.error_help(Code::SamplingOutOfRange, at, path, message, help);
            None
        }
    }
}

fn decode_zipkin(decoder: &mut Decoder, context: &Context, backend: &Object) -> Option<ZipkinConf> {
    let known = ["url", "traceId128bit", "apiVersion", "sharedSpanContext"];
    let conf = conf(decoder, backend, &known)?;
    let api_version = conf.optional(|conf| decode_api_version(decoder, conf));
    let trace_id_128bit = conf.optional(|conf| conf.boolean(decoder, "traceId128bit"));
    let shared_span_context = conf.optional(|conf| conf.boolean(decoder, "sharedSpanContext"));
    let example = "for example: `url: http://zipkin.example:9411/api/v2/spans`";
    let url = conf.required_text(decoder, backend, "url", example)?;
    let written = url.value.clone();
    let url = decode_url(decoder, url)?;
    collector_url::warn_of_unsent_parts(decoder, context, &url);
    Some(ZipkinConf {
        url,
        written,
        trace_id_128bit,
        api_version,
        shared_span_context,
    })
}

fn decode_url(decoder: &mut Decoder, written: Located<Text>) -> Option<Located<CollectorUrl>> {
    match collector_url::parse(&written.value) {
        Ok(url) => Some(written.map(|_| url)),
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

fn decode_api_version(decoder: &mut Decoder, conf: &Object) -> Option<Located<ZipkinApiVersion>> {
    let written = conf
        .text(decoder, "apiVersion")
        .filter(|version| !version.value.is_empty())?;
    let version = match written.value.as_str() {
        "httpJsonV1" => ZipkinApiVersion::HttpJsonV1,
        "httpJson" => ZipkinApiVersion::HttpJson,
        "httpProto" => ZipkinApiVersion::HttpProto,
        other => {
            let Origin { path, at, .. } = &written.origin;
            let message = format!("`apiVersion` is `{other}`; it must be `httpJsonV1`, `httpJson` or `httpProto`");
            let help = closest(other, API_VERSIONS).map_or("without it, spans are sent as JSON".to_owned(), |meant| {
                format!("did you mean `{meant}`?")
            });
            decoder.error_help(Code::UnknownValue, at, path, message, help);
            return None;
        }
    };
    Some(written.map(|_| version))
}

fn decode_datadog(decoder: &mut Decoder, backend: &Object) -> Option<DatadogConf> {
    let conf = conf(decoder, backend, &["address", "port", "splitService"])?;
    let split_service = conf.optional(|conf| conf.boolean(decoder, "splitService"));
    let agent = "the host name or IP address of the Datadog agent";
    let address = conf.required_text(decoder, backend, "address", agent);
    let address = address.and_then(|address| decode_address(decoder, address));
    let port = decode_port(decoder, backend, &conf);
    Some(DatadogConf {
        address: address?,
        port: port?,
        split_service,
    })
}

/// Kuma accepts any text; a text that Envoy cannot use as a host is an error.
fn decode_address(decoder: &mut Decoder, address: Located<Text>) -> Option<Located<Text>> {
    let is_host = collector_url::is_ip(&address.value)
        || address
            .value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if is_host {
        return Some(address);
    }
    let Origin { path, at, .. } = &address.origin;
    let message = format!(
        "`address` is `{}`, which is neither a host name nor an IP address",
        address.value
    );
    let help = "write the host alone, without scheme, port or brackets; the port has its own field";
    let finding = Diagnostic::error(Code::InvalidAddress, at, message).path(path.as_str());
    decoder.rejected_by_envoy(finding.help(help));
    None
}

fn decode_port(decoder: &mut Decoder, backend: &Object, conf: &Conf) -> Option<Located<u16>> {
    let message = |found: &str| format!("`port` {found}; it must be from 1 to 65535");
    let help = "the default port of the Datadog agent is 8126";
    let entry = conf.0.as_ref().and_then(|conf| conf.get("port"));
    if entry.is_none() {
        let at = conf.0.as_ref().map_or(backend.at, |conf| conf.at);
        decoder.error_help(
            Code::PortOutOfRange,
            at,
            &conf_path(backend, "port"),
            message("is missing"),
            help,
        );
        return None;
    }
    let written = conf.0.as_ref()?.whole(decoder, "port")?;
    match u16::try_from(written.value) {
        Ok(port @ 1..) => Some(written.map(|_| port)),
        _ => {
            let Origin { path, at, .. } = &written.origin;
            decoder.error_help(
                Code::PortOutOfRange,
                at,
                path,
                message(&format!("is {}", written.value)),
                help,
            );
            None
        }
    }
}

/// `conf` of a backend, which may be absent.
struct Conf<'a>(Option<Object<'a>>);

/// `conf` of a backend; `None`, with an error, when it is not a mapping.
fn conf<'a>(decoder: &mut Decoder, backend: &Object<'a>, known: &[&str]) -> Option<Conf<'a>> {
    let object = backend.object(decoder, "conf", known);
    (object.is_some() || backend.get("conf").is_none()).then_some(Conf(object))
}

fn conf_path(backend: &Object, key: &str) -> String {
    format!("{}.{key}", backend.path_of("conf"))
}

impl<'a> Conf<'a> {
    fn optional<T>(&self, field: impl FnOnce(&Object<'a>) -> Option<T>) -> Option<T> {
        self.0.as_ref().and_then(field)
    }

    fn required_text(
        &self,
        decoder: &mut Decoder,
        backend: &Object,
        key: &str,
        help: &'static str,
    ) -> Option<Located<Text>> {
        let entry = self.0.as_ref().and_then(|conf| conf.get(key));
        let text = self.optional(|conf| conf.text(decoder, key));
        if text.is_none() && entry.is_some() {
            return None;
        }
        let text = text.filter(|text| !text.value.is_empty());
        if text.is_none() {
            let at = entry.map_or(self.0.as_ref().map_or(backend.at, |conf| conf.at), |entry| {
                &entry.value.at
            });
            decoder.error_help(
                Code::EmptyField,
                at,
                &conf_path(backend, key),
                format!("`{key}` must not be empty"),
                help,
            );
        }
        text
    }
}
