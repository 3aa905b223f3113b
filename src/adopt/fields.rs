//! The fields of Envoy's messages, in either of their spellings.

use serde_json::Value;

use crate::envoy::camel;

/// A field by its name in the protocol buffers; it may be written in lowerCamelCase too, as protobuf's JSON does.
pub(super) fn field<'v>(message: &'v Value, name: &str) -> Option<&'v Value> {
    let message = message.as_object()?;
    message
        .get(name)
        .or_else(|| message.get(&camel(name)))
        .filter(|value| !value.is_null())
}

/// A field within fields, by a path such as `route.cluster`.
pub(super) fn at<'v>(message: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(message, field)
}

pub(super) fn text<'v>(message: &'v Value, path: &str) -> Option<&'v str> {
    at(message, path)?.as_str()
}

/// The items of a repeated field; none if it is not there.
pub(super) fn list<'v>(message: &'v Value, path: &str) -> impl Iterator<Item = &'v Value> {
    at(message, path).and_then(Value::as_array).into_iter().flatten()
}

/// The type of an `Any`, without its package: `HttpConnectionManager`.
pub(super) fn type_of(any: &Value) -> &str {
    let url = any.get("@type").and_then(Value::as_str).unwrap_or_default();
    url.rsplit(['/', '.']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_spellings_are_one_field() {
        for message in [
            json!({"default_filter_chain": {"transport_socket": 1}}),
            json!({"defaultFilterChain": {"transportSocket": 1}}),
        ] {
            assert_eq!(at(&message, "default_filter_chain.transport_socket"), Some(&json!(1)));
            assert_eq!(at(&message, "default_filter_chain.filters"), None);
        }
        assert_eq!(field(&json!({"name": null}), "name"), None);
    }
}
