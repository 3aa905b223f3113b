//! Clusters: where spans and requests go.

use serde_json::{Map, Value, json};

use super::Dialect;
use crate::ir::{Endpoint, Proxy, Tracer};
use crate::resource::{Version, url};

/// The name of the cluster of a collector, which listeners refer to.
#[must_use]
pub(super) fn collector_name(tracer: &Tracer) -> String {
    format!("tracing:{}", tracer.backend.value)
}

/// The cluster of the collector of a proxy; `None` when it does not trace.
#[must_use]
pub fn collector(proxy: &Proxy, dialect: Dialect) -> Option<Value> {
    let tracer = proxy.tracer.as_ref()?;
    let endpoint = Endpoint {
        host: tracer.collector.host.clone(),
        port: tracer.collector.port,
    };
    let mut cluster = of(&collector_name(tracer), "5s", proxy.ipv6, &[endpoint]);
    if tracer.collector.tls {
        cluster.insert(
            "transport_socket_matches".to_owned(),
            unverified_tls(&tracer.collector.host),
        );
    }
    if dialect.version >= Version::V2_14 {
        cluster.insert(
            "circuit_breakers".to_owned(),
            json!({"thresholds": [{"track_remaining": true}]}),
        );
    }
    Some(Value::Object(cluster))
}

/// The cluster of an application or of a service.
pub(super) fn upstream(name: &str, ipv6: bool, endpoints: &[Endpoint], http2: bool) -> Value {
    let mut cluster = of(name, "5s", ipv6, endpoints);
    if http2 {
        let options = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        });
        cluster.insert("typed_extension_protocol_options".to_owned(), options);
    }
    Value::Object(cluster)
}

fn of(name: &str, connect_timeout: &str, ipv6: bool, endpoints: &[Endpoint]) -> Map<String, Value> {
    let by_name = endpoints.iter().any(|endpoint| !url::is_ip(&endpoint.host));
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

/// An address as clusters and listeners take it.
pub(super) fn socket_address(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

/// The name with every character replaced that Envoy's statistics cannot carry.
pub(super) fn stat_name(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

/// TLS as Kuma sets it up for collectors: encrypted, and no certificate is verified.
fn unverified_tls(host: &str) -> Value {
    let mut context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "allow_renegotiation": true,
    });
    if !url::is_ip(host) {
        context["sni"] = json!(host);
    }
    json!([{
        "name": host,
        "match": {},
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context},
    }])
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
            host: host.to_owned(),
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
