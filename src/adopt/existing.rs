//! An Envoy configuration, as far as a Dataplane can say it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use thiserror::Error;

use super::fields::{at, field, list, text, type_of};
use crate::yaml::{self, Limits};

/// The listeners, clusters and node of an Envoy, from one or several of its files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Existing {
    /// `node.id`.
    pub(super) id: Option<String>,
    /// `node.cluster`.
    pub(super) service: Option<String>,
    pub(super) listeners: Vec<Listener>,
    pub(super) clusters: BTreeMap<String, Cluster>,
    /// The files and servers from which the Envoy gets more.
    pub(super) elsewhere: BTreeSet<String>,
}

/// A text that is no Envoy configuration.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NotEnvoy {
    /// The text is not one document of YAML or JSON.
    #[error("it is not one document of YAML or JSON")]
    Syntax,
    /// The document is none of the forms that hold listeners or clusters.
    #[error(
        "it has neither `static_resources` nor `dynamic_resources` nor `resources`, and is no list of listeners and clusters"
    )]
    Form,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listener {
    pub(super) name: String,
    /// Address and port; for any other kind of address its name.
    pub(super) address: Result<(String, u16), &'static str>,
    pub(super) direction: Option<Direction>,
    /// The protocol of the first connection manager, else `tcp`.
    pub(super) protocol: &'static str,
    /// Whether some of its filter chains speak HTTP, and others do not.
    pub(super) is_mixed: bool,
    /// Whether it ends TLS.
    pub(super) has_tls: bool,
    /// The names of clusters that it sends requests to, in the order of the routes.
    pub(super) clusters: Vec<String>,
    /// The reasons why it may have other destinations.
    pub(super) unknown: BTreeSet<String>,
    /// Whether a connection manager has tracing already.
    pub(super) is_traced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Inbound,
    Outbound,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Cluster {
    /// The endpoints that are written in it.
    pub(super) endpoints: Vec<(String, u16)>,
    /// Whether it has a socket file as endpoint, which is on the same machine.
    pub(super) has_pipe: bool,
    pub(super) is_http2: bool,
}

impl Existing {
    /// Adds what a file says: a bootstrap, a discovery response, or a list of listeners and clusters, in YAML or JSON.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn read(&mut self, file: &str) -> Result<(), NotEnvoy> {
        // Files of people are as large as policies may be.
        let whole = yaml::json::read_one(file, &Limits::default()).ok_or(NotEnvoy::Syntax)?;
        let is_bootstrap = ["static_resources", "dynamic_resources"]
            .iter()
            .any(|name| field(&whole, name).is_some());
        if is_bootstrap {
            self.id = text(&whole, "node.id").map(str::to_owned).or(self.id.take());
            self.service = text(&whole, "node.cluster").map(str::to_owned).or(self.service.take());
            list(&whole, "static_resources.listeners").for_each(|one| self.listeners.push(Listener::of(one)));
            list(&whole, "static_resources.clusters").for_each(|one| self.add_cluster(one));
            for (source, what) in [("cds_config", "clusters"), ("lds_config", "listeners")] {
                let source = at(&whole, "dynamic_resources").and_then(|dynamic| field(dynamic, source));
                self.elsewhere
                    .extend(source.map(|source| format!("{what} from {}", describe(source))));
            }
            return Ok(());
        }
        let resources: Vec<&Value> = match (&whole, field(&whole, "resources")) {
            (Value::Array(bare), _) => bare.iter().collect(),
            (_, Some(Value::Array(resources))) => resources.iter().collect(),
            (Value::Object(_), _) if matches!(type_of(&whole), "Listener" | "Cluster") => vec![&whole],
            _ => return Err(NotEnvoy::Form),
        };
        for resource in resources {
            match type_of(resource) {
                "Cluster" => self.add_cluster(resource),
                "Listener" => self.listeners.push(Listener::of(resource)),
                _ if field(resource, "filter_chains").is_some() => self.listeners.push(Listener::of(resource)),
                _ if field(resource, "load_assignment").is_some() => self.add_cluster(resource),
                _ => return Err(NotEnvoy::Form),
            }
        }
        Ok(())
    }

    fn add_cluster(&mut self, cluster: &Value) {
        let localities = list(cluster, "load_assignment.endpoints");
        let addresses = localities
            .flat_map(|locality| list(locality, "lb_endpoints"))
            .filter_map(|endpoint| at(endpoint, "endpoint.address"));
        let mut found = Cluster {
            is_http2: field(cluster, "http2_protocol_options").is_some() || speaks_http2(cluster),
            ..Cluster::default()
        };
        for address in addresses {
            found.endpoints.extend(socket(address));
            found.has_pipe |= field(address, "pipe").is_some();
        }
        let name = text(cluster, "name").unwrap_or_default().to_owned();
        self.clusters.insert(name, found);
    }
}

