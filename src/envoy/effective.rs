//! `effective.yaml`: the effective tracing of a proxy, with the origin of every value.
//!
//! Origins are resources and paths, never files or lines, so that moving a resource or writing a comment
//! changes no byte. It is also what a later run reads back to say what changed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ir::{Direction, Listener, Provider, Proxy, Tracer, ZipkinEncoding};
use crate::resource::Origin;
use crate::yaml::{self, Limits, write};

/// The effective tracing of one proxy, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effective {
    /// Mesh of the dataplane.
    pub mesh: String,
    /// Name of the dataplane.
    pub dataplane: String,
    /// The service it is known by.
    pub service: String,
    /// The policy that governs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Where its spans go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
    /// What each of its listeners does.
    pub listeners: Vec<ListenerTracing>,
}

/// The policy that governs a proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Kuma's type of it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Tags of the selector that matched.
    pub tags: usize,
    /// How many of them name a value.
    pub exact: usize,
}

/// Where spans go and in which form; every value with its origin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// Its name.
    pub name: From<String>,
    /// `zipkin` or `datadog`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Host and port.
    pub collector: From<String>,
    /// Percentage of requests; absent where nothing is written, which means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<From<f64>>,
    /// What else the provider is told, in Kuma's words.
    pub options: serde_json::Map<String, Value>,
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct From<T> {
    /// The value.
    pub value: T,
    /// `TYPE MESH/NAME`, or `Mesh NAME`.
    pub from: String,
    /// Path of the field in that resource.
    pub path: String,
}

impl<T> From<T> {
    fn new(value: T, origin: &Origin) -> Self {
        Self {
            value,
            from: origin.resource.to_string(),
            path: origin.path.clone(),
        }
    }
}

/// What one listener does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListenerTracing {
    /// `inbound` or `outbound`.
    pub direction: String,
    /// Address and port.
    pub address: String,
    /// The service its requests are for.
    pub service: String,
    /// What it speaks.
    pub protocol: String,
    /// The name under which its spans are filed; absent when it is not traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reports_as: Option<String>,
    /// Why it is not traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_traced: Option<String>,
}

impl Effective {
    /// The effective tracing of a proxy.
    #[must_use]
    pub fn of(proxy: &Proxy) -> Self {
        let policy = proxy.policy.as_ref().map(|policy| Policy {
            kind: policy.origin.resource.kind.clone(),
            name: policy.name.clone(),
            tags: policy.tags,
            exact: policy.exact,
        });
        Self {
            mesh: proxy.mesh.clone(),
            dataplane: proxy.name.clone(),
            service: proxy.service.clone(),
            policy,
            backend: proxy.tracer.as_ref().map(backend),
            listeners: proxy
                .listeners
                .iter()
                .map(|listener| of_listener(proxy, listener))
                .collect(),
        }
    }

    /// Reads back what [`render`] wrote; `None` for anything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let value = yaml::json::read_one(text, &Limits::default())?;
        serde_json::from_value(value).ok()
    }
}

fn backend(tracer: &Tracer) -> Backend {
    let mut options = serde_json::Map::new();
    match &tracer.provider {
        Provider::Zipkin(zipkin) => {
            options.insert("path".to_owned(), zipkin.path.clone().into());
            let encoding = match zipkin.encoding {
                ZipkinEncoding::Json => "httpJson",
                ZipkinEncoding::Proto => "httpProto",
            };
            options.insert("apiVersion".to_owned(), encoding.into());
            options.insert("traceId128bit".to_owned(), zipkin.trace_id_128bit.into());
            options.insert(
                "sharedSpanContext".to_owned(),
                zipkin.shared_span_context.unwrap_or(true).into(),
            );
            options.insert("tls".to_owned(), tracer.collector.tls.into());
        }
        Provider::Datadog(datadog) => {
            options.insert("splitService".to_owned(), datadog.split_service.into());
        }
    }
    Backend {
        name: From::new(tracer.backend.value.clone(), &tracer.backend.origin),
        kind: tracer.provider.name().to_owned(),
        collector: From::new(tracer.collector.authority.clone(), &tracer.collector.origin),
        sampling: tracer
            .sampling
            .as_ref()
            .map(|sampling| From::new(sampling.value.get(), &sampling.origin)),
        options,
    }
}

fn of_listener(proxy: &Proxy, listener: &Listener) -> ListenerTracing {
    let direction = match listener.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    };
    let host = if listener.address.contains(':') {
        format!("[{}]", listener.address)
    } else {
        listener.address.clone()
    };
    ListenerTracing {
        direction: direction.to_owned(),
        address: format!("{host}:{}", listener.port),
        service: listener.service.clone(),
        protocol: listener.protocol.to_string(),
        reports_as: listener.reports_as.clone().filter(|_| proxy.tracer.is_some()),
        not_traced: listener.untraced_because.clone(),
    }
}

pub(super) fn render(proxy: &Proxy) -> String {
    let value = serde_json::to_value(Effective::of(proxy)).expect("plain data always is JSON");
    write::write(&value)
}
