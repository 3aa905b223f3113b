//! The differences between one tracing of a proxy and another.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::reason::{Reason, written_in};
use crate::envoy::effective::{Backend, EffectiveTracing, ListenerTracing, SETTINGS};
use crate::ir::{Proxy, Tracer};
use crate::resource::{Origin, Provenance};

/// One difference in tracing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Difference {
    /// The name of the property, such as `sampling`; empty for a statement about the proxy as a whole.
    pub label: String,
    /// The old value; `None` where only the new value says something.
    pub before: Option<String>,
    /// The new value.
    pub after: String,
    /// The resource and the place of the new value: `Mesh payments (mesh.yaml:9)`.
    pub origin: Option<String>,
    /// The form of a difference whose values are those of the single proxy, such as names of services. `None` where the
    /// values count.
    #[serde(skip)]
    pub(super) form: Option<&'static str>,
}

impl Difference {
    /// A new value, or with an empty label a statement about the proxy as a whole.
    pub(super) fn new(label: &str, after: impl Into<String>) -> Self {
        Self {
            label: label.to_owned(),
            before: None,
            after: after.into(),
            origin: None,
            form: None,
        }
    }

    fn instead_of(self, before: impl Into<String>) -> Self {
        Self {
            before: Some(before.into()),
            ..self
        }
    }

    fn written_in(self, origin: Option<&Origin>) -> Self {
        Self {
            origin: origin.map(written_in),
            ..self
        }
    }

    fn with_form(self, form: &'static str) -> Self {
        Self {
            form: Some(form),
            ..self
        }
    }
}

/// The differences of a proxy, and the resources that they come from.
#[derive(Debug)]
pub(super) struct Differences<'p> {
    /// The proxy as it is after the change, which knows the places of values.
    proxy: Option<&'p Proxy>,
    pub(super) all: Vec<Difference>,
    /// The changes of the backend and of the policy that chooses it.
    pub(super) of_tracer: Vec<Reason>,
    /// The changes of the dataplane and of its destinations.
    pub(super) of_dataplane: Vec<Reason>,
}

impl<'p> Differences<'p> {
    /// The differences between two tracings. The cost grows with the listeners.
    pub(super) fn between(old: &EffectiveTracing, new: &EffectiveTracing, proxy: Option<&'p Proxy>) -> Self {
        let mut found = Self {
            proxy,
            all: Vec::new(),
            of_tracer: Vec::new(),
            of_dataplane: Vec::new(),
        };
        found.backends(old.backend.as_ref(), new.backend.as_ref());
        found.listeners(&old.listeners, &new.listeners);
        if old.service != new.service {
            let renamed = Difference::new("service", &new.service).instead_of(&old.service);
            found.all.push(renamed.with_form("renamed"));
            found.blame_dataplane();
        }
        found
    }

