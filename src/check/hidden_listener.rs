//! `hidden-listener`: an inbound or outbound without a listener, because another one has its address and port.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::subject::about;
use crate::compilation::Lowered;
use crate::diag::{Code, Diagnostic, Diagnostics, Place, Severity};
use crate::ir::{Direction, Listener, Proxy};
use crate::kuma::Fidelity;
use crate::resource::kinds::dataplane::{Dataplane, SERVICELESS_PORT};
use crate::source::Location;

/// One finding per hidden entry. An error where the documentation is followed; Kuma itself says nothing, and requests
/// to the hidden service reach the other one.
pub(super) fn ask(each: &Lowered, diagnostics: &mut Diagnostics) {
    let severity = match each.kuma.fidelity {
        Fidelity::Documented => Severity::Error,
        Fidelity::Exact => Severity::Warning,
    };
    // Few dataplanes have two entries at one place, and only these can hide one another.
    let mut places: Vec<Bound> = entries(each.governed.dataplane)
        .filter_map(|entry| entry.place)
        .collect();
    places.sort_unstable();
    if places.windows(2).all(|pair| pair[0] != pair[1]) {
        return;
    }
    let listeners = listeners(each.proxy);
    for entry in entries(each.governed.dataplane) {
        let Some(other) = entry.place.and_then(|place| listeners.get(&place)) else {
            continue;
        };
        if *other == entry.path {
            continue;
        }
        let message = format!(
            "this {} has no listener, because `{other}` has its address and port",
            entry.noun
        );
        let place = Place::In(entry.at.clone());
        let diagnostic = Diagnostic::new(severity, Code::HiddenListener, place, message);
        let diagnostic = diagnostic
            .path(entry.path)
            .help("give one of them another `port` or `address`");
        diagnostics.push(about(&each.governed.dataplane.header, diagnostic));
    }
}

/// The direction, address and port of a listener.
type Bound = (Direction, IpAddr, u16);

/// The paths of the entries that have the listeners of a proxy.
fn listeners(proxy: &Proxy) -> BTreeMap<Bound, &str> {
    let bound = |listener: &Listener| Some((listener.direction, listener.ip()?, listener.port));
    let listeners = proxy.listeners.iter();
    listeners
        .filter_map(|listener| Some((bound(listener)?, listener.path.as_str())))
        .collect()
}

/// An inbound or outbound of a dataplane.
struct Entry<'a> {
    noun: &'static str,
    at: Location,
    path: &'a str,
    /// The place of the listener; `None` for a host name, which is not compared.
    place: Option<Bound>,
}

fn entries<'a>(dataplane: &'a Dataplane) -> impl Iterator<Item = Entry<'a>> {
    let own = dataplane.address.parse().ok();
    let inbounds = dataplane
        .inbounds
        .iter()
        .filter(|inbound| inbound.port != SERVICELESS_PORT);
    let inbounds = inbounds.map(move |inbound| {
        let ip = inbound
            .rare(|rare| rare.address.as_ref())
            .map(|address| address.ip)
            .or(own);
        Entry {
            noun: "inbound",
            at: dataplane.header.location(inbound.span),
            path: &inbound.path,
            place: ip.map(|ip| (Direction::Inbound, ip, inbound.port)),
        }
    });
    let outbounds = dataplane.outbounds.iter().map(|outbound| {
        let own = outbound.address.as_ref().map(|address| address.ip);
        let ip = own.unwrap_or(Ipv4Addr::LOCALHOST.into());
        Entry {
            noun: "outbound",
            at: dataplane.header.location(outbound.span),
            path: &outbound.path,
            place: Some((Direction::Outbound, ip, outbound.port)),
        }
    });
    inbounds.chain(outbounds)
}
