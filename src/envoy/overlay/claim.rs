//! Which entry of a dataplane each connection manager of an Envoy belongs to.

use std::collections::HashMap;

use super::listener::{BaseListener, Fit};
use crate::envoy::layout::listener_name;
use crate::envoy::shape::ListenerRule;
use crate::ir::{Direction, Listener, Proxy};
use crate::words;

/// The part of an Envoy that an entry of a dataplane may belong to: a listener by its index, and one of its managers;
/// `None` for a listener that has none.
pub(super) type Part = (usize, Option<usize>);

/// The entries of a dataplane, and the parts of its Envoy that belong to them.
pub(super) struct Claims<'p> {
    /// The entry of each claimed part.
    pub(super) parts: HashMap<Part, &'p Listener>,
    /// The entries that nothing belongs to.
    pub(super) unmatched: Vec<&'p Listener>,
}

impl<'p> Claims<'p> {
    /// The claims of the entries of a proxy: by address and port, then by name, then by the rules of the settings. Of two
    /// entries that claim one part the first has it.
    ///
    /// The cost grows with the entries times the listeners of one port, and with the rules times what neither address nor
    /// name tells.
    pub(super) fn of(proxy: &'p Proxy, listeners: &[BaseListener], rules: &[ListenerRule]) -> Self {
        let (mut by_port, mut by_name) = (HashMap::<u16, Vec<Part>>::new(), HashMap::<&str, Vec<Part>>::new());
        for (i, base) in listeners.iter().enumerate() {
            for part in parts(i, base) {
                let chain = part.1.and_then(|manager| base.managers[manager].address);
                let ports = base.addresses.iter().filter(|_| chain.is_none()).chain(&chain);
                ports.for_each(|address| by_port.entry(address.port).or_default().push(part));
                by_name.entry(base.name).or_default().push(part);
            }
        }
        let mut claims = Self {
            parts: HashMap::new(),
            unmatched: Vec::new(),
        };
        let mut open = Vec::new();
        for entry in &proxy.listeners {
            let at_port = by_port.get(&entry.port).into_iter().flatten().copied();
            let fits = at_port.filter_map(|part| Some((fit(listeners, part, entry)?, part)));
            let fits: Vec<(Fit, Part)> = fits.collect();
            let best = fits.iter().map(|(fit, _)| *fit).max();
            let mut found: Vec<Part> = fits
                .into_iter()
                .filter(|(fit, _)| Some(*fit) == best)
                .map(|(_, part)| part)
                .collect();
            if found.is_empty() {
                found = by_name.get(&*listener_name(entry)).cloned().unwrap_or_default();
            }
            if found.is_empty() {
                open.push(entry);
            }
            for part in found {
                claims.parts.entry(part).or_insert(entry);
            }
        }
        let unclaimed = listeners.iter().enumerate().flat_map(|(i, base)| parts(i, base));
        let unclaimed: Vec<Part> = unclaimed.filter(|part| !claims.parts.contains_key(part)).collect();
        for part in unclaimed {
            let of_rule = |entry: &&Listener| rules.iter().any(|rule| fits(rule, listeners[part.0].name, entry));
            if let Some(entry) = proxy.listeners.iter().find(of_rule) {
                claims.parts.insert(part, entry);
                open.retain(|other| !std::ptr::eq(*other, entry));
            }
        }
        claims.unmatched = open;
        claims
    }
}

/// The parts of a listener.
pub(super) fn parts(index: usize, base: &BaseListener) -> impl Iterator<Item = Part> + use<> {
    let managers = base.managers.len();
    let alone = (managers == 0).then_some((index, None));
    (0..managers).map(move |manager| (index, Some(manager))).chain(alone)
}

fn fit(listeners: &[BaseListener], (base, manager): Part, entry: &Listener) -> Option<Fit> {
    let base = &listeners[base];
    base.fit(
        manager.map(|manager| &base.managers[manager]),
        &entry.address,
        entry.port,
    )
}

/// Whether a rule gives the listeners of a name to an entry.
fn fits(rule: &ListenerRule, name: &str, entry: &Listener) -> bool {
    let is_entry = match entry.direction {
        Direction::Inbound | Direction::Gateway => rule.inbound == Some(entry.port),
        Direction::Outbound => rule.outbound.as_deref() == Some(&*entry.service),
    };
    is_entry && words::fits(&rule.name, name)
}
