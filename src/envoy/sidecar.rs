//! Shape `sidecar`: a complete proxy from the dataplane alone.
//!
//! Inbound listeners lead to the local application, outbound listeners to the instances of a service. Names
//! of listeners and clusters are Kuma's. Streams have no timeout, and tracing is the only feature that is configured.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{cluster, tracing};
use crate::diag::{Code, Diagnostic};
use crate::ir::{Direction, Endpoint, Listener, ListenerNaming, Proxy, Upstream};

/// The resources of one proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct Resources {
    /// Clusters, sorted by name.
    pub clusters: Vec<Value>,
    /// Listeners: inbounds, then outbounds.
    pub listeners: Vec<Value>,
}

/// The name of a listener in Kuma.
#[must_use]
pub fn listener_name(listener: &Listener) -> String {
    let (direction, address) = match (&listener.named, listener.direction) {
        (ListenerNaming::Section(section), _) => return format!("self_inbound_dp_{section}"),
        (ListenerNaming::Resource(name) | ListenerNaming::Gateway(name), _) => return name.clone(),
        (ListenerNaming::Address(address), Direction::Inbound) => ("inbound", address),
        (ListenerNaming::Address(address), Direction::Outbound | Direction::Gateway) => ("outbound", address),
    };
    if address.contains(':') {
        format!("{direction}:[{address}]:{}", listener.port)
    } else {
        format!("{direction}:{address}:{}", listener.port)
    }
}

/// The resources of a proxy. `None`, with the reasons in `findings`, when the dataplane cannot be a proxy of this
/// shape.
pub(super) fn render(proxy: &Proxy, findings: &mut Vec<Diagnostic>) -> Option<Resources> {
    if proxy.is_gateway {
        let message =
            "the routes of a built-in gateway are compiled by a control plane only, so this proxy gets no files";
        let finding = Diagnostic::warning(Code::BuiltinGateway, &proxy.at, message).path("networking.gateway");
        findings.push(finding.help("`meshtraced compile` shows its tracing; a delegated gateway gets files"));
        return None;
    }
    check_addresses(proxy, findings);
    let mut clusters: BTreeMap<String, Value> = BTreeMap::new();
    let mut listeners = Vec::new();
    for collector in cluster::collectors(proxy) {
        clusters.insert(name_of(&collector), collector);
    }
    for listener in &proxy.listeners {
        let mut names = Vec::new();
        for upstream in &listener.upstreams {
            let endpoints = match listener.direction {
                Direction::Inbound => application(listener, &upstream.endpoints, findings),
                Direction::Outbound | Direction::Gateway => upstream.endpoints.clone(),
            };
            let name = cluster_name(listener, upstream, &endpoints, proxy);
            let cluster = cluster::upstream(&name, proxy.ipv6, &endpoints, upstream.protocol.is_http2());
            match clusters.get(&name) {
                Some(other) if *other != cluster => report_name_conflict(listener, &name, findings),
                Some(_) => {}
                None => {
                    clusters.insert(name.clone(), cluster);
                }
            }
            names.push((name, upstream.weight));
        }
        let total: u64 = names.iter().map(|(_, weight)| u64::from(*weight)).sum();
        if total > u64::from(u32::MAX) {
            let message = format!(
                "the weights of the routes for this outbound add up to {total}; Envoy takes 4294967295 at most"
            );
            let finding = Diagnostic::error(Code::InvalidValue, &listener.at, message).path(listener.path.as_str());
            findings.push(finding.help("write smaller weights in the same proportion"));
        }
        listeners.push(render_listener(proxy, listener, &names));
    }
    let clusters = clusters.into_values().collect();
    findings.is_empty().then_some(Resources { clusters, listeners })
}

fn check_addresses(proxy: &Proxy, findings: &mut Vec<Diagnostic>) {
    if let Some(at) = &proxy.transparent {
        let message = "only a control plane can assign the outbound addresses of a dataplane with transparent proxying, so this proxy gets no files";
        let finding = Diagnostic::warning(Code::TransparentProxyOutbounds, at, message);
        findings.push(
            finding
                .help("remove `transparentProxying` and list the `outbound` entries")
                .path("networking.transparentProxying"),
        );
    }
    let mut taken = BTreeSet::new();
    for listener in &proxy.listeners {
        if listener.ip().is_none() {
            let message = format!(
                "a listener needs an IP address to bind, and `{}` is a name, which only the callers of this proxy resolve",
                listener.address
            );
            let finding = Diagnostic::error(Code::InvalidAddress, &listener.at, message).path(listener.path.as_str());
            findings.push(finding.help("give the inbound an `address` of its own: the IP address to listen on"));
        }
        if !taken.insert((&listener.address, listener.port)) {
            let message = format!(
                "another listener of this dataplane also has {}",
                listener_name(listener)
            );
            let finding = Diagnostic::error(Code::ListenerConflict, &listener.at, message);
            let finding = finding.path(listener.path.as_str());
            findings.push(finding.help("give one of them another `port` or `address`"));
        }
    }
}

/// The endpoint of the application, which must differ from the listener of the proxy.
fn application(listener: &Listener, endpoints: &[Endpoint], findings: &mut Vec<Diagnostic>) -> Vec<Endpoint> {
    let is_itself = |endpoint: &&Endpoint| endpoint.host == listener.address && endpoint.port == listener.port;
    if !endpoints.iter().any(|endpoint| is_itself(&endpoint)) {
        return endpoints.to_vec();
    }
    let local = Endpoint {
        host: Ipv4Addr::LOCALHOST.to_string(),
        port: listener.port,
    };
    if is_itself(&&local) {
        let message = format!(
            "a sidecar would forward to itself: the application listens on {}:{}, too",
            listener.address, listener.port
        );
        let finding = Diagnostic::error(Code::ForwardsToItself, &listener.at, message);
        let finding = finding.path(listener.path.as_str());
        findings.push(finding.help("set the port of the application: `servicePort: 18080`"));
    }
    vec![local]
}

/// Kuma's name for the cluster of a listener.
///
/// Kuma names local clusters by their port only. When two inbounds lead to one port of different addresses,
/// the name has the address, too.
fn cluster_name(listener: &Listener, upstream: &Upstream, endpoints: &[Endpoint], proxy: &Proxy) -> String {
    let (Direction::Inbound, Some(endpoint)) = (listener.direction, endpoints.first()) else {
        return upstream.cluster.clone();
    };
    let inbounds = proxy
        .listeners
        .iter()
        .filter(|other| other.direction == Direction::Inbound);
    let mut others = inbounds
        .flat_map(Listener::endpoints)
        .filter(|other| other.port == endpoint.port);
    if others.any(|other| !upstream.endpoints.contains(other)) {
        format!("localhost:{}:{}", endpoint.host, endpoint.port)
    } else {
        upstream.cluster.clone()
    }
}

fn report_name_conflict(listener: &Listener, name: &str, findings: &mut Vec<Diagnostic>) {
    let message = format!("two clusters of this proxy would be named `{name}`");
    let finding = Diagnostic::error(Code::ListenerConflict, &listener.at, message);
    findings.push(finding.path(listener.path.as_str()).help("rename the service"));
}

fn name_of(cluster: &Value) -> String {
    cluster["name"].as_str().unwrap_or_default().to_owned()
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
