//! An edit changes the text of a document in its own place, and nowhere else.

use meshtraced::source::{Opened, SourceFile};
use meshtraced::yaml::Limits;
use meshtraced::yaml::edit::{Edit, apply};
use meshtraced::yaml::write::write;
use meshtraced::yaml::written::{Spot, Written};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::nasty;

/// A document in one of the layouts that people have.
fn layout(value: &Value, style: u8) -> String {
    match style {
        0 => write(value),
        1 => value.to_string(),
        2 => serde_json::to_string_pretty(value).expect("JSON"),
        3 => write(value).replace('\n', "\r\n"),
        // A comment above each line, and one behind each.
        _ => {
            let with_comments = |line: &str| {
                let indent = &line[..line.len() - line.trim_start().len()];
                format!("{indent}# above\n{line}   # behind\n")
            };
            write(value).lines().map(with_comments).collect()
        }
    }
}

/// All lists and mappings at or below a node.
fn collections<'w, 't>(spot: Spot<'w, 't>, found: &mut Vec<Spot<'w, 't>>) {
    spot.items()
        .into_iter()
        .flatten()
        .for_each(|item| collections(item, found));
    spot.entries().for_each(|(_, value)| collections(value, found));
    if spot.is_map() || spot.items().is_some() {
        found.push(spot);
    }
}

/// The length of what two texts have in common at their begins.
fn common(one: impl Iterator<Item = u8>, other: impl Iterator<Item = u8>) -> usize {
    one.zip(other).take_while(|(one, other)| one == other).count()
}

/// Whether all keys are short enough to stand before a colon.
fn has_short_keys(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(has_short_keys),
        Value::Object(fields) => fields
            .iter()
            .all(|(key, value)| key.len() < 100 && has_short_keys(value)),
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_edit_is_one_insertion(value in nasty::value(), new in nasty::value().prop_filter("keys as Envoy has them", has_short_keys), style in 0_u8..5, at: Index) {
        let limits = Limits::default();
        let text = layout(&value, style);
        let file = SourceFile::new("base.yaml", text.as_str());
        // Not all that JSON may hold can stand in YAML.
        let file = Opened::from(&file);
        let Ok(written) = Written::read(&file, &limits) else {
            prop_assert!((1..=2).contains(&style), "{}", text);
            return Ok(());
        };
        let mut found = Vec::new();
        collections(written.top(), &mut found);
        prop_assume!(!found.is_empty());
        let spot = at.get(&found);
        let edit = match spot.is_map() {
            // No other key has such a name.
            true => Edit::Set { key: "new key 4711".to_owned(), value: new, after: "a" },
            false => Edit::Prepend(vec![new, json!({"name": "x"})]),
        };
        let edited = apply(&written, &[(spot.way().clone(), edit)], &limits);
        let edited = edited.unwrap_or_else(|error| panic!("{error}: {text}"));
        let before = common(text.bytes(), edited.bytes());
        let after = common(text.bytes().rev(), edited.bytes().rev());
        prop_assert!(edited.len() > text.len() && before + after >= text.len(), "{}\n->\n{}", text, edited);
    }
}
