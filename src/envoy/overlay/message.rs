//! Envoy's messages as somebody wrote them.

use crate::envoy::spelling::camel;
use crate::yaml::written::Spot;

/// A message of the protocol buffers in a document.
pub(super) type Message<'w, 't> = Spot<'w, 't>;

/// A field that is not null, in either of its spellings, by a path such as `static_resources.listeners`.
pub(super) fn field<'w, 't>(message: &Message<'w, 't>, path: &str) -> Option<Message<'w, 't>> {
    let one = |message: Message<'w, 't>, name: &str| {
        let found = message.get(name).or_else(|| message.get(&camel(name)));
        found.filter(|value| !value.is_null())
    };
    path.split('.').try_fold(message.clone(), one)
}

/// The items of a repeated field; none if it is not there.
pub(super) fn list<'w, 't>(message: &Message<'w, 't>, path: &str) -> Vec<Message<'w, 't>> {
    field(message, path).and_then(|list| list.items()).unwrap_or_default()
}

/// The text of a field.
pub(super) fn text<'w>(message: &Message<'w, '_>, path: &str) -> Option<&'w str> {
    field(message, path)?.text()
}

/// The type of an `Any`, without its package: `HttpConnectionManager`.
pub(super) fn type_of<'w>(any: &Message<'w, '_>) -> &'w str {
    let url = any.get("@type").and_then(|url| url.text()).unwrap_or_default();
    short(url)
}

/// A type without its package.
pub(super) fn short(url: &str) -> &str {
    url.rsplit(['/', '.']).next().unwrap_or_default()
}
