//! `effective.yaml`: the effective tracing of a proxy, with the origin of every value.
//!
//! Origins are resources and paths, never files or lines, so that moving a resource or writing a comment
//! changes no byte. A later run reads the file back to describe the changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cluster::duration;
use crate::collectors;
use crate::ir::{
    Collector, Export, Listener, OpenTelemetry, Provider, Proxy, Specificity, Tag, Tracer, ZipkinEncoding,
};
use crate::resource::value::percent::Percent;
use crate::resource::{Effective, Origin, Provenance};
use crate::yaml::{self, Limits, write};

/// The content of `effective.yaml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EffectiveTracing {
    /// Mesh of the dataplane.
    pub mesh: String,
    /// Name of the dataplane.
    pub dataplane: String,
    /// The service that identifies the proxy.
    pub service: String,
    /// The policy that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// The backend that receives the spans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
    /// The tracing of each listener.
    pub listeners: Vec<ListenerTracing>,
}

/// The policy that decides for a proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The kind of the policy.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of the policy.
    pub name: String,
    /// The number of tags of the matching selector, for a `TrafficTrace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<usize>,
    /// The number of tags with an exact value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<usize>,
    /// The kind of the target, for a `MeshTrace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// The destination and the form of spans; every value with its origin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// The name of the backend; for a backend without one, its URL or endpoint.
    pub name: From<String>,
    /// `zipkin`, `datadog` or `opentelemetry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Host and port.
    pub collector: From<String>,
    /// The overall sampling, in percent.
    pub sampling: From<f64>,
    /// The other options of the provider, by Kuma's names.
    pub options: BTreeMap<String, From<Value>>,
}

/// A value and its origin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct From<T> {
    /// The effective value.
    pub value: T,
    /// The origin: `TYPE MESH/NAME`, `Mesh NAME`, `settings` or `default`.
    pub from: String,
    /// The path of the field in the origin; absent for a default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// The origin of a value of the settings.
pub(crate) const SETTINGS: &str = "settings";

/// The parts of values that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    Values,
    Origins,
}

impl<T> From<T> {
    fn written(value: T, origin: &Origin, detail: Detail) -> Self {
        let (from, path) = match detail {
            Detail::Values => (String::new(), None),
            Detail::Origins => (origin.resource.to_string(), Some(origin.path.to_string())),
        };
        Self { value, from, path }
    }

    fn effective<U: Copy>(effective: &Effective<U>, detail: Detail, value: impl FnOnce(U) -> T) -> Self {
        Self::of(value(effective.value), &effective.source, detail)
    }

    fn of(value: T, source: &Provenance, detail: Detail) -> Self {
        match source {
            Provenance::Written(origin) => Self::written(value, origin, detail),
            Provenance::Setting(key) => Self {
                value,
                from: SETTINGS.to_owned(),
                path: Some(key.clone()),
            },
            Provenance::Default => Self {
                value,
                from: "default".to_owned(),
                path: None,
            },
        }
    }
}

/// The tracing of one listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListenerTracing {
    /// `inbound` or `outbound`.
    pub direction: String,
    /// The path of the declaration in the dataplane.
    pub path: String,
    /// Address and port.
    pub address: String,
    /// The destination service of requests.
    pub service: String,
    /// The protocol of the listener.
    pub protocol: From<String>,
    /// The service name in the spans; absent when the listener is not traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reports_as: Option<String>,
    /// The reason why the listener is not traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_traced: Option<String>,
}

impl EffectiveTracing {
    /// The effective tracing of a proxy.
    #[must_use]
    pub fn of(proxy: &Proxy) -> Self {
        Self::with(proxy, Detail::Origins)
    }

    /// The effective tracing of a proxy without the origins of values.
    #[must_use]
    pub fn values_of(proxy: &Proxy) -> Self {
        Self::with(proxy, Detail::Values)
    }

    fn with(proxy: &Proxy, detail: Detail) -> Self {
        let policy = proxy.policy().map(policy);
        Self {
            mesh: proxy.key.mesh.clone(),
            dataplane: proxy.key.dataplane.clone(),
            service: proxy.service.to_string(),
            policy,
            backend: proxy
                .tracer
                .as_deref()
                .and_then(|tracer| backend(proxy, tracer, detail)),
            listeners: proxy
                .listeners
                .iter()
                .map(|listener| of_listener(proxy, listener, detail))
                .collect(),
        }
    }

    /// Reads an `effective.yaml`; `None` for any other text.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let value = yaml::json::read_one(text, &Limits::default())?;
        serde_json::from_value(value).ok()
    }
}

