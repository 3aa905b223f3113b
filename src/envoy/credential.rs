//! The filters that give requests to collectors their keys.
//!
//! Envoy has no field for a key of Zipkin or Datadog, and for OpenTelemetry one that takes the text of the key. A filter in front of the
//! cluster serves all of them, and reads the key from a file of its own, so that the clusters name a file and never a key.

use serde_json::{Value, json};

use super::sds::Secret;
use crate::collectors::Headers;

/// The filters in front of a cluster that add headers to its requests, and the one that sends these; `out` is the output directory.
pub(super) fn filters(headers: &Headers, out: &str) -> Value {
    let injectors = headers.iter().map(|(header, source)| {
        let credential = json!({
            "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
            "credential": Secret::Header(source).config(out),
            "header": header,
        });
        json!({
            "name": format!("envoy.filters.http.credential_injector.{header}"),
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
                "overwrite": true,
                "credential": {"name": "envoy.http.injected_credentials.generic", "typed_config": credential},
            },
        })
    });
    let codec = json!({
        "name": "envoy.filters.http.upstream_codec",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"},
    });
    injectors.chain([codec]).collect()
}
