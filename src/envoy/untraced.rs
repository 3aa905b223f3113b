//! The routes of requests that are not traced.

use serde_json::{Value, json};

use crate::spans::Untraced;

/// The `HeaderMatcher`s that all fit the requests of an entry, and no others.
pub(super) fn header_matchers(entry: &Untraced) -> Vec<Value> {
    let path = entry.path.as_ref().map(|path| {
        let regex = format!("{}(\\?.*)?", escaped(path));
        json!({"name": ":path", "string_match": {"safe_regex": {"regex": regex}}})
    });
    let prefix = entry.path_prefix.as_ref();
    let prefix = prefix.map(|prefix| json!({"name": ":path", "string_match": {"prefix": prefix}}));
    let user_agent = entry
        .user_agent
        .as_ref()
        .map(|pattern| of_pattern("user-agent", pattern));
    let header = entry.header.as_ref().map(|header| {
        let name = header.name.to_string();
        of_pattern(&name, header.value.as_deref().unwrap_or("*"))
    });
    [path, prefix, user_agent, header].into_iter().flatten().collect()
}

/// The tracing of a route by which no request is sampled.
pub(super) fn nothing_sampled() -> Value {
    let nothing = json!({"numerator": 0});
    json!({"client_sampling": nothing, "random_sampling": nothing, "overall_sampling": nothing})
}

/// The matcher of a header whose value fits a pattern.
fn of_pattern(name: &str, pattern: &str) -> Value {
    if pattern == "*" {
        return json!({"name": name, "present_match": true});
    }
    let matcher = match (pattern.strip_suffix('*'), pattern.contains('*')) {
        (_, false) => json!({"exact": pattern}),
        (Some(prefix), true) if !prefix.contains('*') => json!({"prefix": prefix}),
        (_, true) => json!({"safe_regex": {"regex": pattern.split('*').map(escaped).collect::<Vec<_>>().join(".*")}}),
    };
    json!({"name": name, "string_match": matcher})
}

/// A text as a regular expression that fits it alone.
fn escaped(text: &str) -> String {
    let escape = |c: char| r"\.+*?()|[]{}^$".contains(c).then_some('\\').into_iter().chain([c]);
    text.chars().flat_map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_the_simplest_matchers() {
        for (pattern, matcher) in [
            ("probe", json!({"exact": "probe"})),
            ("ELB-*", json!({"prefix": "ELB-"})),
            ("*kube.probe*", json!({"safe_regex": {"regex": ".*kube\\.probe.*"}})),
        ] {
            assert_eq!(of_pattern("x", pattern), json!({"name": "x", "string_match": matcher}));
        }
        assert_eq!(of_pattern("x", "*"), json!({"name": "x", "present_match": true}));
    }
}
