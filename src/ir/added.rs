//! The additions of the settings in words.

use super::proxy::{Provider, Proxy};
use crate::resource::Provenance;
use crate::spans::{RequestId, Untraced};

/// An addition in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Added {
    /// The name of the property, in the way of Kuma's.
    pub name: String,
    /// The value as text.
    pub value: String,
    /// The setting.
    pub source: Provenance,
}

impl Proxy {
    /// The additions of the settings to the tracing of the proxy, as far as its provider can carry them, beside tags.
    #[must_use]
    pub fn added(&self) -> Vec<Added> {
        let Some(export) = self.tracer.as_ref().and_then(|tracer| tracer.export.as_ref()) else {
            return Vec::new();
        };
        let additions = &*self.additions;
        let is_for_zipkin = matches!(export.provider, Provider::Zipkin(_));
        let is_for_opentelemetry = matches!(export.provider, Provider::OpenTelemetry(_));
        let name = additions.service_name.as_ref();
        let name = name.map(|name| added("serviceName", name.value.to_string(), &name.source));
        let attributes = additions.resource_attributes.iter().filter(|_| is_for_opentelemetry);
        let attributes = attributes.map(|(name, value)| {
            added(
                &format!("resource attribute {name}"),
                value.value.clone(),
                &value.source,
            )
        });
        let detects = additions.detects_environment.as_ref().filter(|_| is_for_opentelemetry);
        let detects = detects.map(|source| added("resource detector", "environment".to_owned(), source));
        let w3c = additions.w3c.as_ref().filter(|_| is_for_zipkin);
        let w3c = w3c.map(|w3c| added("w3c", w3c.value.to_string(), &w3c.source));
        let request_id = additions.request_id.as_ref().map(|request_id| {
            let words = match request_id.value {
                RequestId::Mark => "marked",
                RequestId::Keep => "kept",
            };
            added("requestId", words.to_owned(), &request_id.source)
        });
        let sampler = self.sampler();
        let sampler = sampler.map(|sampler| added("sampler", sampler.value.in_words().to_owned(), &sampler.source));
        let untraced = (!additions.untraced.is_empty()).then(|| {
            let words: Vec<String> = additions.untraced.iter().map(Untraced::in_words).collect();
            added(
                "untraced",
                words.join("; "),
                &Provenance::Setting("untraced".to_owned()),
            )
        });
        let first = name.into_iter().chain(attributes).chain(detects);
        let rest = [w3c, request_id, sampler, untraced];
        first.chain(rest.into_iter().flatten()).collect()
    }
}

fn added(name: &str, value: String, source: &Provenance) -> Added {
    Added {
        name: name.to_owned(),
        value,
        source: source.clone(),
    }
}
