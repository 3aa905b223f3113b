//! The file form of a discovery response.

use std::collections::BTreeMap;

use foldhash::HashSet;
use serde::Serialize;
use serde_json::{Value, json};

use crate::source::{Opened, SourceFile};
use crate::yaml::edit::{self, Edit, EditError};
use crate::yaml::written::{Way, Written};
use crate::yaml::{Limits, json as yaml_json, write};

/// The type URL of a connection manager.
pub(super) const CONNECTION_MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// The type URL of the filter that sends requests to clusters.
pub(super) const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";

/// Writes an xDS file with the given resources.
pub fn append_response<T: Serialize>(out: &mut String, resources: &[T]) {
    append_items(out, |out| {
        if !resources.is_empty() {
            write::append(out, resources);
        }
    });
}

/// The beginning of the first line.
const VERSION: &str = "version_info: ";

/// Writes an xDS file of whose resources each is written by `items`, as an item of a list without indentation.
///
/// `version_info` is a hash of the resources, so that an ack of the version is an ack of the content.
pub fn append_items(out: &mut String, items: impl FnOnce(&mut String)) {
    let line = |hash: &str| format!("{VERSION}r-{hash}\n");
    // The hash is known after what it is of, and always as long.
    let start = out.len();
    out.push_str(&line("0000000000000000"));
    let content = out.len();
    out.push_str("resources:\n");
    let list = out.len();
    items(out);
    if out.len() == list {
        out.truncate(content);
        out.push_str("resources: []\n");
    }
    let hash = blake3::hash(&out.as_bytes()[content..]).to_hex();
    out.replace_range(start..content, &line(&hash[..16]));
}

/// The text that [`append_response`] writes.
#[must_use]
pub fn response<T: Serialize>(resources: &[T]) -> String {
    let mut text = String::new();
    append_response(&mut text, resources);
    text
}

/// The name of the runtime layer that has the sampling.
pub(super) const RUNTIME: &str = "meshtraced";

/// The text of `xds/rtds.yaml` with some values of the runtime.
pub(super) fn runtime(layer: &Value) -> String {
    response(&[json!({
        "@type": "type.googleapis.com/envoy.service.runtime.v3.Runtime",
        "name": RUNTIME,
        "layer": layer,
    })])
}

/// The text of `xds/rtds.yaml` that changes nothing.
#[must_use]
pub fn empty_runtime() -> String {
    runtime(&json!({}))
}

/// The text of a discovery response that somebody wrote, with edits. Its `version_info` becomes a hash of the content.
///
/// # Errors
/// When the text cannot be edited.
pub fn edited(written: &Written, edits: &[(Way, Edit)], limits: &Limits) -> Result<String, EditError> {
    let top = written.top();
    let key = ["versionInfo", "version_info"]
        .into_iter()
        .find(|key| top.get(key).is_some());
    let with = |version: &str| {
        let set = Edit::set(key.unwrap_or("version_info"), json!(version), "");
        let edits: Vec<_> = edits.iter().cloned().chain([(top.way().clone(), set)]).collect();
        edit::apply(written, &edits, limits)
    };
    with(&versioned(&with(UNVERSIONED)?))
}

/// The version of a content in which no version stands yet.
pub(super) const UNVERSIONED: &str = "r-0000000000000000";

/// The `version_info` for a text that has [`UNVERSIONED`] in its place.
pub(super) fn versioned(unversioned: &str) -> String {
    let hash = blake3::hash(unversioned.as_bytes()).to_hex();
    format!("r-{}", &hash[..16])
}

/// The `version_info` of a discovery response; `None` without one.
#[must_use]
pub fn version(text: &str) -> Option<String> {
    let line = text.lines().next()?;
    if let Some(version) = line.strip_prefix(VERSION) {
        return Some(version.trim_matches('"').to_owned());
    }
    let response = yaml_json::read_one(text, &Limits::default())?;
    let version = ["version_info", "versionInfo"]
        .into_iter()
        .find_map(|key| response.get(key)?.as_str());
    version.map(str::to_owned)
}

