//! The values of a proxy's tracing, each with its origin.

use serde::Serialize;

use super::place::Place;
use super::sampling::at_zero;
use crate::collectors;
use crate::envoy::effective::SETTINGS;
use crate::ir::{Export, OpenTelemetry, PolicyKind, Provider, Proxy, Sampling, Tag, Tracer, ZipkinEncoding};
use crate::resource::value::percent::Percent;
use crate::resource::{Effective, Origin, Provenance};
use crate::settings_value::HumanDuration;

/// One value and its origin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueOf {
    /// The name of the property, in Kuma's words.
    pub name: String,
    /// The value as text.
    pub value: String,
    /// The origin: a resource, `settings` or `default`.
    pub from: String,
    /// The path of the field in the origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The place of the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Place>,
}

/// The values of a proxy's tracer, the most important first.
pub(super) fn of(proxy: &Proxy, tracer: &Tracer, root: &str) -> Vec<ValueOf> {
    let written = |name: &str, value: String, origin: &Origin| written(name, value, origin, root);
    let mut values = Vec::new();
    // The backend of a MeshTrace has no name, unlike the resource that it refers to.
    let is_reference = tracer.backend.origin.path.ends_with("backendRef.labels");
    if tracer.by == PolicyKind::TrafficTrace || is_reference {
        values.push(written(
            "backend",
            tracer.backend.value.to_string(),
            &tracer.backend.origin,
        ));
    }
    values.extend(tracer.export.iter().flat_map(|export| of_export(export, root)));
    let provider = tracer.export.as_ref().map(|export| export.provider.name());
    values.extend(of_sampling(&tracer.sampling, provider.unwrap_or_default(), root));
    let added = proxy.added().into_iter();
    values.extend(added.map(|added| by(&added.name, &added.source, added.value, root)));
    values.extend(proxy.tags().map(|tag| of_tag(tag, root)));
    values
}

/// The values of the collector and of the provider.
fn of_export(export: &Export, root: &str) -> Vec<ValueOf> {
    let written = |name: &str, value: String, origin: &Origin| written(name, value, origin, root);
    let flag = |name: &str, flag: &Effective<bool>| effective(name, flag, flag.value.to_string(), root);
    let collector = &export.collector;
    let (name, place) = match &export.provider {
        Provider::Zipkin(zipkin) => {
            let scheme = if collector.tls.is_some() { "https" } else { "http" };
            ("url", format!("{scheme}://{}{}", collector.authority, zipkin.path))
        }
        Provider::Datadog(_) => ("address", collector.authority.clone()),
        Provider::OpenTelemetry(OpenTelemetry::Grpc) => ("endpoint", collector.authority.clone()),
        Provider::OpenTelemetry(OpenTelemetry::Http { uri }) => ("endpoint", uri.clone()),
    };
    let mut values = vec![written(name, place, &collector.origin)];
    values.extend(collector.tls.as_ref().map(|tls| match &tls.verified {
        Some(verified) => {
            let ca = &verified.value;
            let value = match &tls.name {
                Some(name) => format!("certificate verified: {name}, by {ca}"),
                None => format!("certificate verified by {ca}"),
            };
            effective("tls", verified, value, root)
        }
        None => written(
            "tls",
            "encrypted, certificate not verified".to_owned(),
            &collector.origin,
        ),
    }));
    values.extend(collector.headers.iter().map(|headers| {
        let words = collectors::in_words(&headers.value);
        effective("headers", headers, words, root)
    }));
    values.extend(collector.timeout.iter().map(|timeout| {
        let words = HumanDuration(timeout.value).to_string();
        effective("timeout", timeout, words, root)
    }));
    match &export.provider {
        Provider::Zipkin(zipkin) => {
            let encoding = match zipkin.encoding.value {
                ZipkinEncoding::Json => "httpJson",
                ZipkinEncoding::JsonForV1 => "httpJsonV1, sent as httpJson",
                ZipkinEncoding::Proto => "httpProto",
            };
            values.extend([
                effective("apiVersion", &zipkin.encoding, encoding.to_owned(), root),
                flag("traceId128bit", &zipkin.trace_id_128bit),
                flag("sharedSpanContext", &zipkin.shared_span_context),
            ]);
        }
        Provider::Datadog(datadog) => values.push(flag("splitService", &datadog.split_service)),
        Provider::OpenTelemetry(_) => {}
    }
    values
}

/// The sampling percentages; for a `MeshTrace` only those that are written.
fn of_sampling(sampling: &Sampling, provider: &str, root: &str) -> impl Iterator<Item = ValueOf> {
    let mut shares = vec![("sampling", "overall", &sampling.overall)];
    let more = [
        ("sampling.client", "client", &sampling.client),
        ("sampling.random", "random", &sampling.random),
    ];
    shares.extend(more.into_iter().filter(|(_, _, share)| share.is_written()));
    let value = move |(name, share_name, share): (&str, &str, &Effective<Percent>)| {
        effective(name, share, percent(share.value, provider, share_name), root)
    };
    shares.into_iter().map(value)
}

fn of_tag(tag: &Tag, root: &str) -> ValueOf {
    by(&format!("tag {}", tag.name), &tag.source, tag.value.to_string(), root)
}

/// A percentage, with a note on the spans that 0 leaves.
fn percent(share: Percent, provider: &str, name: &str) -> String {
    match share.get() {
        0.0 => format!("0 %: {}", at_zero(provider, name)),
        share => format!("{share} %"),
    }
}

fn written(name: &str, value: String, origin: &Origin, root: &str) -> ValueOf {
    ValueOf {
        name: name.to_owned(),
        value,
        from: origin.resource.to_string(),
        path: Some(origin.path.to_string()),
        at: Some(Place::of(&origin.at, root)),
    }
}

fn by_default(name: &str, value: String) -> ValueOf {
    ValueOf {
        name: name.to_owned(),
        value,
        from: "default".to_owned(),
        path: None,
        at: None,
    }
}

fn effective<T>(name: &str, effective: &Effective<T>, value: String, root: &str) -> ValueOf {
    by(name, &effective.source, value, root)
}

fn by(name: &str, source: &Provenance, value: String, root: &str) -> ValueOf {
    match source {
        Provenance::Written(origin) => written(name, value, origin, root),
        Provenance::Setting(key) => ValueOf {
            from: SETTINGS.to_owned(),
            path: Some(key.clone()),
            ..by_default(name, value)
        },
        Provenance::Default => by_default(name, value),
    }
}
