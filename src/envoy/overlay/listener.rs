//! The listeners of an Envoy that somebody configured, with their connection managers.

use std::fmt;
use std::net::IpAddr;

use super::message::{Message, field, list, short, text, type_of};

/// A listener of a base file.
pub(super) struct BaseListener<'w, 't> {
    /// The index of its document.
    pub(super) document: usize,
    pub(super) message: Message<'w, 't>,
    pub(super) name: &'w str,
    /// The own address, and additional ones.
    pub(super) addresses: Vec<Address<'w>>,
    pub(super) managers: Vec<Manager<'w, 't>>,
    /// Whether a connection manager comes from elsewhere, by extension discovery.
    pub(super) has_remote_manager: bool,
}

/// An HTTP connection manager.
pub(super) struct Manager<'w, 't> {
    pub(super) message: Message<'w, 't>,
    /// The address that its filter chain is for, if the chain is for one alone.
    pub(super) address: Option<Address<'w>>,
}

/// An address and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address<'w> {
    /// The address; `None` for any.
    host: Option<&'w str>,
    pub(super) port: u16,
}

/// How well an address fits another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// The ports are the same, and one has any address.
    Port,
    /// Addresses and ports are the same.
    Exact,
}

impl Address<'_> {
    /// How well the address fits a bound one; `None` if it is another one.
    pub(super) fn fit(&self, host: &str, port: u16) -> Option<Fit> {
        if self.port != port {
            return None;
        }
        let ip = |text: &str| text.parse::<IpAddr>().ok();
        match self.host {
            None => Some(Fit::Port),
            Some(own) if own == host || ip(own).is_some_and(|own| ip(host) == Some(own)) => Some(Fit::Exact),
            Some(own) if ip(own).is_some_and(|own| own.is_unspecified()) => Some(Fit::Port),
            Some(_) if ip(host).is_some_and(|host| host.is_unspecified()) => Some(Fit::Port),
            Some(_) => None,
        }
    }
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
            None => write!(f, "port {}", self.port),
        }
    }
}

impl<'w, 't> BaseListener<'w, 't> {
    /// The listener that a message describes.
    pub(super) fn of(document: usize, message: Message<'w, 't>) -> Self {
        let additional = list(&message, "additional_addresses");
        let additional = additional.iter().filter_map(|one| socket(&field(one, "address")?));
        let own = field(&message, "address").and_then(|address| socket(&address));
        let mut listener = Self {
            document,
            name: text(&message, "name").unwrap_or_default(),
            addresses: own.into_iter().chain(additional).collect(),
            managers: Vec::new(),
            has_remote_manager: false,
            message,
        };
        let mut chains = list(&listener.message, "filter_chains");
        chains.extend(field(&listener.message, "default_filter_chain"));
        for chain in &chains {
            let address = destination(chain);
            for filter in list(chain, "filters") {
                listener.has_remote_manager |= is_remote_manager(&filter);
                let manager = field(&filter, "typed_config").and_then(|any| manager(&any));
                listener
                    .managers
                    .extend(manager.map(|message| Manager { message, address }));
            }
        }
        let api = field(&listener.message, "api_listener.api_listener").and_then(|any| manager(&any));
        listener
            .managers
            .extend(api.map(|message| Manager { message, address: None }));
        listener
    }

    /// How well the listener, or the filter chain of a manager, fits a bound address.
    pub(super) fn fit(&self, manager: Option<&Manager>, host: &str, port: u16) -> Option<Fit> {
        match manager.and_then(|manager| manager.address) {
            Some(destination) => destination.fit(host, port),
            None => self
                .addresses
                .iter()
                .filter_map(|address| address.fit(host, port))
                .max(),
        }
    }

    /// The name and the address for a person.
    pub(super) fn describe(&self) -> String {
        match (self.name, self.addresses.first()) {
            ("", Some(address)) => address.to_string(),
            ("", None) => "a listener without name and address".to_owned(),
            (name, Some(address)) => format!("`{name}` ({address})"),
            (name, None) => format!("`{name}`"),
        }
    }
}

fn socket<'w>(address: &Message<'w, '_>) -> Option<Address<'w>> {
    let socket = field(address, "socket_address")?;
    let port = text(&socket, "port_value")?.parse().ok()?;
    let host = text(&socket, "address");
    Some(Address { host, port })
}

/// The original destination that a filter chain is for.
fn destination<'w>(chain: &Message<'w, '_>) -> Option<Address<'w>> {
    let matched = field(chain, "filter_chain_match")?;
    let port = text(&matched, "destination_port")?.parse().ok()?;
    let ranges = list(&matched, "prefix_ranges");
    let host = match ranges.as_slice() {
        [one] if !matches!(text(one, "prefix_len"), None | Some("0")) => text(one, "address_prefix"),
        _ => None,
    };
    Some(Address { host, port })
}

/// The connection manager in an `Any`, which may be wrapped.
fn manager<'w, 't>(any: &Message<'w, 't>) -> Option<Message<'w, 't>> {
    const MANAGER: &str = "HttpConnectionManager";
    let found = match type_of(any) {
        MANAGER => Some(any.clone()),
        "EnvoyMobileHttpConnectionManager" => field(any, "config"),
        "TypedStruct" if text(any, "type_url").is_some_and(|url| short(url) == MANAGER) => field(any, "value"),
        _ => None,
    };
    found.filter(Message::is_map)
}

fn is_remote_manager(filter: &Message) -> bool {
    let types = list(filter, "config_discovery.type_urls");
    types
        .iter()
        .any(|url| url.text().is_some_and(|url| short(url) == "HttpConnectionManager"))
}