/// The clusters of two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Union {
    /// The clusters of the second file, and those of the first whose names the second does not have.
    pub text: String,
    /// Whether these are the clusters of the first file, in any order.
    pub is_before: bool,
}

/// The clusters of both files. `None` when `after` has all names of `before`, or one of them is no discovery response.
#[must_use]
pub fn union(before: &str, after: &str) -> Option<Union> {
    match (own_items(before), own_items(after)) {
        (Some(before), Some(after)) => union_of_own(&before, after),
        _ => union_of_any(before, after),
    }
}

/// The clusters of files that [`append_response`] wrote.
fn union_of_own<'t>(before: &[(&'t str, &'t str)], mut all: Vec<(&'t str, &'t str)>) -> Option<Union> {
    let names: HashSet<&str> = all.iter().map(|(name, _)| *name).collect();
    let gone: Vec<_> = before.iter().filter(|(name, _)| !names.contains(name)).collect();
    if gone.is_empty() {
        return None;
    }
    all.extend(gone);
    let mut text = String::new();
    append_items(&mut text, |out| all.iter().for_each(|(_, item)| out.push_str(item)));
    let mut before = before.to_vec();
    before.sort_unstable();
    all.sort_unstable();
    Some(Union {
        text,
        is_before: all == before,
    })
}

/// The clusters of files that anybody wrote.
fn union_of_any(before: &str, after: &str) -> Option<Union> {
    let (before, mut all) = (resources(before)?, resources(after)?);
    let is_ours = response(&all) == after;
    let names: HashSet<&Value> = all.iter().map(|resource| &resource["name"]).collect();
    let gone = before.iter().filter(|resource| !names.contains(&resource["name"]));
    let gone: Vec<Value> = gone.cloned().collect();
    if gone.is_empty() {
        return None;
    }
    let text = if is_ours { None } else { Some(with_first(after, &gone)?) };
    all.extend(gone);
    let sorted = |resources: &[Value]| {
        let mut texts: Vec<String> = resources.iter().map(Value::to_string).collect();
        texts.sort();
        texts
    };
    Some(Union {
        text: text.unwrap_or_else(|| response(&all)),
        is_before: sorted(&all) == sorted(&before),
    })
}

/// A discovery response that somebody wrote, with resources before its own.
fn with_first(text: &str, resources: &[Value]) -> Option<String> {
    let (file, limits) = (SourceFile::new("", text), Limits::default());
    let file = Opened::from(&file);
    let written = Written::read(&file, &limits).ok()?;
    let list = written.top().get("resources")?;
    let edit = (list.way().clone(), Edit::Prepend(resources.to_vec()));
    edited(&written, &[edit], &limits).ok()
}

/// A proxy as one static configuration: its bootstrap, with the resources of both files instead of their paths. What is
/// missing is empty. `None` when one of the texts is not what it should be.
#[must_use]
pub fn as_static(bootstrap: Option<&str>, cds: Option<&str>, lds: Option<&str>) -> Option<String> {
    if let (Some(bootstrap), None, None) = (bootstrap, cds, lds) {
        return Some(bootstrap.to_owned());
    }
    let mut whole = match bootstrap {
        Some(bootstrap) => yaml_json::read_one(bootstrap, &Limits::default())?,
        None => json!({}),
    };
    let fields = whole.as_object_mut()?;
    let dynamic = ["dynamic_resources", "dynamicResources"].map(|spelling| fields.shift_remove(spelling));
    if bootstrap.is_some() && dynamic.iter().all(Option::is_none) {
        return None;
    }
    let is_camel = fields.contains_key("staticResources");
    let own = fields.entry(if is_camel {
        "staticResources"
    } else {
        "static_resources"
    });
    let own = own.or_insert_with(|| json!({})).as_object_mut()?;
    for (kind, text) in [("clusters", cds), ("listeners", lds)] {
        let Some(text) = text else { continue };
        let list = own.entry(kind).or_insert_with(|| json!([])).as_array_mut()?;
        list.extend(resources(text)?.into_iter().map(untyped));
    }
    Some(write::write(&whole))
}

