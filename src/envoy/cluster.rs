//! The clusters of collectors and of upstreams.

use serde_json::{Map, Value, json};

use crate::ir::{Endpoint, Export, OpenTelemetry, Provider, Proxy, Tls};
use crate::resource::value::collector_url;

/// The clusters of a proxy's collectors, sorted by name; none when the proxy is not traced.
#[must_use]
pub fn collectors(proxy: &Proxy) -> Vec<Value> {
    let exports = exports(proxy).into_iter();
    exports.map(|export| collector(proxy, export)).collect()
}

/// The destinations of a proxy's spans, sorted by the names of their clusters.
pub(super) fn exports(proxy: &Proxy) -> Vec<&Export> {
    let tracers = proxy.tracer.iter().chain(&proxy.idle_tracer);
    let mut exports: Vec<&Export> = tracers.filter_map(|tracer| tracer.export.as_ref()).collect();
    exports.sort_by(|a, b| a.cluster_name.cmp(&b.cluster_name));
    exports
}

/// The cluster of a collector.
pub(super) fn collector(proxy: &Proxy, export: &Export) -> Value {
    let endpoint = Endpoint {
        host: export.collector.host.as_str().into(),
        port: export.collector.port,
    };
    let mut cluster = of(&export.cluster_name, "5s", proxy.ipv6, &[endpoint]);
    match &export.collector.tls {
        Some(tls) if tls.verified.is_some() => {
            cluster.insert("transport_socket".to_owned(), verified_tls(&export.collector.host, tls));
        }
        Some(tls) => {
            let matches = unverified_tls(&export.collector.host, tls);
            cluster.insert("transport_socket_matches".to_owned(), matches);
        }
        None => {}
    }
    if matches!(export.provider, Provider::OpenTelemetry(OpenTelemetry::Grpc)) {
        cluster.insert("typed_extension_protocol_options".to_owned(), http2_options());
    }
    if export.track_remaining {
        cluster.insert(
            "circuit_breakers".to_owned(),
            json!({"thresholds": [{"track_remaining": true}]}),
        );
    }
    Value::Object(cluster)
}

/// The protocol options for HTTP/2 to an upstream.
fn http2_options() -> Value {
    json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    })
}

/// The cluster of an application or of a service.
pub(super) fn upstream(name: &str, ipv6: bool, endpoints: &[Endpoint], http2: bool) -> Value {
    let mut cluster = of(name, "5s", ipv6, endpoints);
    if http2 {
        cluster.insert("typed_extension_protocol_options".to_owned(), http2_options());
    }
    Value::Object(cluster)
}

fn of(name: &str, connect_timeout: &str, ipv6: bool, endpoints: &[Endpoint]) -> Map<String, Value> {
    let by_name = endpoints.iter().any(|endpoint| !collector_url::is_ip(&endpoint.host));
    let mut cluster = Map::new();
    let mut set = |key: &str, value: Value| cluster.insert(key.to_owned(), value);
    set("name", json!(name));
    let stat_name = stat_name(name);
    if stat_name != name {
        set("alt_stat_name", json!(stat_name));
    }
    set("type", json!(if by_name { "STRICT_DNS" } else { "STATIC" }));
    if by_name && !ipv6 {
        set("dns_lookup_family", json!("V4_ONLY"));
    }
    set("connect_timeout", json!(connect_timeout));
    let endpoints: Vec<Value> = endpoints.iter().map(lb_endpoint).collect();
    let localities = if endpoints.is_empty() {
        json!([])
    } else {
        json!([{"lb_endpoints": endpoints}])
    };
    set(
        "load_assignment",
        json!({"cluster_name": name, "endpoints": localities}),
    );
    cluster
}

fn lb_endpoint(endpoint: &Endpoint) -> Value {
    json!({"endpoint": {"address": socket_address(&endpoint.host, endpoint.port)}})
}

/// A `socket_address` of a cluster or listener.
pub(super) fn socket_address(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

/// The name, with replacements for characters that Envoy's statistics cannot have.
pub(super) fn stat_name(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

/// TLS as Kuma configures it for collectors: encrypted, without verification of the certificate.
fn unverified_tls(host: &str, tls: &Tls) -> Value {
    let socket = tls_socket(tls_context(host, tls));
    json!([{"name": host, "match": {}, "transport_socket": socket}])
}

/// The path of the trusted certificates on Debian and its derivatives.
const TRUSTED_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// TLS with verification, which Kuma does not offer: the certificate must be trusted and name the host.
fn verified_tls(host: &str, tls: &Tls) -> Value {
    let mut context = tls_context(host, tls);
    let san_type = if collector_url::is_ip(host) {
        "IP_ADDRESS"
    } else {
        "DNS"
    };
    context["common_tls_context"] = json!({
        "validation_context": {
            "trusted_ca": {"filename": TRUSTED_CA},
            "match_typed_subject_alt_names": [{"san_type": san_type, "matcher": {"exact": host}}],
        },
    });
    tls_socket(context)
}

fn tls_context(host: &str, tls: &Tls) -> Value {
    let mut context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    });
    if tls.renegotiation {
        context["allow_renegotiation"] = json!(true);
    }
    if !collector_url::is_ip(host) {
        context["sni"] = json!(host);
    }
    context
}

fn tls_socket(context: Value) -> Value {
    json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_statistics_have_no_punctuation() {
        assert_eq!(stat_name("tracing:zipkin.eu"), "tracing_zipkin_eu");
        assert_eq!(stat_name("web_1-a"), "web_1-a");
    }

    #[test]
    fn a_name_among_the_endpoints_makes_the_cluster_resolve() {
        let endpoint = |host: &str| Endpoint {
            host: host.into(),
            port: 80,
        };
        assert_eq!(upstream("a", false, &[endpoint("10.0.0.1")], false)["type"], "STATIC");
        let mixed = upstream("a", false, &[endpoint("10.0.0.1"), endpoint("web.local")], false);
        assert_eq!(
            (&mixed["type"], &mixed["dns_lookup_family"]),
            (&json!("STRICT_DNS"), &json!("V4_ONLY"))
        );
    }
}
