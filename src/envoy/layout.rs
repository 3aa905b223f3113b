//! The resources of a proxy of shape `sidecar` before they are written: names, references, and the reasons why a
//! dataplane cannot be such a proxy.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use foldhash::HashMap;

use super::cluster;
use crate::diag::{Code, Diagnostic};
use crate::ir::{Destination, Direction, Endpoint, Export, Listener, ListenerNaming, Proxy, Upstream};

/// The resources of one proxy.
pub(super) struct Layout<'p> {
    /// The clusters by name.
    pub(super) clusters: BTreeMap<String, Cluster<'p>>,
    /// The listeners, inbounds first, with the clusters among which requests are split by weight. Without a cluster, a
    /// listener closes connections, as in Kuma.
    pub(super) listeners: Vec<(&'p Listener, Vec<(String, u32)>)>,
}

/// One cluster.
pub(super) enum Cluster<'p> {
    /// The cluster of a collector.
    Collector(&'p Export),
    /// The cluster of an application or of a service.
    Upstream {
        /// The endpoints, sorted.
        endpoints: Arc<[Endpoint]>,
        /// Whether some of the endpoints are host names, which Envoy must resolve.
        has_names: bool,
        /// Whether requests are sent over HTTP/2.
        http2: bool,
        /// The destination that gives name and endpoints, which other proxies may have too; `None` for an application.
        destination: Option<&'p Destination>,
    },
}

impl Cluster<'_> {
    /// Whether another cluster of the same name has the same content.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Collector(one), Self::Collector(other)) => one == other,
            (
                Self::Upstream { endpoints, http2, .. },
                Self::Upstream {
                    endpoints: others,
                    http2: other,
                    ..
                },
            ) => endpoints == others && http2 == other,
            (Self::Collector(_), Self::Upstream { .. }) | (Self::Upstream { .. }, Self::Collector(_)) => false,
        }
    }
}

/// The name of a listener in Kuma.
#[must_use]
pub fn listener_name(listener: &Listener) -> String {
    let (direction, address) = match (&listener.named, listener.direction) {
        (ListenerNaming::Section(section), _) => return format!("self_inbound_dp_{section}"),
        (ListenerNaming::Resource(name) | ListenerNaming::Gateway(name), _) => return name.to_string(),
        (ListenerNaming::Address(address), Direction::Inbound) => ("inbound", address),
        (ListenerNaming::Address(address), Direction::Outbound | Direction::Gateway) => ("outbound", address),
    };
    if address.contains(':') {
        format!("{direction}:[{address}]:{}", listener.port)
    } else {
        format!("{direction}:{address}:{}", listener.port)
    }
}

impl<'p> Layout<'p> {
    /// The layout of a proxy. `None`, with the reasons in `findings`, when the dataplane cannot be a proxy of this
    /// shape.
    pub(super) fn of(proxy: &'p Proxy, findings: &mut Vec<Diagnostic>) -> Option<Self> {
        if proxy.is_gateway {
            let message =
                "the routes of a built-in gateway are compiled by a control plane only, so this proxy gets no files";
            let finding = Diagnostic::warning(Code::BuiltinGateway, &proxy.at, message).path("networking.gateway");
            findings.push(finding.help("`meshtraced compile` shows its tracing; a delegated gateway gets files"));
            return None;
        }
        check_addresses(proxy, findings);
        let mut clusters: BTreeMap<String, Cluster> = BTreeMap::new();
        for export in cluster::exports(proxy) {
            clusters.insert(export.cluster_name.clone(), Cluster::Collector(export));
        }
        let ports = Ports::of(proxy);
        let mut listeners = Vec::with_capacity(proxy.listeners.len());
        for listener in &proxy.listeners {
            let mut names = Vec::with_capacity(listener.upstreams.len());
            for upstream in &listener.upstreams {
                let endpoints = match listener.direction {
                    Direction::Inbound => application(listener, &upstream.destination.endpoints, findings),
                    Direction::Outbound | Direction::Gateway => Arc::clone(&upstream.destination.endpoints),
                };
                let name = ports.cluster_name(listener, upstream, &endpoints);
                let http2 = upstream.protocol.is_http2();
                // In the place of its own endpoints stands one of this machine.
                let destination = &upstream.destination;
                let has_names = destination.has_names && Arc::ptr_eq(&endpoints, &destination.endpoints);
                let cluster = Cluster::Upstream {
                    endpoints,
                    has_names,
                    http2,
                    destination: (listener.direction != Direction::Inbound).then_some(&**destination),
                };
                match clusters.get(&name) {
                    Some(other) if !other.is_same(&cluster) => report_name_conflict(listener, &name, findings),
                    Some(_) => {}
                    None => drop(clusters.insert(name.clone(), cluster)),
                }
                names.push((name, upstream.weight));
            }
            check_weights(listener, &names, findings);
            listeners.push((listener, names));
        }
        if findings.is_empty() {
            check_names(proxy, findings);
        }
        findings.is_empty().then_some(Self { clusters, listeners })
    }
}

