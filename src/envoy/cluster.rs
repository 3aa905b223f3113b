//! The clusters of collectors and of upstreams.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::credential;
use super::sds::Secret;
use crate::ir::{Endpoint, Export, OpenTelemetry, Provider, Proxy, Tls};
use crate::resource::value::collector_url;

/// The message of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClusterMessage<'a> {
    #[serde(rename = "@type", skip_serializing_if = "Option::is_none")]
    type_url: Option<&'static str>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    alt_stat_name: Option<Cow<'a, str>>,
    #[serde(rename = "type")]
    discovery: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns_lookup_family: Option<&'static str>,
    connect_timeout: &'static str,
    load_assignment: LoadAssignment<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport_socket: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport_socket_matches: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    typed_extension_protocol_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    circuit_breakers: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct LoadAssignment<'a> {
    cluster_name: &'a str,
    endpoints: Localities<'a>,
}

/// The one locality with all endpoints, or none without endpoints.
#[derive(Debug, Clone, PartialEq)]
enum Localities<'a> {
    Of(&'a [Endpoint]),
    /// The endpoint of a collector.
    One(&'a str, u16),
}

impl Serialize for Localities<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Locality<E: Serialize> {
            lb_endpoints: E,
        }
        match *self {
            Self::Of([]) => serializer.collect_seq([(); 0]),
            Self::Of(endpoints) => {
                let lb_endpoints = LbEndpoints(endpoints);
                [Locality { lb_endpoints }].serialize(serializer)
            }
            Self::One(host, port) => {
                let lb_endpoints = [lb_endpoint(host, port)];
                [Locality { lb_endpoints }].serialize(serializer)
            }
        }
    }
}

struct LbEndpoints<'a>(&'a [Endpoint]);

impl Serialize for LbEndpoints<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|endpoint| lb_endpoint(&endpoint.host, endpoint.port)))
    }
}

#[derive(Serialize)]
struct LbEndpoint<'a> {
    endpoint: EndpointMessage<'a>,
}

#[derive(Serialize)]
struct EndpointMessage<'a> {
    address: Address<'a>,
}

fn lb_endpoint(host: &str, port: u16) -> LbEndpoint<'_> {
    let endpoint = EndpointMessage {
        address: Address::socket(host, port),
    };
    LbEndpoint { endpoint }
}

/// The address of an endpoint or listener.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Address<'a> {
    socket_address: SocketAddress<'a>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct SocketAddress<'a> {
    address: &'a str,
    port_value: u16,
}

impl<'a> Address<'a> {
    /// A `socket_address`.
    pub(super) fn socket(address: &'a str, port_value: u16) -> Self {
        Self {
            socket_address: SocketAddress { address, port_value },
        }
    }
}

/// The clusters of a proxy's collectors, sorted by name; none when the proxy is not traced. Keys and certificates are in files below
/// the output directory `out`.
#[must_use]
pub fn collectors<'p>(proxy: &'p Proxy, out: &str) -> Vec<ClusterMessage<'p>> {
    let exports = exports(proxy).into_iter();
    exports.map(|export| collector(proxy, export, out)).collect()
}

/// The destinations of a proxy's spans, sorted by the names of their clusters.
pub(super) fn exports(proxy: &Proxy) -> Vec<&Export> {
    let tracers = proxy.tracer.iter().chain(&proxy.idle_tracer);
    let mut exports: Vec<&Export> = tracers.filter_map(|tracer| tracer.export.as_ref()).collect();
    exports.sort_by(|a, b| a.cluster_name.cmp(&b.cluster_name));
    exports
}

/// The cluster of a collector, whose keys and certificates are in files below `out`.
pub(super) fn collector<'a>(proxy: &Proxy, export: &'a Export, out: &str) -> ClusterMessage<'a> {
    let (host, port) = (export.collector.host.as_str(), export.collector.port);
    let by_name = !collector_url::is_ip(host);
    let mut cluster = of(&export.cluster_name, proxy.ipv6, by_name, Localities::One(host, port));
    match &export.collector.tls {
        // Kuma's own form, which is as good where nothing is verified.
        Some(tls) if tls.verified.is_none() && tls.name.is_none() && tls.certificate.is_none() => {
            cluster.transport_socket_matches = Some(unverified_tls(host, tls));
        }
        Some(tls) => cluster.transport_socket = Some(tls_socket(configured_tls(host, tls, out))),
        None => {}
    }
    let is_http2 = matches!(export.provider, Provider::OpenTelemetry(OpenTelemetry::Grpc));
    cluster.typed_extension_protocol_options = match &export.collector.headers {
        Some(headers) if !headers.value.is_empty() => {
            Some(http_options(is_http2, Some(credential::filters(&headers.value, out))))
        }
        Some(_) | None => is_http2.then(|| http_options(true, None)),
    };
    if export.track_remaining {
        cluster.circuit_breakers = Some(json!({"thresholds": [{"track_remaining": true}]}));
    }
    cluster
}

