//! The file form of a discovery response, which Envoy reads in place of a control plane's answer.

use serde_json::{Value, json};

use crate::yaml::write;

const VERSION_KEY: &str = "version_info";

/// The text of a response with these resources.
///
/// Its version is a hash of the resources, so that the same resources always have the same version and other
/// ones another; Envoy shows it as proof of what it took.
#[must_use]
pub fn response(resources: Vec<Value>) -> String {
    let resources = json!({"resources": resources});
    let hash = blake3::hash(write::write(&resources).as_bytes()).to_hex();
    // The letters in front keep every reader from taking the version for a number.
    let mut text = write::write(&json!({VERSION_KEY: format!("r-{}", &hash[..16])}));
    text.push_str(&write::write(&resources));
    text
}

/// The version of a response that [`response`] wrote; `None` for any other text.
#[must_use]
pub fn version(text: &str) -> Option<String> {
    let first = text.lines().next()?;
    let version = first.strip_prefix(VERSION_KEY)?.strip_prefix(": ")?;
    version.starts_with("r-").then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_follows_the_resources() {
        let of = |names: &[&str]| response(names.iter().map(|name| json!({"name": name})).collect());
        let text = of(&["a", "b"]);
        assert_eq!(text, of(&["a", "b"]));
        assert_ne!(version(&text), version(&of(&["b", "a"])));
        let version = version(&text).expect("a version");
        assert_eq!(
            text,
            format!("version_info: {version}\nresources:\n- name: a\n- name: b\n")
        );
        assert_eq!(version.len(), "r-".len() + 16);
    }

    #[test]
    fn texts_of_others_have_no_version() {
        for text in ["", "resources: []\n", "version_info: 42\n", "a: 1\nversion_info: r-1\n"] {
            assert_eq!(version(text), None, "{text:?}");
        }
    }

    #[test]
    fn no_resources_are_an_empty_list() {
        assert!(response(Vec::new()).ends_with("\nresources: []\n"));
    }
}
