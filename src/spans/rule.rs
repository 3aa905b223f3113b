//! The entries of `spans` in the settings.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::template::Template;
use super::untraced::Untraced;
use crate::collectors::HeaderName;
use crate::select::scope::Rule;

/// The spans as the settings describe them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans {
    /// The entries of `spans`; the first that fits a proxy and has a part decides about that part.
    pub rules: Vec<SpanRule>,
    /// The entries of `untraced`.
    pub untraced: Vec<Untraced>,
    /// The attributes of this machine, if an entry asks for them.
    pub host: Host,
}

/// The attributes of a machine, by OpenTelemetry's names.
pub type Host = BTreeMap<String, String>;

/// Names, attributes, tags, propagation and sampler of the spans of some proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpanRule {
    /// The proxies of this entry; every proxy without this key.
    pub select: Rule,
    /// The service name, with `{service}` for Kuma's, and `{dataplane}`, `{mesh}`, `{zone}` and `{tag:NAME}`. An entry with a tag that a dataplane
    /// does not have is passed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<Template>,
    /// The attributes of the OpenTelemetry resource, by their names, with the same placeholders. One with a tag that a dataplane does not have is
    /// left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_attributes: Option<BTreeMap<String, Template>>,
    /// The places where more attributes of the OpenTelemetry resource are found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_detectors: Option<BTreeSet<Detector>>,
    /// Tags of spans by their names, each with `value`, or with `env`, `header` or `metadata` and a `default`. A tag that a policy has of the same name
    /// stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, TagSource>>,
    /// Whether Zipkin's tracer reads and writes W3C's `traceparent` beside B3. The other tracers do anyway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub w3c: Option<bool>,
    /// The treatment of the header `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// The sampler of OpenTelemetry's tracer, with the percentage of the policies. Without a value, each proxy samples by the id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampler: Option<Sampler>,
}

/// A place where attributes of the OpenTelemetry resource are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Detector {
    /// The variable `OTEL_RESOURCE_ATTRIBUTES` in the environment of Envoy.
    Environment,
    /// The machine of meshtraced: `host.name`, `host.id`, `host.arch` and `os.type`.
    Host,
}

/// The source of the value of a tag: exactly one of `value`, `env`, `header` and `metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "TagKeys", into = "TagKeys")]
#[schemars(with = "TagKeys")]
pub enum TagSource {
    /// A text.
    Value(Template),
    /// A variable of the environment of Envoy.
    Env(String, Option<String>),
    /// A header of the request.
    Header(HeaderName, Option<String>),
    /// Envoy's metadata: the kind, the key, and the path below it.
    Metadata(MetadataKeys, Option<String>),
}

/// A source as it is written.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "TagSource")]
struct TagKeys {
    /// The value, with the same placeholders as the service name.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Template>,
    /// The variable of the environment of Envoy.
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<String>,
    /// The header of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<HeaderName>,
    /// The place in Envoy's metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<MetadataKeys>,
    /// The value where there is no such variable, header or metadata; without this key, the span then has no such tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
}

/// A place in Envoy's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetadataKeys {
    /// The owner of the metadata.
    pub kind: MetadataKind,
    /// The name of the filter that the metadata is for.
    pub key: String,
    /// The names from there to the value.
    pub path: Vec<String>,
}

/// The owner of Envoy's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetadataKind {
    /// The request: what filters found out.
    Request,
    /// The route that the request takes.
    Route,
    /// The cluster that the request goes to.
    Cluster,
    /// The endpoint that answers.
    Host,
}

impl MetadataKeys {
    fn is_whole(&self) -> bool {
        let has_names = !self.path.is_empty() && !self.path.iter().any(String::is_empty);
        has_names && !self.key.is_empty()
    }
}

impl MetadataKind {
    /// The name, as Envoy has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Route => "route",
            Self::Cluster => "cluster",
            Self::Host => "host",
        }
    }
}

impl TryFrom<TagKeys> for TagSource {
    type Error = String;

    fn try_from(keys: TagKeys) -> Result<Self, String> {
        let default = keys.default.filter(|default| !default.is_empty());
        match (keys.value, keys.env, keys.header, keys.metadata) {
            (Some(_), None, None, None) if default.is_some() => Err("a `value` has no `default`".to_owned()),
            (Some(value), None, None, None) => Ok(Self::Value(value)),
            (None, Some(name), None, None) if !name.is_empty() => Ok(Self::Env(name, default)),
            (None, None, Some(name), None) => Ok(Self::Header(name, default)),
            (None, None, None, Some(place)) if place.is_whole() => Ok(Self::Metadata(place, default)),
            (None, None, None, Some(_)) => {
                Err("`metadata` needs a `key` and a `path`, of names that are not empty".to_owned())
            }
            _ => Err("exactly one of `value`, `env`, `header` and `metadata` must be set".to_owned()),
        }
    }
}

impl From<TagSource> for TagKeys {
    fn from(source: TagSource) -> Self {
        let mut keys = Self::default();
        match source {
            TagSource::Value(value) => keys.value = Some(value),
            TagSource::Env(name, default) => (keys.env, keys.default) = (Some(name), default),
            TagSource::Header(name, default) => (keys.header, keys.default) = (Some(name), default),
            TagSource::Metadata(place, default) => (keys.metadata, keys.default) = (Some(place), default),
        }
        keys
    }
}

/// The treatment of the header `x-request-id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RequestId {
    /// Envoy writes the decision to trace into an id that is a UUID, and traces no request with another id.
    Mark,
    /// The id stays as it came.
    Keep,
}

/// A sampler of OpenTelemetry's tracer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sampler {
    /// The decision of the caller; for a new trace, its id decides.
    ParentBased,
    /// The id of the trace decides, whatever the caller decided: the same in all proxies of the same percentage.
    TraceIdRatio,
}

impl Sampler {
    /// The sampler in words.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::ParentBased => "the caller's decision, else by the id of the trace",
            Self::TraceIdRatio => "by the id of the trace",
        }
    }
}

impl SpanRule {
    /// The mistake in the entry, with its key; `None` if there is none.
    #[must_use]
    pub fn mistake(&self) -> Option<(&'static str, String)> {
        let mut names = self.resource_attributes.iter().flat_map(BTreeMap::keys);
        if let Some(name) = names.find(|name| name.is_empty() || *name == "service.name") {
            let mistake = match name.as_str() {
                "" => "the name of an attribute is empty".to_owned(),
                name => format!("`{name}` is what `service_name` sets"),
            };
            return Some(("resource_attributes", mistake));
        }
        let mut tags = self.tags.iter().flat_map(BTreeMap::keys);
        let is_nameless = tags.any(String::is_empty);
        is_nameless.then(|| ("tags", "the name of a tag is empty".to_owned()))
    }

    /// Whether the entry asks for attributes of the machine.
    #[must_use]
    pub fn detects(&self, detector: Detector) -> bool {
        self.resource_detectors
            .as_ref()
            .is_some_and(|all| all.contains(&detector))
    }
}
