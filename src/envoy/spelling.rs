//! The two spellings of Envoy's fields.

/// A name of the protocol buffers as their JSON spells it: `filter_chains` as `filterChains`. Envoy reads both.
#[must_use]
pub fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}