/// A resource without its wrapper and type.
fn untyped(mut resource: Value) -> Value {
    if let Some(inner) = resource.get_mut("resource") {
        resource = inner.take();
    }
    if let Some(fields) = resource.as_object_mut() {
        fields.shift_remove("@type");
    }
    resource
}

/// The texts of the resources of a file, by the name of each. `None` for a file in which their lines do not tell them.
#[must_use]
pub fn texts(text: &str) -> Option<BTreeMap<&str, &str>> {
    Some(items(text)?.into_iter().collect())
}

/// The resources of a file that [`append_response`] wrote, as [`items`]; `None` for another file.
fn own_items(text: &str) -> Option<Vec<(&str, &str)>> {
    let (version, content) = text.strip_prefix(VERSION)?.split_once('\n')?;
    let is_own = version.strip_prefix("r-")? == &blake3::hash(content.as_bytes()).to_hex()[..16];
    if is_own { items(text) } else { None }
}

/// The names and the texts of the resources of a file, in their order. `None` for a file in which their lines do not tell them.
fn items(text: &str) -> Option<Vec<(&str, &str)>> {
    let (_, list) = text.split_once("\nresources:")?;
    if !list.starts_with("\n- ") && list.trim() != "[]" {
        return None;
    }
    let lines = list.match_indices('\n').map(|(at, _)| at + 1);
    let starts: Vec<usize> = lines.filter(|at| list[*at..].starts_with("- ")).collect();
    let ends = starts.iter().skip(1).copied().chain([list.len()]);
    let named = |(start, end): (&usize, usize)| {
        let item = &list[*start..end];
        let name = item.lines().find_map(|line| line.strip_prefix("  name: "))?;
        Some((name, item))
    };
    starts.iter().zip(ends).map(named).collect()
}