/// The endpoints of the applications by their ports: the only one, or `None` when there are several.
struct Ports<'p>(HashMap<u16, Option<&'p Endpoint>>);

impl<'p> Ports<'p> {
    fn of(proxy: &'p Proxy) -> Self {
        let mut ports: HashMap<u16, Option<&Endpoint>> = HashMap::default();
        let inbounds = proxy.listeners.iter();
        let inbounds = inbounds.filter(|listener| listener.direction == Direction::Inbound);
        for endpoint in inbounds.flat_map(Listener::endpoints) {
            let known = ports.entry(endpoint.port).or_insert(Some(endpoint));
            known.take_if(|known| *known != endpoint);
        }
        Self(ports)
    }

    /// Kuma's name for the cluster of a listener.
    ///
    /// Kuma names local clusters by their port only. When two inbounds lead to one port of different addresses,
    /// the name has the address, too.
    fn cluster_name(&self, listener: &Listener, upstream: &Upstream, endpoints: &[Endpoint]) -> String {
        match (listener.direction, endpoints.first()) {
            (Direction::Inbound, Some(endpoint)) if self.0.get(&endpoint.port) == Some(&None) => {
                format!("localhost:{}:{}", endpoint.host, endpoint.port)
            }
            _ => upstream.destination.cluster.clone(),
        }
    }
}

fn check_weights(listener: &Listener, clusters: &[(String, u32)], findings: &mut Vec<Diagnostic>) {
    let total: u64 = clusters.iter().map(|(_, weight)| u64::from(*weight)).sum();
    if total > u64::from(u32::MAX) {
        let message =
            format!("the weights of the routes for this outbound add up to {total}; Envoy takes 4294967295 at most");
        let finding = Diagnostic::error(Code::InvalidValue, &listener.at, message).path(listener.path.as_str());
        findings.push(finding.help("write smaller weights in the same proportion"));
    }
}

/// Reports listeners of one name as `dangling-reference`. Envoy's own validation misses them, and a running Envoy rejects
/// them (`tests/it/envoy_says/files.rs`).
fn check_names(proxy: &Proxy, findings: &mut Vec<Diagnostic>) {
    let mut seen = BTreeSet::new();
    for name in proxy.listeners.iter().map(listener_name) {
        if !seen.contains(&name) {
            seen.insert(name);
            continue;
        }
        let fault = format!("two listeners of this proxy would be named `{name}`");
        findings.push(Diagnostic::error(Code::DanglingReference, &proxy.at, fault));
    }
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
fn application(listener: &Listener, endpoints: &Arc<[Endpoint]>, findings: &mut Vec<Diagnostic>) -> Arc<[Endpoint]> {
    let is_itself = |endpoint: &&Endpoint| endpoint.host == listener.address && endpoint.port == listener.port;
    if !endpoints.iter().any(|endpoint| is_itself(&endpoint)) {
        return Arc::clone(endpoints);
    }
    let local = Endpoint {
        host: Ipv4Addr::LOCALHOST.to_string().into(),
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
    [local].into()
}

fn report_name_conflict(listener: &Listener, name: &str, findings: &mut Vec<Diagnostic>) {
    let message = format!("two clusters of this proxy would be named `{name}`");
    let finding = Diagnostic::error(Code::ListenerConflict, &listener.at, message);
    findings.push(finding.path(listener.path.as_str()).help("rename the service"));
}
