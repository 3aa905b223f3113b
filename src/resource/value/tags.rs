//! Tags and the selectors that match them.

use std::collections::BTreeMap;

use crate::diag::{Code, Diagnostic};
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::object::{Object, TextMap, key_path};

/// The tag that names a service.
pub const SERVICE: &str = "kuma.io/service";
/// The tag that says what a service speaks.
pub const PROTOCOL: &str = "kuma.io/protocol";
/// The tag of the zone a dataplane runs in.
pub const ZONE: &str = "kuma.io/zone";

/// The tags of one inbound, outbound or gateway.
pub type Tags = BTreeMap<String, String>;

/// A selector: the tags that must be there, `*` for any value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// Wanted values by tag.
    pub tags: TextMap,
}

impl Selector {
    /// Whether every wanted tag is among `tags` with its value, or with any value where `*` is wanted.
    #[must_use]
    pub fn matches(&self, tags: &Tags) -> bool {
        self.mismatch(tags).is_none()
    }

    /// The first wanted tag that `tags` does not have: its name, the wanted value and the one found.
    #[must_use]
    pub fn mismatch<'s>(&'s self, tags: &'s Tags) -> Option<(&'s str, &'s str, Option<&'s str>)> {
        self.tags.iter().find_map(|(tag, wanted)| {
            let found = tags.get(tag).map(String::as_str);
            let wanted = wanted.value.as_str();
            let fits = found.is_some_and(|found| wanted == "*" || wanted == found);
            (!fits).then_some((tag.as_str(), wanted, found))
        })
    }

    /// How specific it is.
    #[must_use]
    pub fn rank(&self) -> Rank {
        let wildcard = self.tags.values().filter(|wanted| wanted.value == "*").count();
        Rank {
            exact: self.tags.len() - wildcard,
            wildcard,
        }
    }
}

/// How specific a selector is: first by the number of its tags, then by how many of them are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rank {
    /// Tags with a value.
    pub exact: usize,
    /// Tags with `*`.
    pub wildcard: usize,
}

impl Rank {
    /// Number of tags.
    #[must_use]
    pub fn tags(self) -> usize {
        self.exact + self.wildcard
    }

    /// The rank of two selectors that both match.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            exact: self.exact + other.exact,
            wildcard: self.wildcard + other.wildcard,
        }
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.tags(), self.exact).cmp(&(other.tags(), other.exact))
    }
}

/// The service tag that a mapping of tags must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::resource) enum Service {
    Required,
    Optional,
    /// No tag but the service.
    Alone,
}

/// Decodes the list of selectors in `key`, each with its mapping in `match`.
pub(in crate::resource) fn selectors(
    decoder: &mut Decoder,
    object: &Object,
    key: &str,
    service: Service,
) -> Vec<Selector> {
    let items = object.list(decoder, key);
    if items.is_empty() {
        let at = object.get(key).map_or(object.at, |entry| &entry.key_at);
        let (path, help) = (
            object.path_of(key),
            "for every dataplane of the mesh: `- match: {kuma.io/service: '*'}`",
        );
        decoder.error_help(
            Code::MissingField,
            at,
            &path,
            format!("`{path}` must have at least one element"),
            help,
        );
    }
    let mut selectors = Vec::new();
    for (path, node) in items {
        let Some(item) = Object::new(decoder, node, path, &["match"]) else {
            continue;
        };
        if let Some(selector) = selector(decoder, &item, "match", service) {
            selectors.push(selector);
        }
    }
    selectors
}