fn resources(text: &str) -> Option<Vec<Value>> {
    match yaml_json::read_one(text, &Limits::default())?
        .get_mut("resources")?
        .take()
    {
        Value::Array(resources) => Some(resources),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(names: &[&str]) -> String {
        response(
            &names
                .iter()
                .map(|name| json!({"@type": "x", "name": name}))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn the_version_follows_the_content() {
        assert_eq!(version(&file(&["a"])), version(&file(&["a"])));
        assert_ne!(version(&file(&["a"])), version(&file(&["b"])));
        assert!(version(&file(&[])).is_some_and(|version| version.starts_with("r-") && version.len() == 18));
    }

    #[test]
    fn texts_are_those_of_the_list() {
        let nested = json!({"@type": "x", "name": "a", "list": [{"name": "inner"}, "- b"]});
        let whole = response(&[nested.clone(), json!({"@type": "x", "name": "b: c"})]);
        let found = texts(&whole).expect("a file of meshtraced");
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), ["\"b: c\"", "a"]);
        assert_eq!(
            found.values().map(|text| text.len()).sum::<usize>(),
            whole.len() - whole.find("- ").expect("a list")
        );
        assert_eq!(
            found["a"],
            texts(&response(&[nested])).expect("a file of meshtraced")["a"]
        );
        assert_eq!(texts(&file(&[])), Some(BTreeMap::new()));
        assert_eq!(texts("{"), None);
    }

    #[test]
    fn a_bootstrap_can_hold_all_resources() {
        let bootstrap = "node: {id: web}\ndynamic_resources: {cds_config: {}}\n";
        let resources = json!({"clusters": [{"name": "c"}], "listeners": [{"name": "l"}]});
        let expected = json!({"node": {"id": "web"}, "static_resources": resources});
        let whole = |bootstrap, lds: &str| as_static(bootstrap, Some(&file(&["c"])), Some(lds));
        assert_eq!(whole(Some(bootstrap), &file(&["l"])), Some(write::write(&expected)));
        assert_eq!(whole(Some(bootstrap), "{"), None);
        let without = json!({"static_resources": {"clusters": [{"name": "c"}], "listeners": [{"name": "l"}]}});
        assert_eq!(whole(None, &file(&["l"])), Some(write::write(&without)));
        assert_eq!(
            as_static(Some("a: 0x1F # b\n"), None, None).as_deref(),
            Some("a: 0x1F # b\n")
        );
        assert_eq!(whole(Some("node: {id: web}\n"), &file(&["l"])), None);
        let own = "dynamicResources: {}\nstaticResources: {clusters: [{name: b}]}\n";
        let both = json!({"staticResources": {"clusters": [{"name": "b"}, {"name": "c"}]}});
        assert_eq!(
            as_static(Some(own), Some(&file(&["c"])), None),
            Some(write::write(&both))
        );
    }

    #[test]
    fn a_union_that_only_loses_clusters_is_the_first_file() {
        let is_before = |before: &[&str], after: &[&str]| {
            let union = union(&file(before), &file(after)).expect("something goes");
            union.is_before
        };
        assert!(is_before(&["a", "b", "c"], &["c", "a"]));
        assert!(!is_before(&["a", "b"], &["a", "c"]));
    }

    #[test]
    fn the_union_of_own_files_is_that_of_any() {
        let names = ["a", "on", "007", "b: c", "localhost:80", "-", "null"];
        let file = |bits: usize, port: usize| {
            let named = (0..names.len()).filter(|i| bits >> i & 1 == 1);
            let cluster = |i: usize| {
                let list = json!([{"name": "- a", "port": port % (i + 2)}, "- b"]);
                json!({"@type": "x", "name": names[i], "list": list})
            };
            response(&named.map(cluster).collect::<Vec<_>>())
        };
        for bits in 0..1_usize << names.len() {
            let (before, after) = (file(bits, bits), file(bits * 37 % 128, bits + bits % 3));
            assert!(own_items(&before).is_some() && own_items(&after).is_some());
            assert_eq!(
                union(&before, &after),
                union_of_any(&before, &after),
                "{before}\n{after}"
            );
        }
        let other = file(7, 0).replace("version_info: r-", "version_info: r-x");
        assert_eq!(own_items(&other), None);
    }

    #[test]
    fn values_survive_the_union() {
        let cluster = json!({
            "name": "tracing:007",
            "port": 9411, "ratio": 0.5, "on": "on", "seven": "007", "none": null, "yes": true, "list": [[], {}],
        });
        let expected = response(&[json!({"@type": "x", "name": "b"}), cluster.clone()]);
        let union = union(&response(&[cluster]), &file(&["b"])).expect("something goes");
        assert_eq!(union.text, expected);
    }

    #[test]
    fn the_union_of_a_file_of_somebody_else_changes_nothing_else() {
        let theirs = "versionInfo: x # own\nresources:\n  - {name: b, connect_timeout: 0x1.0p1s}\n";
        let both = union(&file(&["a", "b"]), theirs).expect("something goes");
        let expected = "  - \"@type\": x\n    name: a\n  - {name: b, connect_timeout: 0x1.0p1s}\n";
        assert!(
            both.text.ends_with(expected) && both.text.starts_with("versionInfo: r-"),
            "{}",
            both.text
        );
        assert_eq!(version(&both.text).map(|version| version.len()), Some(18));
    }

    #[test]
    fn the_union_has_what_goes_and_what_comes() {
        let both = union(&file(&["a", "on"]), &file(&["b", "a"]));
        assert_eq!(both.map(|both| both.text), Some(file(&["b", "a", "on"])));
        assert_eq!(union(&file(&["a"]), &file(&["a", "b"])), None);
        assert_eq!(union("{", &file(&["a"])), None);
    }
}
