//! Documents in the form of Kuma before 0.7, which later versions do not read, in the form of today.

use serde_json::{Value, json};

use super::edits::Changes;
use super::segment::ResourceChange;
use crate::diag::Diagnostics;
use crate::source::{Snapshot, SourceFile};
use crate::yaml::edit::Edit;
use crate::yaml::read::Prepared;
use crate::yaml::{Limits, Map, Node, Value as Yaml, json as yaml_json};

/// The changes of all documents in an old form, and their number.
pub(super) fn changes(snapshot: &Snapshot, limits: &Limits) -> (Changes, usize) {
    let mut converted = Converted::default();
    for file in snapshot.files.iter().filter(|file| mentions_old_form(&file.text())) {
        converted.file(file, limits, Converted::endpoints);
    }
    // Selectors name tags as dataplanes do.
    if converted.has_old_tags {
        for file in &snapshot.files {
            converted.file(file, limits, Converted::selectors);
        }
    }
    (converted.changes, converted.count)
}

/// Whether a text may have a document in an old form, which is cheaper to ask than to read it.
fn mentions_old_form(text: &str) -> bool {
    ["interface", "zipkin", "service"].iter().any(|key| {
        let quoted = [format!("{key}:"), format!("{key}\":")];
        quoted.iter().any(|key| {
            text.match_indices(key.as_str())
                .any(|(at, _)| !text[..at].ends_with('/'))
        })
    })
}

/// The tags of before 0.7, each with that of today.
const TAGS: [(&str, &str); 3] = [
    ("service", "kuma.io/service"),
    ("protocol", "kuma.io/protocol"),
    ("zone", "kuma.io/zone"),
];

#[derive(Default)]
struct Converted {
    changes: Changes,
    /// The number of documents.
    count: usize,
    /// Whether a dataplane has tags of before 0.7.
    has_old_tags: bool,
}

/// A step that adds the edits of one resource of a kind.
type Step = fn(&mut Converted, &str, &Map, &mut ResourceChange);

impl Converted {
    fn file(&mut self, file: &std::sync::Arc<SourceFile>, limits: &Limits, step: Step) {
        let prepared = Prepared::new(file);
        let stream = prepared.read(limits, &mut Diagnostics::default());
        for document in &stream.documents {
            self.resources(&file.path, &document.root, step);
        }
    }

    fn resources(&mut self, path: &str, root: &Node, step: Step) {
        let Some(map) = root.map() else { return };
        if let Some(Yaml::List(items)) = map.get("items").map(|entry| &entry.value.value) {
            items.iter().for_each(|item| self.resources(path, item, step));
        }
        let Some(kind) = map.get("type").or_else(|| map.get("kind")) else {
            return;
        };
        let mut change = ResourceChange::default();
        step(self, kind.value.text().unwrap_or_default(), map, &mut change);
        if !change.edits.is_empty() {
            self.count += 1;
            self.changes
                .at(path, kind.value.at.bytes().start)
                .edits
                .extend(change.edits);
        }
    }

    /// The entries of dataplanes and the backends of meshes.
    fn endpoints(&mut self, kind: &str, fields: &Map, change: &mut ResourceChange) {
        let (spec, fields) = match fields.get("spec").and_then(|spec| spec.value.map()) {
            Some(spec) => (Some("spec"), spec),
            None => (None, fields),
        };
        let place = |keys: [&str; 2], index: usize| -> Vec<String> {
            let keys = spec.into_iter().chain(keys).map(str::to_owned);
            keys.chain([index.to_string()]).collect()
        };
        let items = |outer: &str, inner: &str| -> Vec<&Node> {
            let list = fields.get(outer).and_then(|outer| outer.value.map()?.get(inner));
            match list.map(|entry| &entry.value.value) {
                Some(Yaml::List(items)) => items.iter().collect(),
                _ => Vec::new(),
            }
        };
        match kind {
            "Dataplane" => {
                let has_address = fields
                    .get("networking")
                    .and_then(|all| all.value.map()?.get("address"))
                    .is_some();
                let own = items("networking", "inbound").into_iter().find_map(|node| {
                    let interface = node.map()?.get("interface")?.value.text()?;
                    parts(interface)?.0
                });
                let own = own.filter(|_| !has_address);
                if let Some(address) = &own {
                    let set = Edit::set("address", json!(address), "");
                    let networking = spec.into_iter().chain(["networking"]).map(str::to_owned);
                    change.edits.push((networking.collect(), set));
                }
                for (i, node) in items("networking", "inbound").into_iter().enumerate() {
                    self.inbound(place(["networking", "inbound"], i), node, own.as_deref(), change);
                }
                for (i, node) in items("networking", "outbound").into_iter().enumerate() {
                    outbound(place(["networking", "outbound"], i), node, change);
                }
            }
            "Mesh" => {
                for (i, node) in items("tracing", "backends").into_iter().enumerate() {
                    backend(place(["tracing", "backends"], i), node, change);
                }
            }
            _ => {}
        }
    }

    /// An inbound of a dataplane with the address `own`.
    fn inbound(&mut self, place: Vec<String>, node: &Node, own: Option<&str>, change: &mut ResourceChange) {
        let Some(fields) = node.map() else { return };
        interface(&place, fields, own, change);
        let tags = fields.get("tags").and_then(|tags| tags.value.map());
        if let Some(tags) = tags.filter(|tags| tags.get("service").is_some() && tags.get("kuma.io/service").is_none()) {
            self.has_old_tags = true;
            renamed(tags, [place, vec!["tags".to_owned()]].concat(), change);
        }
    }

