//! Texts that are kept for later.

use std::sync::Arc;

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict, uncompressed_size};

/// A text that is kept in the room of its differences from another one.
#[derive(Debug, Clone)]
pub struct Packed {
    bytes: Box<[u8]>,
    like: Arc<str>,
}

impl Packed {
    /// A text that is like another one, as far as it is worth while: the less they have in common, the larger it is.
    #[must_use]
    pub fn new(text: &str, like: &Arc<str>) -> Self {
        Self {
            bytes: compress_prepend_size_with_dict(text.as_bytes(), like.as_bytes()).into(),
            like: Arc::clone(like),
        }
    }

    /// The size of the whole text in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        uncompressed_size(&self.bytes).map_or(0, |(size, _)| size)
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = decompress_size_prepended_with_dict(&self.bytes, self.like.as_bytes());
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        text.expect("nobody changes the bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back() {
        let long: String = (0..10_000).map(|i| format!("- name: web-{i}\n")).collect();
        let texts = ["", "a", "äöü", "type: Dataplane\nname: web-01\n", &long];
        for like in texts {
            for text in texts {
                assert_eq!(Packed::new(text, &like.into()).text(), text);
            }
        }
    }

    #[test]
    fn what_another_text_has_takes_no_room() {
        let text =
            |name: &str| format!("type: Dataplane\nmesh: default\nname: {name}\nnetworking:\n  address: 10.0.0.1\n");
        let packed = Packed::new(&text("web-02"), &text("web-01").into());
        assert!(packed.bytes.len() < text("").len() / 3, "{}", packed.bytes.len());
    }
}
