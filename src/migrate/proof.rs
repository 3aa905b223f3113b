//! The tracing of every proxy before and after, compared as Envoy gets it.
//!
//! The comparison knows nothing of how a migration was made: it takes the results of two compiles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::envoy::layout::listener_name;
use crate::envoy::{collector_clusters, tracing};
use crate::ir::{Direction, Listener, Provider, Proxy};

/// The proxies of two compiles, by how their tracing differs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proof {
    /// The number of proxies in each class.
    pub proxies: Counts,
    /// All differences, by mesh, dataplane and listener.
    pub differences: Vec<Difference>,
}

/// The number of proxies in each class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// Proxies whose tracing is the same.
    pub identical: usize,
    /// Proxies whose tracing differs in nothing that spans, collectors or requests show.
    pub equivalent: usize,
    /// Proxies whose tracing differs.
    pub different: usize,
}

/// The class of a difference, or of a proxy by the worst of its differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Nothing that spans, collectors or requests show.
    Equivalent,
    /// Anything else.
    Different,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// The mesh of the proxy.
    pub mesh: String,
    /// The name of the dataplane.
    pub dataplane: String,
    /// The weight of the difference.
    pub class: Class,
    /// Envoy's name of the listener before, or after where there was none; absent if the whole proxy is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// Envoy's name of the field.
    pub field: String,
    /// The value before, if any.
    pub before: Option<String>,
    /// The value after, if any.
    pub after: Option<String>,
    /// The cause of the difference, or the reason why it is harmless.
    pub reason: String,
}

/// The tracing of one listener, as Envoy gets it.
struct Traced {
    name: String,
    block: Value,
    /// The cluster of the collector.
    cluster: Option<Value>,
}

/// A listener by direction, address and port, whatever its name.
type Socket = (Direction, String, u16);

/// Compares the tracing of the proxies of two compiles.
///
/// The cost grows with the listeners of all proxies.
#[must_use]
pub fn compare(before: &[Arc<Proxy>], after: &[Arc<Proxy>]) -> Proof {
    let (before, after) = (by_key(before), by_key(after));
    let keys: BTreeSet<&(&str, &str)> = before.keys().chain(after.keys()).collect();
    let mut proof = Proof::default();
    for key in keys {
        let found = match (before.get(key), after.get(key)) {
            (Some(before), Some(after)) => of_proxy(before, after),
            (before, after) => missing(before.copied(), after.copied()),
        };
        match found.iter().map(|difference| difference.class).max() {
            None => proof.proxies.identical += 1,
            Some(Class::Equivalent) => proof.proxies.equivalent += 1,
            Some(Class::Different) => proof.proxies.different += 1,
        }
        proof.differences.extend(found);
    }
    proof
}

fn by_key(proxies: &[Arc<Proxy>]) -> BTreeMap<(&str, &str), &Proxy> {
    let proxies = proxies.iter().map(Arc::as_ref);
    proxies
        .map(|proxy| ((proxy.key.mesh.as_str(), proxy.key.dataplane.as_str()), proxy))
        .collect()
}

/// The difference of a proxy that only one side has.
fn missing(before: Option<&Proxy>, after: Option<&Proxy>) -> Vec<Difference> {
    let Some(proxy) = before.or(after) else {
        return Vec::new();
    };
    let word = |proxy: Option<&Proxy>| proxy.map(|proxy| format!("{} listeners", traced(proxy).len()));
    let reason = match before {
        Some(_) => "its Dataplane is no longer valid",
        None => "its Dataplane was not valid before",
    };
    vec![Noted { proxy, listener: None }.difference(Class::Different, "dataplane", [word(before), word(after)], reason)]
}

fn of_proxy(before: &Proxy, after: &Proxy) -> Vec<Difference> {
    let (old, new) = (traced(before), traced(after));
    let mut found = Vec::new();
    let sockets: BTreeSet<&Socket> = old.keys().chain(new.keys()).collect();
    for socket in sockets {
        match (old.get(socket), new.get(socket)) {
            (Some(old), Some(new)) => {
                let at = Noted {
                    proxy: before,
                    listener: Some(&old.name),
                };
                of_listener(at, old, new, &mut found);
            }
            (old, new) => {
                let listener = old.or(new).map(|traced| traced.name.as_str());
                let at = Noted {
                    proxy: before,
                    listener,
                };
                let word =
                    |traced: Option<&Traced>| Some(if traced.is_some() { "traced" } else { "not traced" }.to_owned());
                let reason = untraced_reason(if old.is_some() { after } else { before }, socket);
                found.push(at.difference(Class::Different, "tracing", [word(old), word(new)], &reason));
            }
        }
    }
    found.extend(of_service(before, after, old.is_empty()));
    let unused = [unused(before, &old), unused(after, &new)];
    if unused[0] != unused[1] {
        let values = unused.map(|names| Some(names).filter(|names| !names.is_empty()));
        let at = Noted {
            proxy: before,
            listener: None,
        };
        found.push(at.difference(Class::Equivalent, "cluster", values, "no listener refers to it"));
    }
    found
}