    fn tracer(&self) -> Option<&'p Tracer> {
        self.proxy.and_then(|proxy| proxy.tracer.as_deref())
    }

    fn blame_tracer(&mut self, origin: Option<&Origin>) {
        let reason = origin
            .zip(self.proxy)
            .map(|(origin, proxy)| Reason::changed(origin, proxy));
        push_new(&mut self.of_tracer, reason);
    }

    fn blame_dataplane(&mut self) {
        push_new(&mut self.of_dataplane, self.proxy.map(Reason::dataplane_changed));
    }

    fn backends(&mut self, old: Option<&Backend>, new: Option<&Backend>) {
        let text = |backend: Option<&Backend>| backend.map_or("not traced".to_owned(), collector);
        let tracer = self.tracer();
        let of_collector = tracer.and_then(|tracer| Some(&tracer.export.as_ref()?.collector.origin));
        if text(old) != text(new) {
            // Another backend was chosen, or the same one leads elsewhere.
            let is_same = old.zip(new).is_some_and(|(old, new)| old.name.value == new.name.value);
            let chosen = tracer.map(|tracer| &tracer.backend.origin);
            let origin = if is_same { of_collector } else { chosen };
            let moved = Difference::new("collector", text(new)).instead_of(text(old));
            self.all.push(moved.written_in(origin));
            self.blame_tracer(origin);
        }
        let (Some(old), Some(new)) = (old, new) else { return };
        if sampling(old) != sampling(new) {
            let origin = tracer.and_then(|tracer| tracer.sampling.overall.source.origin());
            let changed = Difference::new("sampling", sampling(new)).instead_of(sampling(old));
            self.all.push(changed.written_in(origin));
            self.blame_tracer(origin.or(of_collector));
        }
        let keys: BTreeSet<&String> = old.options.keys().chain(new.options.keys()).collect();
        for key in keys {
            let [before, after] = [old, new].map(|backend| backend.options.get(key).map(|one| plain(&one.value)));
            // An option of one type of backend alone says nothing about the other.
            let is_comparable = (before.is_some() && after.is_some()) || old.kind == new.kind || is_general(key);
            if before != after && is_comparable {
                let [before, after] = [before, after].map(|value| value.unwrap_or_else(|| "none".to_owned()));
                self.all.push(Difference::new(key, after).instead_of(before));
                let of_settings = |backend: &Backend| backend.options.get(key).map(|one| one.from == SETTINGS);
                if of_settings(new).or_else(|| of_settings(old)) == Some(true) {
                    push_new(&mut self.of_tracer, Some(Reason::settings_changed()));
                    continue;
                }
                let tag = tracer.and_then(|tracer| tracer.tags.iter().find(|tag| is_key_of(key, &tag.name)));
                let origin = tag.and_then(|tag| tag.source.origin());
                self.blame_tracer(origin.or(of_collector));
            }
        }
    }

    fn listeners(&mut self, old: &[ListenerTracing], new: &[ListenerTracing]) {
        let by_address: BTreeMap<_, _> = old.iter().map(|listener| (address(listener), listener)).collect();
        let by_path: BTreeMap<_, _> = old.iter().map(|listener| (path(listener), listener)).collect();
        let addresses: BTreeSet<_> = new.iter().map(address).collect();
        let mut met = BTreeSet::new();
        for (index, listener) in new.iter().enumerate() {
            // One that has moved, unless another has its address now.
            let moved = || {
                by_path
                    .get(&path(listener))
                    .filter(|old| !addresses.contains(&address(old)))
            };
            let before = by_address.get(&address(listener)).or_else(moved).copied();
            met.extend(before.map(path));
            match before {
                Some(before) => self.listener(index, before, listener),
                None => {
                    let after = format!("{}, {}", listener.service, state(listener));
                    let comes = Difference::new(&label(listener), after).instead_of("not there");
                    self.all.push(comes.with_form("comes"));
                    self.blame_dataplane();
                }
            }
        }
        for listener in old.iter().filter(|listener| !met.contains(&path(listener))) {
            let goes = Difference::new(&label(listener), "gone").instead_of(&listener.service);
            self.all.push(goes.with_form("goes"));
            self.blame_dataplane();
        }
    }

    /// The differences of one listener, which is the one with this index.
    fn listener(&mut self, index: usize, old: &ListenerTracing, new: &ListenerTracing) {
        let label = label(new);
        if old.address != new.address {
            let moved = Difference::new(&label, &new.address).instead_of(&old.address);
            self.all.push(moved.with_form("moves"));
            self.blame_dataplane();
        }
        if old.service != new.service {
            let renamed = Difference::new(&label, &new.service).instead_of(&old.service);
            self.all.push(renamed.with_form("renamed"));
            self.blame_dataplane();
        }
        if state(old) == state(new) {
            return;
        }
        let form = match (old.reports_as.is_some(), new.reports_as.is_some()) {
            (false, true) => "traced now",
            (true, false) => "not traced now",
            (true, true) => "traced otherwise",
            (false, false) => "not traced otherwise",
        };
        let changed = Difference::new(&label, state(new)).instead_of(state(old));
        self.all.push(changed.with_form(form));
        let listener = self.proxy.and_then(|proxy| proxy.listeners.get(index));
        if let (true, Some(listener)) = (old.protocol.value != new.protocol.value, listener)
            && let Provenance::Written(origin) = &listener.protocol.source
        {
            let reason = self.proxy.map(|proxy| Reason::changed(origin, proxy));
            push_new(&mut self.of_dataplane, reason);
        }
    }
}

/// Adds a reason unless the list has one of its kind.
fn push_new(reasons: &mut Vec<Reason>, reason: Option<Reason>) {
    let is_new = |reason: &Reason| reasons.iter().all(|other| other.kind != reason.kind);
    if let Some(reason) = reason.filter(is_new) {
        reasons.push(reason);
    }
}

/// Whether an option exists for every type of backend.
fn is_general(key: &str) -> bool {
    key.starts_with("tag ")
        || matches!(
            key,
            "client" | "random" | "verifyCollector" | "headers" | "serviceName" | "requestId" | "untraced"
        )
}

/// Whether an option is the one for a tag.
fn is_key_of(key: &str, tag: &str) -> bool {
    key.strip_prefix("tag ") == Some(tag)
}

/// Type and name of a backend, one word where they are the same.
pub(super) fn named(backend: &Backend) -> String {
    let (kind, name) = (&backend.kind, &backend.name.value);
    if kind == name {
        kind.clone()
    } else {
        format!("{kind} {name}")
    }
}

/// The backend with the address of its collector, unless its name is its URL.
fn collector(backend: &Backend) -> String {
    let (named, authority) = (named(backend), &backend.collector.value);
    if named.contains(authority) {
        named
    } else {
        format!("{named} ({authority})")
    }
}

pub(super) fn sampling(backend: &Backend) -> String {
    format!("{} %", backend.sampling.value)
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn address(listener: &ListenerTracing) -> (&str, &str) {
    (&listener.direction, &listener.address)
}

fn path(listener: &ListenerTracing) -> (&str, &str) {
    (&listener.direction, &listener.path)
}

/// The name of a listener without the host, which differs from proxy to proxy.
fn label(listener: &ListenerTracing) -> String {
    let port = listener.address.rsplit(':').next().unwrap_or("");
    format!("{} {port}", listener.direction)
}

fn state(listener: &ListenerTracing) -> String {
    let protocol = &listener.protocol.value;
    match (&listener.reports_as, &listener.not_traced) {
        (Some(name), _) => format!("{protocol}, traced as `{name}`"),
        (None, Some(why)) => format!("{protocol}, not traced: {why}"),
        (None, None) => format!("{protocol}, not traced"),
    }
}