/// Decodes one selector out of the mapping in `key`, which must have a tag.
pub(in crate::resource) fn selector(
    decoder: &mut Decoder,
    object: &Object,
    key: &str,
    service: Service,
) -> Option<Selector> {
    let path = object.path_of(key);
    let before = decoder.errors();
    let tags = object.texts(decoder, key).unwrap_or_default();
    if decoder.errors() > before {
        return None;
    }
    let at = object.get(key).map_or(object.at, |entry| &entry.key_at);
    let names_service = tags.contains_key(SERVICE);
    let missing = |decoder: &mut Decoder, is_first: bool| {
        let message = format!("mandatory tag `{SERVICE}` is missing");
        let finding = Diagnostic::error(Code::MissingField, at, message).path(path.as_str());
        decoder.report_if(is_first, finding);
    };
    match service {
        Service::Alone => {
            let others = tags.iter().filter(|(tag, _)| *tag != SERVICE);
            let mut is_first = true;
            for (tag, value) in others {
                let message = format!("the only tag allowed here is `{SERVICE}`");
                decoder.error(Code::NotAllowed, &value.origin.at, &key_path(&path, tag), message);
                is_first = false;
            }
            if tags.len() != 1 || !names_service {
                let message = format!("`{path}` must consist of exactly one tag, `{SERVICE}`");
                let finding = Diagnostic::error(Code::MissingField, at, message).path(path.as_str());
                decoder.report_if(is_first, finding);
            }
            if !names_service {
                missing(decoder, false);
            }
        }
        Service::Required | Service::Optional => {
            if tags.is_empty() {
                let message = format!("`{path}` must have at least one tag");
                decoder.error(Code::MissingField, at, &path, message);
            }
            if service == Service::Required && !names_service {
                missing(decoder, !tags.is_empty());
            }
        }
    }
    check_selector_tags(decoder, &path, &tags);
    (!tags.is_empty()).then_some(Selector { tags })
}

/// Checks tags that are wanted, `*` for any value.
pub(in crate::resource) fn check_selector_tags(decoder: &mut Decoder, path: &str, tags: &TextMap) {
    for (tag, value) in tags {
        check_tag_name(decoder, path, tag, &value.origin.at);
        let (at, path) = (&value.origin.at, &value.origin.path);
        if value.value.is_empty() {
            decoder.error(Code::EmptyField, at, path, "tag value must be non-empty");
        } else if value.value != "*" && !value.value.bytes().all(|b| is_tag_value(b) || b == b'/') {
            let message = format!(
                "tag value `{}` must be `*`, or only have letters, digits and `.-_:/`",
                value.value
            );
            let help = "there is no matching by pattern: `*` stands alone for any value";
            decoder.error_help(Code::InvalidValue, at, path, message, help);
        }
    }
}

/// Checks the tags of an inbound, outbound or gateway.
pub(in crate::resource) fn check_tags(decoder: &mut Decoder, path: &str, tags: &TextMap) {
    for (tag, value) in tags {
        check_tag_name(decoder, path, tag, &value.origin.at);
        let (at, path) = (&value.origin.at, &value.origin.path);
        if value.value.is_empty() {
            decoder.error(Code::EmptyField, at, path, "tag value must be non-empty");
        } else if !value.value.bytes().all(is_tag_value) {
            let message = format!("tag value `{}` must only have letters, digits and `.-_:`", value.value);
            decoder.error(Code::InvalidValue, at, path, message);
        }
    }
}

/// The plain texts of located tags.
pub(in crate::resource) fn plain(tags: &TextMap) -> Tags {
    tags.iter()
        .map(|(tag, value)| (tag.clone(), value.value.clone()))
        .collect()
}

fn check_tag_name(decoder: &mut Decoder, path: &str, tag: &str, at: &crate::source::Location) {
    if tag.is_empty() {
        decoder.error(Code::EmptyField, at, path, "tag name must be non-empty");
    } else if !tag.bytes().all(|b| is_tag_value(b) || b == b'/') {
        let message = format!("tag name `{tag}` must only have letters, digits and `.-_:/`");
        decoder.error(Code::InvalidValue, at, &key_path(path, tag), message);
    }
}

fn is_tag_value(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_:".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_tags_outrank_exact_ones() {
        let rank = |exact, wildcard| Rank { exact, wildcard };
        assert!(rank(0, 2) > rank(1, 0));
        assert!(rank(1, 1) > rank(0, 2));
        assert!(rank(1, 0) > rank(0, 1));
        assert_eq!(rank(1, 0).with(rank(0, 2)), rank(1, 2));
    }
}