/// The difference of the service in the spans of Zipkin, which have it from the proxy rather than from the listener.
fn of_service(before: &Proxy, after: &Proxy, is_untraced: bool) -> Option<Difference> {
    let is_zipkin = |proxy: &Proxy| {
        let export = proxy.tracer.as_ref().and_then(|tracer| tracer.export.as_ref());
        export.is_some_and(|export| matches!(export.provider, Provider::Zipkin(_)))
    };
    let differs = before.node_cluster != after.node_cluster && !is_untraced && is_zipkin(before) && is_zipkin(after);
    let at = Noted {
        proxy: before,
        listener: None,
    };
    let values = [before, after].map(|proxy| Some(proxy.node_cluster.to_string()));
    let reason = "Zipkin spans have it as the name of their service";
    differs.then(|| at.difference(Class::Different, "node.cluster", values, reason))
}

/// The names of the collectors' clusters that no listener refers to.
fn unused(proxy: &Proxy, traced: &BTreeMap<Socket, Traced>) -> String {
    let used = traced
        .values()
        .filter_map(|traced| traced.cluster.as_ref()?.get("name")?.as_str());
    let used: BTreeSet<&str> = used.collect();
    let unused = clusters(proxy).into_keys().filter(|name| !used.contains(name.as_str()));
    unused.collect::<Vec<_>>().join(", ")
}

/// The traced listeners of a proxy.
fn traced(proxy: &Proxy) -> BTreeMap<Socket, Traced> {
    let clusters = clusters(proxy);
    let name = (proxy.tracer.as_ref()).and_then(|tracer| Some(tracer.export.as_ref()?.cluster_name.as_str()));
    let cluster = name.and_then(|name| clusters.get(name));
    let traced = proxy.traced().filter_map(|listener| {
        let block = serde_json::to_value(tracing::block(proxy, listener)?).ok()?;
        let traced = Traced {
            name: listener_name(listener),
            block,
            cluster: cluster.cloned(),
        };
        Some((socket(listener), traced))
    });
    traced.collect()
}

fn clusters(proxy: &Proxy) -> BTreeMap<String, Value> {
    let messages = collector_clusters(proxy, ".");
    let values = messages.iter().filter_map(|message| serde_json::to_value(message).ok());
    values
        .filter_map(|value| Some((value.get("name")?.as_str()?.to_owned(), value)))
        .collect()
}

fn socket(listener: &Listener) -> Socket {
    (listener.direction, listener.address.to_string(), listener.port)
}

fn untraced_reason(proxy: &Proxy, at: &Socket) -> String {
    let listener = proxy.listeners.iter().find(|listener| socket(listener) == *at);
    match listener {
        None => "there is no such listener: its destination is not known".to_owned(),
        Some(listener) => {
            let known = listener.untraced_reason.as_deref();
            known.unwrap_or("no policy with a backend is for the proxy").to_owned()
        }
    }
}

/// The proxy and the listener that a difference is about.
#[derive(Clone, Copy)]
struct Noted<'p> {
    proxy: &'p Proxy,
    listener: Option<&'p str>,
}

impl Noted<'_> {
    fn difference(&self, class: Class, field: &str, [before, after]: [Option<String>; 2], reason: &str) -> Difference {
        Difference {
            mesh: self.proxy.key.mesh.clone(),
            dataplane: self.proxy.key.dataplane.clone(),
            class,
            listener: self.listener.map(str::to_owned),
            field: field.to_owned(),
            before,
            after,
            reason: reason.to_owned(),
        }
    }
}

