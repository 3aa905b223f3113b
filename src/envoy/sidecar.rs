//! Shape `sidecar`: a complete proxy from the dataplane alone.
//!
//! Inbound listeners lead to the local application, outbound listeners to the instances of a service. Names
//! of listeners and clusters are Kuma's. Streams have no timeout, and tracing is the only feature that is configured.

use std::borrow::Cow;

use foldhash::HashMap;
use serde::Serialize;
use serde_json::Value;

use super::cluster::{self, Address, ClusterMessage};
use super::layout::{Cluster, Layout, listener_name};
use super::shape::Shaped;
use super::tracing::{self, RequestIds, Tracing};
use super::untraced;
use super::xds;
use crate::ir::{Direction, Listener, Proxy};
use crate::yaml::write;

/// The clusters that were written for other proxies, by the addresses of their destinations in memory, whether IPv6 is used,
/// and whether HTTP/2 is. The destinations must outlive it.
pub(super) type Written = HashMap<(usize, bool, bool), String>;

/// Writes the clusters of a proxy, sorted by name. A destination that many proxies have is written once;
/// `directory` is that of the output.
pub(super) fn append_clusters(
    out: &mut String,
    written: &mut Written,
    (proxy, layout): (&Proxy, &Layout),
    directory: &str,
) {
    for (name, cluster) in &layout.clusters {
        let append = |out: &mut String, cluster: ClusterMessage| write::append(out, &[cluster.typed()]);
        match cluster {
            Cluster::Collector(export) => append(out, cluster::collector(proxy, export, directory)),
            Cluster::Upstream {
                endpoints,
                has_names,
                http2,
                destination,
            } => {
                let message = || cluster::upstream(name, proxy.ipv6, (endpoints, *has_names), *http2);
                let Some(destination) = destination else {
                    append(out, message());
                    continue;
                };
                let key = (std::ptr::from_ref(*destination).addr(), proxy.ipv6, *http2);
                let text = written.entry(key).or_insert_with(|| {
                    let mut text = String::new();
                    append(&mut text, message());
                    text
                });
                out.push_str(text);
            }
        }
    }
}

/// The listeners of a proxy: inbounds, then outbounds.
pub(super) fn listeners<'l>(shaped: &'l Shaped, layout: &'l Layout<'l>) -> Vec<ListenerMessage<'l>> {
    let listeners = layout.listeners.iter();
    listeners
        .map(|(listener, clusters)| ListenerMessage::of(shaped, listener, clusters))
        .collect()
}

/// The message of a listener whose requests are split among clusters by weight. Without a cluster, it closes connections, as
/// in Kuma.
#[derive(Serialize)]
pub(super) struct ListenerMessage<'l> {
    #[serde(rename = "@type")]
    type_url: &'static str,
    name: String,
    address: Address<'l>,
    filter_chains: [FilterChain<'l>; 1],
    traffic_direction: &'static str,
}

#[derive(Serialize)]
struct FilterChain<'l> {
    filters: Vec<Filter<'l>>,
}

/// A network filter, or the last filter for HTTP.
#[derive(Serialize)]
struct Filter<'l> {
    name: &'static str,
    typed_config: Config<'l>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Config<'l> {
    Http(Box<HttpConnectionManager<'l>>),
    Tcp(TcpProxy<'l>),
}

#[derive(Serialize)]
struct HttpConnectionManager<'l> {
    #[serde(rename = "@type")]
    type_url: &'static str,
    stat_prefix: Cow<'l, str>,
    route_config: RouteConfig<'l>,
    http_filters: [HttpFilter; 1],
    stream_idle_timeout: &'static str,
    #[serde(flatten)]
    request_ids: RequestIds,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracing: Option<Tracing<'l>>,
}

#[derive(Serialize)]
struct RouteConfig<'l> {
    name: String,
    virtual_hosts: [VirtualHost<'l>; 1],
}

#[derive(Serialize)]
struct VirtualHost<'l> {
    name: &'l str,
    domains: [&'static str; 1],
    routes: Vec<Route<'l>>,
}

#[derive(Serialize)]
struct Route<'l> {
    r#match: Match,
    route: RouteAction<'l>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracing: Option<Value>,
}

#[derive(Serialize)]
struct Match {
    prefix: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Value>,
}

#[derive(Clone, Serialize)]
struct RouteAction<'l> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weighted_clusters: Option<WeightedClusters<'l>>,
    timeout: &'static str,
}

#[derive(Serialize)]
struct HttpFilter {
    name: &'static str,
    typed_config: TypeAlone,
}

