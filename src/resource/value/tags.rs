//! Tags and the selectors that match them.

use litemap::LiteMap;

use crate::diag::{Code, Diagnostic};
use crate::keep::Text;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::object::{Object, TextMap, key_path};

/// The tag with the name of a service.
pub const SERVICE: &str = "kuma.io/service";
/// The tag with the protocol of a service.
pub const PROTOCOL: &str = "kuma.io/protocol";
/// The tag of an outbound with the mesh of its destination, where it is another one.
pub const MESH: &str = "kuma.io/mesh";
/// The tag with the zone of a dataplane.
pub const ZONE: &str = "kuma.io/zone";

/// The tags of one inbound, outbound or gateway.
pub type Tags = LiteMap<Text, Text>;

/// A selector: required tags, with `*` for any value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// The required values by tag.
    pub tags: TextMap,
}

impl Selector {
    /// Whether `tags` has every required tag, with its value or with any value for `*`.
    #[must_use]
    pub fn matches(&self, tags: &Tags) -> bool {
        self.mismatch(tags).is_none()
    }

    /// The first required tag that `tags` does not have: its name, the required value and the one found.
    #[must_use]
    pub fn mismatch<'s>(&'s self, tags: &'s Tags) -> Option<(&'s str, &'s str, Option<&'s str>)> {
        self.tags.iter().find_map(|(tag, wanted)| {
            let found = tags.get(tag).map(Text::as_str);
            let wanted = wanted.value.as_str();
            let fits = found.is_some_and(|found| wanted == "*" || wanted == found);
            (!fits).then_some((tag.as_str(), wanted, found))
        })
    }

    /// The specificity of the selector.
    #[must_use]
    pub fn rank(&self) -> Rank {
        let wildcard = self.tags.values().filter(|wanted| wanted.value == "*").count();
        Rank {
            exact: self.tags.len() - wildcard,
            wildcard,
        }
    }
}

/// The specificity of a selector: the number of its tags, then the number of exact ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rank {
    /// The number of tags with a value.
    pub exact: usize,
    /// The number of tags with `*`.
    pub wildcard: usize,
}

impl Rank {
    /// The number of all tags.
    #[must_use]
    pub fn tags(self) -> usize {
        self.exact + self.wildcard
    }

    /// The combined rank of two selectors.
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

/// The rule for the service tag in a mapping of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::resource) enum Service {
    Required,
    Optional,
    /// The service tag is the only one.
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

/// Decodes one selector from the mapping in `key`, which must have a tag.
pub(in crate::resource) fn selector(
    decoder: &mut Decoder,
    object: &Object,
    key: &str,
    service: Service,
) -> Option<Selector> {
    let path = object.field_path(decoder, key);
    let before = decoder.errors();
    let tags = object.texts(decoder, key).unwrap_or_default();
    if decoder.errors() > before {
        return None;
    }
    let at = object.get(key).map_or(object.at, |entry| &entry.key_at);
    let names_service = tags.contains_key(SERVICE);
    let missing = |decoder: &mut Decoder, is_first: bool| {
        let message = format!("the mandatory tag `{SERVICE}` is missing");
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

/// Checks required tags, with `*` for any value.
pub(in crate::resource) fn check_selector_tags(decoder: &mut Decoder, path: &str, tags: &TextMap) {
    for (tag, value) in tags {
        check_tag_name(decoder, path, tag, &value.origin.at);
        let (at, path) = (&value.origin.at, &value.origin.path);
        if value.value.is_empty() {
            decoder.error(Code::EmptyField, at, path, "a tag value must not be empty");
        } else if value.value != "*" && !value.value.bytes().all(|b| is_tag_value(b) || b == b'/') {
            let message = format!(
                "the tag value `{}` must be `*`, or consist of letters, digits and `.-_:/`",
                value.value
            );
            let help = "Kuma has no patterns: `*` alone means any value";
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
            decoder.error(Code::EmptyField, at, path, "a tag value must not be empty");
        } else if !value.value.bytes().all(is_tag_value) {
            let message = format!(
                "the tag value `{}` must consist of letters, digits and `.-_:`",
                value.value
            );
            decoder.error(Code::InvalidValue, at, path, message);
        }
    }
}

/// The tags without their origins.
#[must_use]
pub fn plain(tags: &TextMap) -> Tags {
    tags.iter()
        .map(|(tag, value)| (tag.clone(), value.value.clone()))
        .collect()
}

fn check_tag_name(decoder: &mut Decoder, path: &str, tag: &str, at: &crate::source::Location) {
    if tag.is_empty() {
        decoder.error(Code::EmptyField, at, path, "a tag name must not be empty");
    } else if !tag.bytes().all(|b| is_tag_value(b) || b == b'/') {
        let message = format!("the tag name `{tag}` must consist of letters, digits and `.-_:/`");
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