/// The protocol options for HTTP/2 or HTTP/1.1 to an upstream, with the filters in front of it.
fn http_options(is_http2: bool, filters: Option<Value>) -> Value {
    let protocol = if is_http2 {
        "http2_protocol_options"
    } else {
        "http_protocol_options"
    };
    let mut options = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {protocol: {}},
    });
    if let Some(filters) = filters {
        options["http_filters"] = filters;
    }
    json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options})
}

/// The cluster of an application or of a service; `by_name` tells that a host among its endpoints is a name.
pub(super) fn upstream<'a>(
    name: &'a str,
    ipv6: bool,
    (endpoints, by_name): (&'a [Endpoint], bool),
    http2: bool,
) -> ClusterMessage<'a> {
    ClusterMessage {
        typed_extension_protocol_options: http2.then(|| http_options(true, None)),
        ..of(name, ipv6, by_name, Localities::Of(endpoints))
    }
}

/// A cluster; `by_name` tells that a host is a name, which Envoy must resolve.
fn of<'a>(name: &'a str, ipv6: bool, by_name: bool, endpoints: Localities<'a>) -> ClusterMessage<'a> {
    ClusterMessage {
        type_url: None,
        name,
        alt_stat_name: Some(stat_name(name)).filter(|stat_name| stat_name != name),
        discovery: if by_name { "STRICT_DNS" } else { "STATIC" },
        dns_lookup_family: (by_name && !ipv6).then_some("V4_ONLY"),
        connect_timeout: "5s",
        load_assignment: LoadAssignment {
            cluster_name: name,
            endpoints,
        },
        transport_socket: None,
        transport_socket_matches: None,
        typed_extension_protocol_options: None,
        circuit_breakers: None,
    }
}

impl ClusterMessage<'_> {
    /// The message with its type, as in a discovery response.
    pub(super) fn typed(self) -> Self {
        Self {
            type_url: Some("type.googleapis.com/envoy.config.cluster.v3.Cluster"),
            ..self
        }
    }
}

/// A duration as Envoy's messages have it, in seconds.
pub(super) fn duration(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

/// The name, with replacements for characters that Envoy's statistics cannot have.
pub(super) fn stat_name(name: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.chars().all(fits) {
        return name.into();
    }
    name.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

/// TLS as Kuma configures it for collectors: encrypted, without verification of the certificate.
fn unverified_tls(host: &str, tls: &Tls) -> Value {
    let socket = tls_socket(tls_context(host, tls));
    json!([{"name": host, "match": {}, "transport_socket": socket}])
}

/// TLS as the settings or a label ask for it, which Kuma does not offer: a certificate that is verified must be trusted and have the
/// name of the host, or the one that was asked for. Certificates come from files that Envoy watches.
fn configured_tls(host: &str, tls: &Tls, out: &str) -> Value {
    let mut context = tls_context(host, tls);
    let name = tls.name.as_deref().unwrap_or(host);
    let san_type = if collector_url::is_ip(name) {
        "IP_ADDRESS"
    } else {
        "DNS"
    };
    // Without it, Envoy asks for TLS 1.2 at most.
    let mut common = json!({
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
    });
    if let Some(certificate) = &tls.certificate {
        common["tls_certificate_sds_secret_configs"] = json!([Secret::Certificate(certificate).config(out)]);
    }
    if let Some(trusted) = &tls.verified {
        common["combined_validation_context"] = json!({
            "default_validation_context": {
                "match_typed_subject_alt_names": [{"san_type": san_type, "matcher": {"exact": name}}],
            },
            "validation_context_sds_secret_config": Secret::TrustedCa(&trusted.value).config(out),
        });
    }
    context["common_tls_context"] = common;
    context
}

fn tls_context(host: &str, tls: &Tls) -> Value {
    let mut context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    });
    if tls.renegotiation {
        context["allow_renegotiation"] = json!(true);
    }
    let name = tls.name.as_deref().unwrap_or(host);
    if !collector_url::is_ip(name) {
        context["sni"] = json!(name);
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
    fn names_are_resolved() {
        let endpoints = [Endpoint {
            host: "web.local".into(),
            port: 80,
        }];
        assert_eq!(upstream("a", false, (&endpoints, false), false).discovery, "STATIC");
        let resolved = upstream("a", false, (&endpoints, true), false);
        assert_eq!(
            (resolved.discovery, resolved.dns_lookup_family),
            ("STRICT_DNS", Some("V4_ONLY"))
        );
    }
}