    /// The tags in the selectors and destinations of policies.
    fn selectors(&mut self, kind: &str, fields: &Map, change: &mut ResourceChange) {
        if !matches!(kind, "TrafficTrace" | "TrafficRoute") {
            return;
        }
        let (mut place, fields) = match fields.get("spec").and_then(|spec| spec.value.map()) {
            Some(spec) => (vec!["spec".to_owned()], spec),
            None => (Vec::new(), fields),
        };
        for list in ["selectors", "sources", "destinations", "conf"] {
            if let Some(entry) = fields.get(list) {
                place.push(list.to_owned());
                in_all(&entry.value, &mut place, change);
                place.pop();
            }
        }
    }
}

/// Renames the tags in all mappings below a node that are those of a selector or of a destination.
fn in_all(node: &Node, place: &mut Vec<String>, change: &mut ResourceChange) {
    let parts: Vec<(String, &Node)> = match &node.value {
        Yaml::List(items) => items
            .iter()
            .enumerate()
            .map(|(i, item)| (i.to_string(), item))
            .collect(),
        Yaml::Map(map) => map
            .entries
            .iter()
            .map(|entry| (entry.key.text.to_string(), &entry.value))
            .collect(),
        Yaml::Scalar(_) => Vec::new(),
    };
    for (key, node) in parts {
        place.push(key);
        let is_tags = matches!(place.last().map(String::as_str), Some("match" | "destination"));
        match node.map().filter(|_| is_tags) {
            Some(tags) if tags.get("service").is_some() && tags.get("kuma.io/service").is_none() => {
                renamed(tags, place.clone(), change);
            }
            _ => in_all(node, place, change),
        }
        place.pop();
    }
}

fn renamed(tags: &Map, place: Vec<String>, change: &mut ResourceChange) {
    for (old, new) in TAGS {
        if let Some(entry) = tags.get(old).filter(|_| tags.get(new).is_none()) {
            let replace = Edit::Replace {
                keys: vec![old],
                with: new.to_owned(),
                value: yaml_json::of(&entry.value),
            };
            change.edits.push((place.clone(), replace));
        }
    }
}

/// `interface: [ADDRESS:]PORT[:APPLICATION PORT]` as the fields of today, without an address that is the dataplane's `own`.
fn interface(place: &[String], fields: &Map, own: Option<&str>, change: &mut ResourceChange) {
    let Some((address, port, application)) = fields.get("interface").and_then(|entry| parts(entry.value.text()?))
    else {
        return;
    };
    let replace = Edit::Replace {
        keys: vec!["interface"],
        with: "port".to_owned(),
        value: json!(port),
    };
    change.edits.push((place.to_vec(), replace));
    let others = [
        (
            "address",
            address.filter(|address| own != Some(address)).map(Value::from),
        ),
        ("servicePort", application.map(Value::from)),
    ];
    for (key, value) in others.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        change.edits.push((place.to_vec(), Edit::set(key, value, "interface")));
    }
}

/// Address, port and port of the application of an interface.
fn parts(interface: &str) -> Option<(Option<String>, u16, Option<u16>)> {
    let (address, ports) = match interface.rfind(']') {
        Some(end) => (
            interface[..end].trim_start_matches('[').to_owned(),
            interface[end + 1..].trim_start_matches(':'),
        ),
        None => {
            let first = interface.split(':').next().unwrap_or_default();
            match first.parse::<u16>() {
                Ok(_) => (String::new(), interface),
                Err(_) => (first.to_owned(), interface[first.len()..].trim_start_matches(':')),
            }
        }
    };
    let mut ports = ports.split(':').map(|port| port.parse::<u16>().ok());
    let port = ports.next()??;
    let application = ports.next().flatten();
    Some((Some(address).filter(|address| !address.is_empty()), port, application))
}

fn outbound(place: Vec<String>, node: &Node, change: &mut ResourceChange) {
    let Some(fields) = node.map() else { return };
    interface(&place, fields, None, change);
    if let Some(service) = fields.get("service").filter(|_| fields.get("tags").is_none()) {
        let replace = Edit::Replace {
            keys: vec!["service"],
            with: "tags".to_owned(),
            value: json!({"kuma.io/service": yaml_json::of(&service.value)}),
        };
        change.edits.push((place, replace));
    }
}

/// `zipkin` beside the name of a backend as `type` and `conf`.
fn backend(place: Vec<String>, node: &Node, change: &mut ResourceChange) {
    let Some(zipkin) = node.map().and_then(|fields| fields.get("zipkin")) else {
        return;
    };
    let replace = Edit::Replace {
        keys: vec!["zipkin"],
        with: "conf".to_owned(),
        value: yaml_json::of(&zipkin.value),
    };
    change.edits.push((place.clone(), replace));
    change.edits.push((place, Edit::set("type", json!("zipkin"), "name")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_an_address_and_ports() {
        let check = |text: &str, address: Option<&str>, port: u16, application: Option<u16>| {
            assert_eq!(
                parts(text),
                Some((address.map(str::to_owned), port, application)),
                "{text}"
            );
        };
        check("192.168.0.1:80:8080", Some("192.168.0.1"), 80, Some(8080));
        check("192.168.0.1:80", Some("192.168.0.1"), 80, None);
        check(":9001", None, 9001, None);
        check("9001", None, 9001, None);
        check("[fd00::1]:80:8080", Some("fd00::1"), 80, Some(8080));
        assert_eq!(parts("web"), None);
    }
}