fn of_listener(at: Noted, old: &Traced, new: &Traced, found: &mut Vec<Difference>) {
    if old.name != new.name {
        let values = [Some(old.name.clone()), Some(new.name.clone())];
        found.push(at.difference(Class::Equivalent, "name", values, "the name of the listener"));
    }
    let cluster_name =
        |traced: &Traced| -> Option<String> { Some(traced.cluster.as_ref()?.get("name")?.as_str()?.to_owned()) };
    let names = [cluster_name(old), cluster_name(new)];
    if names[0] != names[1] {
        let class = if names.iter().all(Option::is_some) {
            Class::Equivalent
        } else {
            Class::Different
        };
        found.push(at.difference(class, "cluster", names.clone(), "the name of the collector's cluster"));
    }
    let is_name = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| names.iter().flatten().any(|name| name == text))
    };
    let empty = Value::Null;
    let [old_cluster, new_cluster] = [old, new].map(|traced| traced.cluster.as_ref().unwrap_or(&empty));
    for (prefix, old, new) in [
        ("tracing", &old.block, &new.block),
        ("cluster", old_cluster, new_cluster),
    ] {
        let [old, new] = [old, new].map(|value| {
            let mut leaves = BTreeMap::new();
            flatten(value, &mut String::new(), &mut leaves);
            leaves
        });
        let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for path in paths {
            let values = [old.get(path), new.get(path)];
            let is_reference = values.iter().all(|value| value.is_none_or(is_name)) && is_name_of_cluster(path);
            if values[0] == values[1] || is_reference {
                continue;
            }
            let (class, reason) = judge(path, values);
            let values =
                values.map(|value| value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
            found.push(at.difference(class, &format!("{prefix}.{path}"), values, reason));
        }
    }
}

/// The fields whose value is the name of the collector's cluster, or follows from it.
fn is_name_of_cluster(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or_default();
    matches!(last, "name" | "cluster_name" | "collector_cluster" | "cluster")
}

/// The class of a field that differs, with the reason.
fn judge(path: &str, [before, after]: [Option<&Value>; 2]) -> (Class, &'static str) {
    let is_default = |default: Value| {
        let is_it = |value: Option<&Value>| value.is_none_or(|value| *value == default);
        is_it(before) && is_it(after)
    };
    let last = path.rsplit('.').next().unwrap_or_default();
    match last {
        "alt_stat_name" => (Class::Equivalent, "follows from the name of the cluster"),
        "shared_span_context" if is_default(Value::Bool(true)) => (Class::Equivalent, "Envoy's default, written out"),
        "value" if is_sampling(path) && is_default(Value::from(100)) => {
            (Class::Equivalent, "Envoy's default, written out")
        }
        "track_remaining" if before.is_none() => (
            Class::Equivalent,
            "Kuma sets it from 2.14 on; it counts what is left, and limits nothing",
        ),
        // Envoy splits the spans if either is set.
        "split_spans_for_request" if before.is_none() => (
            Class::Equivalent,
            "`spawn_upstream_span`, which is set, has the same effect",
        ),
        _ if path.starts_with(TAG) && before.is_none() && is_added_by_kuma(path) => {
            (Class::Equivalent, "a tag that Kuma adds to the spans from 2.14 on")
        }
        "service_name" => (Class::Different, "the name of the service in the spans"),
        _ => (Class::Different, "what Envoy does changes"),
    }
}

fn is_sampling(path: &str) -> bool {
    ["overall_sampling", "client_sampling", "random_sampling"]
        .iter()
        .any(|field| path.starts_with(field))
}

/// The beginning of the path of a custom tag.
const TAG: &str = "custom_tags[";

fn is_added_by_kuma(path: &str) -> bool {
    ["kuma.mesh]", "kuma.zone]", "kuma.workload]"]
        .iter()
        .any(|tag| path[TAG.len()..].starts_with(tag))
}

/// The scalars of a value, by their paths. A custom tag is named by its tag, which is unique in a block or counts once.
fn flatten(value: &Value, path: &mut String, leaves: &mut BTreeMap<String, Value>) {
    let length = path.len();
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                if length > 0 {
                    path.push('.');
                }
                path.push_str(key);
                flatten(value, path, leaves);
                path.truncate(length);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                let tag = item.get("tag").and_then(Value::as_str);
                path.push_str(&tag.map_or_else(|| format!("[{i}]"), |tag| format!("[{tag}]")));
                match tag.and_then(|_| leaves.get(path)) {
                    // Of two tags with one name, both count.
                    Some(first) => drop(leaves.insert(path.clone(), json!([first, item]))),
                    None if tag.is_some() => drop(leaves.insert(path.clone(), item.clone())),
                    None => flatten(item, path, leaves),
                }
                path.truncate(length);
            }
        }
        Value::Null => {}
        scalar => {
            leaves.insert(path.clone(), scalar.clone());
        }
    }
}
