//! The Dataplane that is proposed, with comments on what could not be told.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::json;

use super::existing::{Cluster, Direction, Existing, Listener};
use crate::words::plural;
use crate::yaml::write;

/// An address for documentation (RFC 5737), where a person has to write another one.
const PLACEHOLDER: &str = "192.0.2.1";

/// A Dataplane of a mesh for an Envoy; `name` is used if the Envoy has no id. Everything that is a guess, or that the
/// configuration does not tell, is said in a comment.
#[must_use]
pub fn propose(existing: &Existing, mesh: &str, name: &str) -> String {
    let Sorted {
        inbounds,
        outbounds,
        others,
    } = Sorted::of(existing);
    let mut out = Document::default();
    let own = inbounds
        .iter()
        .map(|(_, (host, _))| host)
        .find(|host| is_address_of_machine(host));
    head(&mut out, existing, mesh, name);
    out.open(0, "networking");
    if own.is_none() {
        out.comment(
            2,
            "No listener has an address of this machine: write the one by which others reach it.",
        );
    }
    let own = own.map_or(PLACEHOLDER, String::as_str);
    out.line(2, "address", own);
    if !inbounds.is_empty() {
        out.open(2, "inbound");
    }
    // Of several inbounds, each has a service of its own.
    let service = existing.service.as_deref().filter(|_| inbounds.len() == 1);
    for (listener, (host, port)) in &inbounds {
        inbound(&mut out, existing, listener, (host, *port), own);
        tags(&mut out, listener, service);
    }
    if !outbounds.is_empty() {
        out.open(2, "outbound");
    }
    for (listener, (host, port)) in &outbounds {
        outbound(&mut out, existing, listener, (host, *port));
    }
    for (listener, why) in &others {
        out.comment(2, &format!("{} {why}; it is left out.", named(listener)));
    }
    if inbounds.is_empty() {
        out.comment(
            2,
            "No listener receives requests for an application here: a Dataplane needs an inbound or a gateway.",
        );
    }
    out.text
}

/// The listeners of an Envoy by what they are to a Dataplane.
#[derive(Default)]
struct Sorted<'e> {
    inbounds: Vec<(&'e Listener, &'e (String, u16))>,
    outbounds: Vec<(&'e Listener, &'e (String, u16))>,
    /// Listeners that a Dataplane cannot say, with the reason.
    others: Vec<(&'e Listener, String)>,
}

impl<'e> Sorted<'e> {
    fn of(existing: &'e Existing) -> Self {
        let mut sorted = Self::default();
        for listener in &existing.listeners {
            let is_end = listener.clusters.is_empty() && listener.unknown.is_empty();
            match (&listener.address, direction(existing, listener)) {
                (Err(address), _) => sorted.others.push((listener, format!("has {address} for an address"))),
                (Ok(_), _) if is_end => sorted.others.push((listener, "sends requests nowhere".to_owned())),
                (Ok(address), Direction::Inbound) => sorted.inbounds.push((listener, address)),
                (Ok(address), Direction::Outbound) => sorted.outbounds.push((listener, address)),
            }
        }
        sorted
    }
}

/// The identity of the Dataplane.
fn head(out: &mut Document, existing: &Existing, mesh: &str, name: &str) {
    for elsewhere in &existing.elsewhere {
        out.comment(
            0,
            &format!("The Envoy gets {elsewhere}: name that file, too, if it is not among these."),
        );
    }
    let of_file = (name, "the name of the file");
    let (id, said) = existing.id.as_deref().map_or(of_file, |id| (id, "`node.id`"));
    out.line(0, "type", "Dataplane");
    out.line(0, "mesh", mesh);
    out.comment(0, &format!("From {said}."));
    out.line(0, "name", &resource_name(id));
}

fn inbound(out: &mut Document, existing: &Existing, listener: &Listener, (host, port): (&str, u16), own: &str) {
    remarks(out, listener);
    out.item(2, "port", &json!(port));
    if host != own && is_address_of_machine(host) {
        out.line(4, "address", host);
    }
    let clusters = || listener.clusters.iter().filter_map(|name| existing.clusters.get(name));
    let endpoints: BTreeSet<&(String, u16)> = clusters().flat_map(|cluster| &cluster.endpoints).collect();
    match endpoints.iter().collect::<Vec<_>>().as_slice() {
        [(host, port)] => {
            if !is_local(host) {
                out.line(4, "serviceAddress", host);
            }
            out.value(4, "servicePort", &json!(port));
        }
        [] if clusters().any(|cluster| cluster.has_pipe) => {
            out.comment(
                4,
                "The application listens on a socket file, which a Dataplane cannot say.",
            );
        }
        [] => out.comment(
            4,
            "Where the application listens is not in these files: write `servicePort`.",
        ),
        several => {
            let several = plural(several.len(), "address");
            out.comment(
                4,
                &format!("It sends requests to {several}; a Dataplane has one `servicePort`."),
            );
        }
    }
}

