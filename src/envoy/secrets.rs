//! The files with the keys and certificates for collectors, which Envoys read and watch.

use std::collections::BTreeMap;
use std::ptr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cluster::exports;
use super::sds::Secret;
use super::shape::Shaped;
use super::xds;
use crate::collectors::{self, Material};
use crate::ir::{Export, Proxy};
use crate::words::FEW;

/// The proxies that hold a key: that of a header, or of their certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyHolders {
    /// The key by its source, such as `/etc/meshtraced/keys/example`.
    pub key: String,
    /// The number of proxies.
    pub proxies: usize,
    /// The first of them, sorted, as `MESH/DATAPLANE`.
    pub first: Vec<String>,
}

/// The keys and certificates that Envoys need.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Secrets {
    /// The files that Envoys read them from, by their names.
    pub files: BTreeMap<String, collectors::Secret>,
    /// The proxies that hold each of the keys.
    pub holders: Vec<KeyHolders>,
}

/// The secrets that the cluster of a collector names.
fn of(export: &Export) -> impl Iterator<Item = Secret<'_>> {
    let headers = export
        .collector
        .headers
        .iter()
        .flat_map(|headers| headers.value.values());
    let tls = export.collector.tls.iter();
    let tls = tls.flat_map(|tls| {
        let trusted = tls.verified.as_ref().map(|verified| Secret::TrustedCa(&verified.value));
        let certificate = tls.certificate.as_ref().map(Secret::Certificate);
        trusted.into_iter().chain(certificate)
    });
    headers.map(Secret::Header).chain(tls)
}

/// A secret that some proxies need.
struct Needed<'p> {
    content: Result<(&'static str, Value), String>,
    /// The proxies, each once.
    proxies: Vec<&'p Proxy>,
}

/// The files that the Envoys of the proxies need, and who holds the keys among them. A proxy with a secret that cannot be had is marked.
///
/// Each secret is looked at once, however many proxies need it; the cost grows with the proxies that need any.
pub fn resolve(all: &mut [Shaped], material: Material) -> Secrets {
    let proxies = all.iter().enumerate().filter(|(_, shaped)| needs_any(&shaped.proxy));
    let proxies: Vec<(usize, Arc<Proxy>)> = proxies.map(|(i, shaped)| (i, Arc::clone(&shaped.proxy))).collect();
    let mut needed: BTreeMap<Secret, Needed> = BTreeMap::new();
    for (i, proxy) in &proxies {
        for secret in exports(proxy).into_iter().flat_map(of) {
            let needed = needed.entry(secret).or_insert_with(|| Needed {
                content: content(secret, material),
                proxies: Vec::new(),
            });
            if let Err(missing) = &needed.content {
                all[*i].missing_secret = Some(missing.clone());
            }
            // A proxy may have two collectors.
            if needed.proxies.last().is_none_or(|last| !ptr::eq(*last, &**proxy)) {
                needed.proxies.push(proxy);
            }
        }
    }
    let holders = needed.iter().filter(|(_, needed)| needed.content.is_ok());
    let holders = holders.filter_map(|(secret, needed)| Some(KeyHolders::of(secret.key()?, &needed.proxies)));
    let holders = holders.collect();
    let files = needed.into_iter();
    let files = files.filter_map(|(secret, needed)| Some((secret.name(), file(secret, needed.content.ok()?))));
    let files = files.collect();
    Secrets { files, holders }
}

/// Whether the clusters of a proxy's collectors name a secret.
#[must_use]
pub fn needs_any(proxy: &Proxy) -> bool {
    let tracers = proxy.tracer.iter().chain(&proxy.idle_tracer);
    let mut exports = tracers.filter_map(|tracer| tracer.export.as_ref());
    exports.any(|export| of(export).next().is_some())
}

impl KeyHolders {
    fn of(key: String, proxies: &[&Proxy]) -> Self {
        let first = proxies.iter().take(FEW);
        Self {
            key,
            proxies: proxies.len(),
            first: first.map(|proxy| proxy.key.to_string()).collect(),
        }
    }
}

/// The content of a secret, as a part of its message.
fn content(secret: Secret, material: Material) -> Result<(&'static str, Value), String> {
    let inline = |text: &str| json!({"inline_string": text});
    let content = match secret {
        Secret::Header(source) => {
            (material.header(source)).map(|value| ("generic_secret", json!({"secret": inline(value.expose())})))
        }
        Secret::TrustedCa(trusted) => material.trusted_ca(trusted).map(|text| {
            let source = text.map_or_else(|| json!({"filename": trusted.to_string()}), |text| inline(&text));
            ("validation_context", json!({"trusted_ca": source}))
        }),
        Secret::Certificate(certificate) => material.certificate(certificate).map(|[chain, key]| {
            let pair = json!({"certificate_chain": inline(&chain), "private_key": inline(&key)});
            ("tls_certificate", pair)
        }),
    };
    content.map_err(|why| format!("{secret} {why}"))
}

/// The file of a secret, as a discovery response.
fn file(secret: Secret, (field, content): (&str, Value)) -> collectors::Secret {
    let message = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": secret.name(),
        field: content,
    });
    collectors::Secret::new(xds::response(&[message]))
}
