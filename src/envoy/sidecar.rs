//! Shape `sidecar`: a complete proxy from the dataplane alone.
//!
//! Inbound listeners lead to the local application, outbound listeners to the instances of a service. Names
//! of listeners and clusters are Kuma's. Streams have no timeout, and tracing is the only feature that is configured.

use serde_json::{Value, json};

use super::layout::{Cluster, Layout, listener_name};
use super::{cluster, tracing};
use crate::ir::{Direction, Listener, Proxy};

/// The resources of one proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct Resources {
    /// Clusters, sorted by name.
    pub clusters: Vec<Value>,
    /// Listeners: inbounds, then outbounds.
    pub listeners: Vec<Value>,
}

/// The resources of a proxy.
pub(super) fn render(proxy: &Proxy, layout: &Layout) -> Resources {
    let clusters = layout.clusters.iter().map(|(name, cluster)| match cluster {
        Cluster::Collector(export) => cluster::collector(proxy, export),
        Cluster::Upstream { endpoints, http2 } => cluster::upstream(name, proxy.ipv6, endpoints, *http2),
    });
    let listeners = layout.listeners.iter();
    let listeners = listeners.map(|(listener, clusters)| render_listener(proxy, listener, clusters));
    Resources {
        clusters: clusters.collect(),
        listeners: listeners.collect(),
    }
}

/// A listener whose requests are split among clusters by weight. Without a cluster, it closes connections, as in Kuma.
fn render_listener(proxy: &Proxy, listener: &Listener, clusters: &[(String, u32)]) -> Value {
    let filters = match clusters.first() {
        None => json!([]),
        Some((first, _)) if listener.protocol.value.is_http() => {
            json!([http_filter(proxy, listener, first, clusters)])
        }
        Some((first, _)) => json!([tcp_filter(first, clusters)]),
    };
    let direction = match listener.direction {
        Direction::Inbound => "INBOUND",
        Direction::Outbound | Direction::Gateway => "OUTBOUND",
    };
    json!({
        "name": listener_name(listener),
        "address": cluster::socket_address(&listener.address, listener.port),
        "filter_chains": [{"filters": filters}],
        "traffic_direction": direction,
    })
}

fn http_filter(proxy: &Proxy, listener: &Listener, first: &str, clusters: &[(String, u32)]) -> Value {
    let (specifier, upstream) = cluster_specifier(clusters);
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": cluster::stat_name(first),
        "route_config": {
            "name": listener_name(listener),
            "virtual_hosts": [{
                "name": listener.service,
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {(specifier): upstream, "timeout": "0s"}}],
            }],
        },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
        "stream_idle_timeout": "0s",
    });
    if let Some(block) = tracing::block(proxy, listener) {
        manager["tracing"] = block;
    }
    json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": manager})
}

fn tcp_filter(first: &str, clusters: &[(String, u32)]) -> Value {
    let (specifier, upstream) = cluster_specifier(clusters);
    json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": cluster::stat_name(first),
            (specifier): upstream,
            "idle_timeout": "0s",
        },
    })
}

/// The cluster of a route or of a TCP proxy, or several by their weights: the name of Envoy's field, and its value.
fn cluster_specifier(clusters: &[(String, u32)]) -> (&'static str, Value) {
    match clusters {
        [(name, _)] => ("cluster", json!(name)),
        several => {
            let entry = |(name, weight): &(String, u32)| json!({"name": name, "weight": weight});
            let entries: Vec<Value> = several.iter().map(entry).collect();
            ("weighted_clusters", json!({"clusters": entries}))
        }
    }
}
