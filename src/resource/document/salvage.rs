//! The meshes that a text without valid YAML is probably about.

use std::collections::BTreeSet;

use super::kind;
use crate::diag::Holds;

/// The meshes that an invalid text holds; `None` when nothing in the text looks like a resource of
/// a compiled kind.
pub(in crate::resource) fn affected_meshes(text: &str) -> Option<Holds> {
    let mut meshes = salvage_meshes(text)?.into_iter();
    Some(match (meshes.next(), meshes.next()) {
        (Some(mesh), None) => Holds::mesh(&mesh),
        _ => Holds::All,
    })
}

/// The meshes that a text without valid YAML is probably about; `None` when it has nothing like
/// `type: TrafficTrace`.
fn salvage_meshes(text: &str) -> Option<BTreeSet<String>> {
    let mut meshes: Option<BTreeSet<String>> = None;
    for block in blocks(text) {
        let value = |wanted: &str| block.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
        let is_ours =
            value("apiVersion").is_none_or(|version| version.starts_with("kuma.io") || version.contains("{{"));
        let kind = match (value("type"), value("kind")) {
            (Some(kind), _) => Some(kind),
            // The `kind` inside a policy, such as that of a `targetRef`, is not that of a document.
            (None, Some(kind)) if value("apiVersion").is_some() || value("metadata").is_some() => Some(kind),
            (None, _) => None,
        };
        let Some(kind) = kind.filter(|kind| is_ours && kind::matters(kind)) else {
            continue;
        };
        let meshes = meshes.get_or_insert_default();
        meshes.extend(value("mesh").map(str::to_owned));
        if kind == "Mesh" {
            meshes.extend(value("name").map(str::to_owned));
        }
    }
    meshes
}

/// Groups of sibling fields: in lines of one indentation, or in the braces of one line.
fn blocks(text: &str) -> Vec<Vec<(&str, &str)>> {
    let mut done = Vec::new();
    let mut open: Vec<(usize, Vec<(&str, &str)>)> = Vec::new();
    for line in text.lines() {
        let inline: Vec<(&str, &str)> = line.split([',', '{', '}']).filter_map(field).collect();
        if inline.len() > 1 {
            done.push(inline);
        }
        let is_item = line.trim_start().starts_with("- ");
        let body = line.trim_start().trim_start_matches("- ");
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let indent = line.len() - body.len();
        let ends = |(other, _): &(usize, Vec<_>)| {
            *other > indent || (*other == indent && (is_item || line.starts_with("---")))
        };
        while open.last().is_some_and(ends) {
            done.extend(open.pop().map(|(_, fields)| fields));
        }
        if open.last().is_none_or(|(other, _)| *other < indent) {
            open.push((indent, Vec::new()));
        }
        if let Some((_, fields)) = open.last_mut() {
            fields.extend(key_alone(body).or_else(|| field(body)));
        }
    }
    done.extend(open.into_iter().map(|(_, fields)| fields));
    done
}

/// A key whose value is below it or is not a word.
fn key_alone(piece: &str) -> Option<(&str, &str)> {
    let key = piece.trim_end().strip_suffix(':')?;
    (!key.contains(char::is_whitespace)).then_some((key.trim_matches('"'), ""))
}

/// Key and value of a piece of text like `key: value`, `- "key": "value"`.
fn field(piece: &str) -> Option<(&str, &str)> {
    let is_mark = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    let (key, value) = piece.trim_start().trim_start_matches("- ").split_once(':')?;
    let value = value.trim_matches(is_mark).split(char::is_whitespace).next()?;
    let value = value.trim_matches(is_mark);
    (!value.is_empty()).then(|| (key.trim_matches(is_mark), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&[&str]>) {
        let expected = expected.map(|meshes| meshes.iter().map(|mesh| (*mesh).to_owned()).collect());
        assert_eq!(salvage_meshes(text), expected, "{text}");
    }

    #[test]
    fn broken_text_tells_what_it_is_about() {
        check("type: TrafficTrace\nmesh: eu # here\nselectors: [", Some(&["eu"]));
        check("- type: 'Dataplane'\n  mesh: \"eu\"\n  x: [", Some(&["eu"]));
        check(
            "type: Mesh\nname: us\ntracing:\n  backends:\n  - name: z\n  - [",
            Some(&["us"]),
        );
        check("kind: MeshTrace\nmetadata: {", Some(&[]));
        check(
            r#"{"type": "TrafficTrace", "mesh": "eu", "selectors": ["#,
            Some(&["eu"]),
        );
        check("a: {type: Dataplane, mesh: eu", Some(&["eu"]));
        check(
            "{{- if .on }}\napiVersion: kuma.io/v1alpha1\nkind: TrafficTrace\nmesh: eu\nspec: {{ x }",
            Some(&["eu"]),
        );
        check(
            "items:\n- apiVersion: kuma.io/v1alpha1\n  kind: Dataplane\n  mesh: eu\n  spec: [",
            Some(&["eu"]),
        );
    }

    #[test]
    fn other_text_is_about_nothing() {
        for text in [
            "",
            "type: web\n x: [",
            "image: {{ .Values.image }}",
            "kind: Deployment\nmesh: eu\n",
            "Mesh: [",
            "# a type: b",
            "apiVersion: kuma.io/v1alpha1\nkind: MeshTimeout\nspec:\n  targetRef:\n    kind: Mesh\n  to: [",
            "type: MeshTimeout\nspec:\n  targetRef: {kind: Mesh, proxyTypes: [Gateway]}\n  to: [",
            "apiVersion: appmesh.k8s.aws/v1beta2\nkind: Mesh\nmetadata:\n  name: {{ x }}",
        ] {
            check(text, None);
        }
    }
}
