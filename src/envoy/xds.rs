//! The file form of a discovery response.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use serde_json::{Value, json};

use crate::yaml::{Limits, json as yaml_json, write};

/// Writes an xDS file with the given resources.
pub fn append_response<T: Serialize>(out: &mut String, resources: &[T]) {
    append_items(out, |out| {
        if !resources.is_empty() {
            write::append(out, resources);
        }
    });
}

/// Writes an xDS file of whose resources each is written by `items`, as an item of a list without indentation.
///
/// `version_info` is a hash of the resources, so that an ack of the version is an ack of the content.
pub fn append_items(out: &mut String, items: impl FnOnce(&mut String)) {
    let line = |hash: &str| format!("version_info: r-{hash}\n");
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

/// The `version_info` of a file that [`response`] wrote.
#[must_use]
pub fn version(text: &str) -> Option<String> {
    let line = text.lines().next()?.strip_prefix("version_info: ")?;
    Some(line.trim_matches('"').to_owned())
}

/// The clusters of two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Union {
    /// The clusters of the second file, and those of the first whose names the second does not have.
    pub text: String,
    /// Whether these are the clusters of the first file, in any order.
    pub is_before: bool,
}

/// The clusters of both files. `None` when `after` has all names of `before`, or `before` is not a file of meshtraced.
#[must_use]
pub fn union(before: &str, after: &str) -> Option<Union> {
    let (before, mut all) = (resources(before)?, resources(after)?);
    let names: HashSet<&Value> = all.iter().map(|resource| &resource["name"]).collect();
    let gone = before.iter().filter(|resource| !names.contains(&resource["name"]));
    let gone: Vec<Value> = gone.cloned().collect();
    if gone.is_empty() {
        return None;
    }
    all.extend(gone);
    let sorted = |resources: &[Value]| {
        let mut texts: Vec<String> = resources.iter().map(Value::to_string).collect();
        texts.sort();
        texts
    };
    Some(Union {
        text: response(&all),
        is_before: sorted(&all) == sorted(&before),
    })
}

/// A proxy as one static configuration: its bootstrap, with the resources of both files instead of their paths.
/// `None` when one of the texts is not a file of meshtraced.
#[must_use]
pub fn as_static(bootstrap: &str, cds: &str, lds: &str) -> Option<String> {
    let without_type = |text: &str| {
        let mut resources = resources(text)?;
        for resource in &mut resources {
            resource.as_object_mut().and_then(|fields| fields.shift_remove("@type"));
        }
        Some(resources)
    };
    let mut whole = yaml_json::read_one(bootstrap, &Limits::default())?;
    let fields = whole.as_object_mut()?;
    fields.shift_remove("dynamic_resources")?;
    let (clusters, listeners) = (without_type(cds)?, without_type(lds)?);
    fields.insert(
        "static_resources".to_owned(),
        json!({"clusters": clusters, "listeners": listeners}),
    );
    Some(write::write(&whole))
}

/// The texts of the resources of a file that [`response`] wrote, by the name of each. `None` for any other text.
#[must_use]
pub fn texts(text: &str) -> Option<BTreeMap<&str, &str>> {
    let (_, list) = text.split_once("\nresources:")?;
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
        let whole = |bootstrap, lds: &str| as_static(bootstrap, &file(&["c"]), lds);
        assert_eq!(whole(bootstrap, &file(&["l"])), Some(write::write(&expected)));
        assert_eq!(whole(bootstrap, "{"), None);
        assert_eq!(whole("node: {id: web}\n", &file(&["l"])), None);
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
    fn the_union_has_what_goes_and_what_comes() {
        let both = union(&file(&["a", "on"]), &file(&["b", "a"]));
        assert_eq!(both.map(|both| both.text), Some(file(&["b", "a", "on"])));
        assert_eq!(union(&file(&["a"]), &file(&["a", "b"])), None);
        assert_eq!(union("{", &file(&["a"])), None);
    }
}