/// A message without fields.
#[derive(Serialize)]
struct TypeAlone {
    #[serde(rename = "@type")]
    type_url: &'static str,
}

#[derive(Serialize)]
struct TcpProxy<'l> {
    #[serde(rename = "@type")]
    type_url: &'static str,
    stat_prefix: Cow<'l, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weighted_clusters: Option<WeightedClusters<'l>>,
    idle_timeout: &'static str,
}

#[derive(Clone, Serialize)]
struct WeightedClusters<'l> {
    clusters: Vec<WeightedCluster<'l>>,
}

#[derive(Clone, Serialize)]
struct WeightedCluster<'l> {
    name: &'l str,
    weight: u32,
}

impl<'l> ListenerMessage<'l> {
    fn of(shaped: &'l Shaped, listener: &'l Listener, clusters: &'l [(String, u32)]) -> Self {
        let filter = clusters.first().map(|(first, _)| {
            if listener.protocol.value.is_http() {
                http_filter(shaped, listener, first, clusters)
            } else {
                tcp_filter(first, clusters)
            }
        });
        Self {
            type_url: "type.googleapis.com/envoy.config.listener.v3.Listener",
            name: listener_name(listener),
            address: Address::socket(&listener.address, listener.port),
            filter_chains: [FilterChain {
                filters: filter.into_iter().collect(),
            }],
            traffic_direction: match listener.direction {
                Direction::Inbound => "INBOUND",
                Direction::Outbound | Direction::Gateway => "OUTBOUND",
            },
        }
    }
}

fn http_filter<'l>(
    shaped: &'l Shaped,
    listener: &'l Listener,
    first: &'l str,
    clusters: &'l [(String, u32)],
) -> Filter<'l> {
    let (cluster, weighted_clusters) = cluster_specifier(clusters);
    let route = RouteAction {
        cluster,
        weighted_clusters,
        timeout: "0s",
    };
    let manager = HttpConnectionManager {
        type_url: xds::CONNECTION_MANAGER,
        stat_prefix: cluster::stat_name(first),
        route_config: RouteConfig {
            name: listener_name(listener),
            virtual_hosts: [VirtualHost {
                name: &listener.service,
                domains: ["*"],
                routes: routes(shaped, listener, route),
            }],
        },
        http_filters: [HttpFilter {
            name: "envoy.filters.http.router",
            typed_config: TypeAlone { type_url: xds::ROUTER },
        }],
        stream_idle_timeout: "0s",
        request_ids: tracing::request_ids(&shaped.proxy, listener, Some(shaped.sampling)),
        tracing: tracing::of_shape(shaped, listener),
    };
    Filter {
        name: "envoy.filters.network.http_connection_manager",
        typed_config: Config::Http(Box::new(manager)),
    }
}

/// The routes of a listener: one for all requests, after those for requests that are not traced.
fn routes<'l>(shaped: &'l Shaped, listener: &Listener, action: RouteAction<'l>) -> Vec<Route<'l>> {
    let is_traced = shaped.proxy.tracer.is_some() && listener.reports_as.is_some();
    let untraced = shaped.proxy.additions.untraced.iter().filter(|_| is_traced);
    let route = |headers: Vec<Value>, tracing: Option<Value>| Route {
        r#match: Match { prefix: "/", headers },
        route: action.clone(),
        tracing,
    };
    let untraced = untraced.map(|entry| route(untraced::header_matchers(entry), Some(untraced::nothing_sampled())));
    untraced.chain([route(Vec::new(), None)]).collect()
}

fn tcp_filter<'l>(first: &'l str, clusters: &'l [(String, u32)]) -> Filter<'l> {
    let (cluster, weighted_clusters) = cluster_specifier(clusters);
    Filter {
        name: "envoy.filters.network.tcp_proxy",
        typed_config: Config::Tcp(TcpProxy {
            type_url: "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            stat_prefix: cluster::stat_name(first),
            cluster,
            weighted_clusters,
            idle_timeout: "0s",
        }),
    }
}

/// The one cluster of a route or of a TCP proxy, or several by their weights.
fn cluster_specifier(clusters: &[(String, u32)]) -> (Option<&str>, Option<WeightedClusters<'_>>) {
    match clusters {
        [(name, _)] => (Some(name), None),
        several => {
            let entries = several
                .iter()
                .map(|(name, weight)| WeightedCluster { name, weight: *weight });
            let clusters = entries.collect();
            (None, Some(WeightedClusters { clusters }))
        }
    }
}