fn speaks_http2(cluster: &Value) -> bool {
    let options = field(cluster, "typed_extension_protocol_options").and_then(Value::as_object);
    let speaks = |options: &Value| at(options, "explicit_http_config.http2_protocol_options").is_some();
    options.into_iter().flat_map(|options| options.values()).any(speaks)
}

/// The place that a configuration source names.
fn describe(source: &Value) -> String {
    let path = text(source, "path_config_source.path").or_else(|| text(source, "path"));
    path.map_or_else(|| "a management server".to_owned(), str::to_owned)
}

fn socket(address: &Value) -> Option<(String, u16)> {
    let socket = field(address, "socket_address")?;
    let port = u16::try_from(field(socket, "port_value")?.as_u64()?).ok()?;
    Some((text(socket, "address")?.to_owned(), port))
}

impl Listener {
    fn of(message: &Value) -> Self {
        let address = field(message, "address").unwrap_or(&Value::Null);
        let other = || match address {
            address if field(address, "pipe").is_some() => "a socket file",
            address if field(address, "envoy_internal_address").is_some() => "an internal address",
            _ if field(message, "api_listener").is_some() => "an API listener",
            _ => "no port",
        };
        let direction = match text(message, "traffic_direction") {
            Some("INBOUND") => Some(Direction::Inbound),
            Some("OUTBOUND") => Some(Direction::Outbound),
            _ => None,
        };
        let mut listener = Self {
            name: text(message, "name").unwrap_or_default().to_owned(),
            address: socket(address).ok_or_else(other),
            direction,
            protocol: "tcp",
            is_mixed: false,
            has_tls: false,
            clusters: Vec::new(),
            unknown: BTreeSet::new(),
            is_traced: false,
        };
        let chains = list(message, "filter_chains").chain(field(message, "default_filter_chain"));
        let mut protocols = BTreeSet::new();
        for chain in chains {
            listener.has_tls |= field(chain, "transport_socket").is_some();
            let filters = list(chain, "filters").filter_map(|filter| field(filter, "typed_config"));
            protocols.extend(filters.filter_map(|filter| listener.add_filter(filter)));
        }
        let api = at(message, "api_listener.api_listener");
        protocols.extend(api.and_then(|filter| listener.add_filter(filter)));
        listener.is_mixed = protocols.len() > 1 && protocols.contains("tcp");
        // By their names gRPC comes first.
        let http = protocols.into_iter().find(|protocol| *protocol != "tcp");
        listener.protocol = http.unwrap_or("tcp");
        listener
    }

    /// Adds the destinations of a network filter. Returns its protocol, if it sends requests on.
    fn add_filter(&mut self, filter: &Value) -> Option<&'static str> {
        match type_of(filter) {
            "HttpConnectionManager" => {
                self.is_traced |= field(filter, "tracing").is_some();
                let mut is_grpc = false;
                for host in list(filter, "route_config.virtual_hosts") {
                    for route in list(host, "routes") {
                        is_grpc |= at(route, "match.grpc").is_some();
                        self.add_action(field(route, "route"));
                    }
                }
                if let Some(rds) = at(filter, "rds.config_source") {
                    self.unknown.insert(format!("its routes come from {}", describe(rds)));
                }
                if field(filter, "scoped_routes").is_some() {
                    self.unknown.insert("its routes are scoped".to_owned());
                }
                let filters = list(filter, "http_filters").filter_map(|filter| text(filter, "name"));
                is_grpc |= filters.into_iter().any(|name| name.contains("grpc"));
                Some(match text(filter, "codec_type") {
                    _ if is_grpc => "grpc",
                    Some("HTTP2") => "http2",
                    _ => "http",
                })
            }
            "TcpProxy" => {
                self.add_action(Some(filter));
                Some("tcp")
            }
            // Any other filter is before those, or ends connections itself.
            _ => None,
        }
    }

    /// Adds the clusters of a route or of a TCP proxy.
    fn add_action(&mut self, action: Option<&Value>) {
        let Some(action) = action else { return };
        let weighted = list(action, "weighted_clusters.clusters").filter_map(|one| text(one, "name"));
        for cluster in text(action, "cluster").into_iter().chain(weighted) {
            if !self.clusters.iter().any(|known| known == cluster) {
                self.clusters.push(cluster.to_owned());
            }
        }
        let by_request = [
            "cluster_header",
            "cluster_specifier_plugin",
            "inline_cluster_specifier_plugin",
        ];
        if let Some(by) = by_request.iter().find(|name| field(action, name).is_some()) {
            self.unknown.insert(format!("`{by}` chooses clusters by the request"));
        }
    }
}
