//! The files with the keys of collectors, which Envoys read and watch.

use std::collections::BTreeMap;

use serde_json::json;

use super::cluster::exports;
use super::credential::name;
use super::shape::Shaped;
use super::xds;
use crate::collectors::{HeaderSource, Keys, Secret};

/// The files with keys, by their names.
pub type Secrets = BTreeMap<String, Secret>;

/// The sources of the headers of a proxy's collectors.
fn sources(shaped: &Shaped) -> impl Iterator<Item = &HeaderSource> {
    let exports = exports(&shaped.proxy).into_iter();
    let headers = exports.filter_map(|export| export.collector.headers.as_ref());
    headers.flat_map(|headers| headers.value.values())
}

/// The files that the Envoys of the proxies need. A proxy with a key that cannot be had is marked, and its keys are left out.
pub fn resolve(all: &mut [Shaped], keys: &Keys) -> Secrets {
    let mut secrets = Secrets::new();
    if keys.is_empty() {
        return secrets;
    }
    for shaped in all {
        let mut missing = None;
        for source in sources(shaped) {
            match keys.get(source) {
                Ok(key) => drop(secrets.entry(name(source)).or_insert_with(|| file(source, key))),
                Err(why) => missing = Some(format!("the key of its collector is missing: {source} {why}")),
            }
        }
        shaped.missing_key = missing;
    }
    secrets
}

/// The file with a key, as a discovery response.
fn file(source: &HeaderSource, key: &Secret) -> Secret {
    let secret = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": name(source),
        "generic_secret": {"secret": {"inline_string": key.expose()}},
    });
    Secret::new(xds::response(&[secret]))
}
