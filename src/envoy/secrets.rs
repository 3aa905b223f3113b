//! The files with the keys and certificates for collectors, which Envoys read and watch.

use std::collections::BTreeMap;

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

/// The files with keys and certificates, by their names.
pub type Secrets = BTreeMap<String, collectors::Secret>;

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

/// The files that the Envoys of the proxies need. A proxy with a secret that cannot be had is marked, and its secrets are left out.
///
/// Each secret is looked at once, however many proxies need it.
pub fn resolve(all: &mut [Shaped], material: Material) -> (Secrets, Vec<KeyHolders>) {
    let proxies: Vec<_> = all.iter().map(|shaped| shaped.proxy.clone()).collect();
    let mut known = BTreeMap::new();
    let mut holders: BTreeMap<String, KeyHolders> = BTreeMap::new();
    for (shaped, proxy) in all.iter_mut().zip(&proxies) {
        for secret in exports(proxy).into_iter().flat_map(of) {
            let found = known.entry(secret).or_insert_with(|| content(secret, material));
            if let Err(missing) = found {
                shaped.missing_secret = Some(missing.clone());
            } else if let Some(key) = secret.key() {
                add_holder(&mut holders, key, proxy);
            }
        }
    }
    let files = known
        .into_iter()
        .filter_map(|(secret, content)| Some((secret.name(), file(secret, content.ok()?))));
    (files.collect(), holders.into_values().collect())
}

fn add_holder(holders: &mut BTreeMap<String, KeyHolders>, key: String, proxy: &Proxy) {
    let holders = holders.entry(key).or_insert_with_key(|key| KeyHolders {
        key: key.clone(),
        proxies: 0,
        first: Vec::new(),
    });
    holders.proxies += 1;
    if holders.first.len() < FEW {
        holders.first.push(format!("{}/{}", proxy.mesh, proxy.name));
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
            let source = text.map_or_else(|| json!({"filename": trusted.to_string()}), inline);
            ("validation_context", json!({"trusted_ca": source}))
        }),
        Secret::Certificate(certificate) => material.certificate(certificate).map(|[chain, key]| {
            let pair = json!({"certificate_chain": inline(chain), "private_key": inline(key)});
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