/// The tags of an inbound, with the service of the whole Envoy if there is one.
fn tags(out: &mut Document, listener: &Listener, service: Option<&str>) {
    let (service, said) = match (service, listener.clusters.first()) {
        (Some(service), _) => (service, "`node.cluster`"),
        (None, Some(cluster)) => (cluster.as_str(), "the name of its cluster"),
        (None, None) => (listener.name.as_str(), "the name of the listener"),
    };
    out.open(4, "tags");
    out.comment(
        6,
        &format!("From {said}: the name under which policies select it, and spans show it."),
    );
    out.line(6, "kuma.io/service", &service_name(service));
    out.line(6, "kuma.io/protocol", listener.protocol);
}

fn outbound(out: &mut Document, existing: &Existing, listener: &Listener, (host, port): (&str, u16)) {
    remarks(out, listener);
    out.item(2, "port", &json!(port));
    if host != "127.0.0.1" {
        out.line(4, "address", host);
    }
    out.open(4, "tags");
    let first = listener.clusters.first().unwrap_or(&listener.name);
    if listener.clusters.len() > 1 {
        let others = listener.clusters[1..].join(", ");
        out.comment(
            6,
            &format!("The first of its clusters, beside {others}. Routes stay with the Envoy."),
        );
    }
    out.line(6, "kuma.io/service", &service_name(first));
    let is_http2 = existing.clusters.get(first).is_some_and(|cluster| cluster.is_http2);
    let protocol = match listener.protocol {
        "http" if is_http2 => "http2",
        protocol => protocol,
    };
    out.comment(6, "Used while no Dataplane among the policies has this service.");
    out.line(6, "kuma.io/protocol", protocol);
}

/// The comments on a listener, before its entry.
fn remarks(out: &mut Document, listener: &Listener) {
    out.comment(2, &format!("{}.", named(listener)));
    for why in &listener.unknown {
        out.comment(2, &format!("There may be more destinations: {why}."));
    }
    if listener.is_mixed {
        out.comment(2, "Some of its filter chains do not speak HTTP, and are not traced.");
    }
    if listener.has_tls {
        out.comment(2, "It ends TLS, which stays with the Envoy.");
    }
    if listener.is_traced {
        out.comment(2, "It has `tracing` already.");
    }
    if listener.direction.is_none() {
        out.comment(
            2,
            "Its direction is a guess from its addresses: `traffic_direction` is not set.",
        );
    }
}

fn named(listener: &Listener) -> String {
    match listener.name.as_str() {
        "" => "A listener without a name".to_owned(),
        name => format!("Listener `{name}`"),
    }
}

/// The direction as it is written; else outbound if it receives requests from this machine alone, and has destinations
/// elsewhere.
fn direction(existing: &Existing, listener: &Listener) -> Direction {
    let is_private = listener.address.as_ref().is_ok_and(|(host, _)| is_local(host));
    let clusters = || listener.clusters.iter().filter_map(|name| existing.clusters.get(name));
    let is_here = |cluster: &Cluster| cluster.has_pipe || cluster.endpoints.iter().any(|(host, _)| is_local(host));
    listener.direction.unwrap_or(if is_private && !clusters().any(is_here) {
        Direction::Outbound
    } else {
        Direction::Inbound
    })
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Whether a host names this machine and no other: no wildcard, and no name.
fn is_address_of_machine(host: &str) -> bool {
    host.parse().is_ok_and(|ip: IpAddr| !ip.is_unspecified())
}

/// A text as the name of a resource: lower case letters, digits, `-` and `.`.
fn resource_name(text: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || c == '-' || c == '.' => c,
        _ => '-',
    };
    let name: String = text.chars().map(plain).collect();
    match name.trim_matches(['-', '.']) {
        "" => "envoy".to_owned(),
        name => name.chars().take(253).collect(),
    }
}

/// A text as the value of a tag.
fn service_name(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-._".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = text.chars().map(plain).collect();
    match name.trim_matches(['-', '.', '_']) {
        "" => "service".to_owned(),
        name => name
            .chars()
            .take(63)
            .collect::<String>()
            .trim_end_matches(['-', '.', '_'])
            .to_owned(),
    }
}

/// A document of YAML with comments, in block style.
#[derive(Default)]
struct Document {
    text: String,
}

impl Document {
    fn indented(&mut self, column: usize, line: &str) {
        self.text.push_str(&" ".repeat(column));
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn comment(&mut self, column: usize, text: &str) {
        for line in write::comment(text).lines() {
            self.indented(column, line);
        }
    }

    fn open(&mut self, column: usize, key: &str) {
        self.indented(column, &format!("{key}:"));
    }

    fn line(&mut self, column: usize, key: &str, value: &str) {
        self.value(column, key, &json!(value));
    }

    fn value(&mut self, column: usize, key: &str, value: &serde_json::Value) {
        self.indented(column, &write::write(&json!({key: value})));
    }

    /// The first line of an item.
    fn item(&mut self, column: usize, key: &str, value: &serde_json::Value) {
        self.indented(column, &write::write(&json!([{key: value}])));
    }
}
