//! Lists of resources, as in exports of a control plane and of Kubernetes.

use crate::yaml::{Map, Node, Value};

/// The resources in a document: the document itself, or the items of a list.
pub(in crate::resource) fn resources<'a>(root: &'a Node<'a>) -> Vec<&'a Node<'a>> {
    match items(root) {
        Some(items) => items.iter().flat_map(resources).collect(),
        None => vec![root],
    }
}

/// The items of a document that is a list of resources.
fn items<'a>(root: &'a Node<'a>) -> Option<&'a [Node<'a>]> {
    let Value::Map(map) = &root.value else { return None };
    let Value::List(items) = &map.get("items")?.value.value else {
        return None;
    };
    // A list of Kubernetes has the kind `List`; one of a control plane's API has a `total`.
    let is_kubernetes = word(map, "kind").is_some_and(|kind| kind.ends_with("List"));
    let is_export = map
        .entries
        .iter()
        .all(|entry| matches!(&*entry.key.text, "items" | "total" | "next"));
    (is_kubernetes || is_export || items.iter().any(is_resource)).then_some(items)
}

fn is_resource(node: &Node) -> bool {
    let Value::Map(map) = &node.value else { return false };
    (word(map, "type").is_some() && word(map, "name").is_some()) || word(map, "apiVersion").is_some()
}

fn word<'a>(map: &'a Map<'a>, key: &str) -> Option<&'a str> {
    map.get(key)?.value.text()
}
