//! Which entry of a dataplane each connection manager of an Envoy belongs to.

use std::collections::{HashMap, HashSet};

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
    pub(super) fn of(proxy: &'p Proxy, listeners: &[BaseListener], rules: &'p [ListenerRule]) -> Self {
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
        for (i, entry) in proxy.listeners.iter().enumerate() {
            let at_port = by_port.get(&entry.port).into_iter().flatten().copied();
            let fits = at_port.filter_map(|part| Some((fit(listeners, part, entry)?, part)));
            let fits: Vec<(Fit, Part)> = fits.collect();
            let best = fits.iter().map(|(fit, _)| *fit).max();
            let best = fits.into_iter().filter(|(fit, _)| Some(*fit) == best);
            let mut found: Vec<Part> = best.map(|(_, part)| part).collect();
            if found.is_empty() {
                found = by_name.get(&*listener_name(entry)).cloned().unwrap_or_default();
            }
            if found.is_empty() {
                open.push(i);
            }
            for part in found {
                claims.parts.entry(part).or_insert(entry);
            }
        }
        let by_rules = ByRules::of(proxy, rules);
        let mut given = HashSet::new();
        for part in listeners.iter().enumerate().flat_map(|(i, base)| parts(i, base)) {
            if claims.parts.contains_key(&part) {
                continue;
            }
            if let Some(i) = by_rules.entry(listeners[part.0].name) {
                claims.parts.insert(part, &proxy.listeners[i]);
                given.insert(i);
            }
        }
        let open = open.into_iter().filter(|i| !given.contains(i));
        claims.unmatched = open.map(|i| &proxy.listeners[i]).collect();
        claims
    }
}

/// The entries that rules name, by their indices.
struct ByRules<'p> {
    rules: &'p [ListenerRule],
    inbounds: HashMap<u16, usize>,
    outbounds: HashMap<&'p str, usize>,
}

impl<'p> ByRules<'p> {
    fn of(proxy: &'p Proxy, rules: &'p [ListenerRule]) -> Self {
        let mut by_rules = Self {
            rules,
            inbounds: HashMap::new(),
            outbounds: HashMap::new(),
        };
        // Of several outbounds to one service the first counts.
        for (i, entry) in proxy.listeners.iter().enumerate().rev() {
            match entry.direction {
                Direction::Inbound | Direction::Gateway => by_rules.inbounds.insert(entry.port, i),
                Direction::Outbound => by_rules.outbounds.insert(&entry.service, i),
            };
        }
        by_rules
    }

    /// The entry that the first rule for a name gives to the listeners of that name.
    fn entry(&self, name: &str) -> Option<usize> {
        let rule = self.rules.iter().find(|rule| words::fits(&rule.name, name))?;
        let inbound = rule.inbound.and_then(|port| self.inbounds.get(&port));
        let outbound = || self.outbounds.get(rule.outbound.as_deref()?);
        inbound.or_else(outbound).copied()
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