fn policy(policy: &crate::ir::Policy) -> Policy {
    let (tags, exact, target) = match policy.specificity {
        Specificity::Tags { tags, exact } => (Some(tags), Some(exact), None),
        Specificity::Target(kind) => (None, None, Some(kind.to_owned())),
    };
    Policy {
        kind: (&policy.origin.resource.kind).into(),
        name: policy.name.clone(),
        tags,
        exact,
        target,
    }
}

/// The options of a collector that labels and the settings give it.
fn of_settings(collector: &Collector, detail: Detail) -> Vec<(&'static str, From<Value>)> {
    let verified = collector.tls.as_ref().and_then(|tls| tls.verified.as_ref());
    let verified = verified.map(|verified| ("verifyCollector", From::of(true.into(), &verified.source, detail)));
    let headers = collector.headers.as_ref().map(|headers| {
        let words = collectors::in_words(&headers.value);
        ("headers", From::of(words.into(), &headers.source, detail))
    });
    let timeout = collector.timeout.as_ref().map(|timeout| {
        let value = duration(timeout.value);
        ("timeout", From::of(value.into(), &timeout.source, detail))
    });
    [verified, headers, timeout].into_iter().flatten().collect()
}

fn backend(proxy: &Proxy, tracer: &Tracer, detail: Detail) -> Option<Backend> {
    let Export {
        collector, provider, ..
    } = tracer.export.as_ref()?;
    let flag = |effective: &Effective<bool>| From::effective(effective, detail, Value::from);
    let mut options: Vec<(&str, From<Value>)> = match provider {
        Provider::Zipkin(zipkin) => {
            let encoding = |encoding| match encoding {
                ZipkinEncoding::Json => "httpJson".into(),
                ZipkinEncoding::JsonForV1 => "httpJsonV1".into(),
                ZipkinEncoding::Proto => "httpProto".into(),
            };
            vec![
                (
                    "path",
                    From::written(zipkin.path.clone().into(), &collector.origin, detail),
                ),
                (
                    "tls",
                    From::written(collector.tls.is_some().into(), &collector.origin, detail),
                ),
                ("apiVersion", From::effective(&zipkin.encoding, detail, encoding)),
                ("traceId128bit", flag(&zipkin.trace_id_128bit)),
                ("sharedSpanContext", flag(&zipkin.shared_span_context)),
            ]
        }
        Provider::Datadog(datadog) => vec![("splitService", flag(&datadog.split_service))],
        Provider::OpenTelemetry(OpenTelemetry::Grpc) => {
            vec![("protocol", From::written("grpc".into(), &collector.origin, detail))]
        }
        Provider::OpenTelemetry(OpenTelemetry::Http { uri }) => vec![
            ("protocol", From::written("http".into(), &collector.origin, detail)),
            ("uri", From::written(uri.clone().into(), &collector.origin, detail)),
        ],
    };
    options.extend(of_settings(collector, detail));
    for (key, share) in [("client", &tracer.sampling.client), ("random", &tracer.sampling.random)] {
        if share.is_written() {
            options.push((key, From::effective(share, detail, |share| share.get().into())));
        }
    }
    let options = options.into_iter().map(|(key, value)| (key.to_owned(), value));
    let added = proxy.added().into_iter();
    let added = added.map(|added| (added.name, From::of(added.value.into(), &added.source, detail)));
    let tags = proxy
        .tags()
        .map(|tag| (format!("tag {}", tag.name), tag_value(tag, detail)));
    Some(Backend {
        name: From::written(tracer.backend.value.to_string(), &tracer.backend.origin, detail),
        kind: provider.name().to_owned(),
        collector: From::written(collector.authority.clone(), &collector.origin, detail),
        sampling: From::effective(&tracer.sampling.overall, detail, Percent::get),
        options: options.chain(added).chain(tags).collect(),
    })
}

fn tag_value(tag: &Tag, detail: Detail) -> From<Value> {
    From::of(tag.value.to_string().into(), &tag.source, detail)
}

fn of_listener(proxy: &Proxy, listener: &Listener, detail: Detail) -> ListenerTracing {
    let host = if listener.address.contains(':') {
        format!("[{}]", listener.address)
    } else {
        listener.address.to_string()
    };
    ListenerTracing {
        direction: listener.direction.as_str().to_owned(),
        path: listener.path.to_string(),
        address: format!("{host}:{}", listener.port),
        service: listener.service.to_string(),
        protocol: From::effective(&listener.protocol, detail, |protocol| protocol.to_string()),
        reports_as: (listener.reports_as.as_ref().map(ToString::to_string)).filter(|_| proxy.tracer.is_some()),
        not_traced: listener.untraced_reason.as_ref().map(Into::into),
    }
}

pub(super) fn render(out: &mut String, proxy: &Proxy) {
    write::append(out, &EffectiveTracing::of(proxy));
}
