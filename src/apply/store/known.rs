//! The possibilities for the text of a file of ours.

use serde::{Deserialize, Serialize};

use crate::keep::Digest;

/// The possibilities for the text of a file of ours, as digests; `None` for no file. Mostly there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Option<Digest>>")]
pub(in crate::apply) struct Known(Vec<Option<Digest>>);

impl Known {
    /// The only possibility for a text, or for no file.
    pub(in crate::apply) fn only(text: Option<Digest>) -> Self {
        Self(vec![text])
    }

    /// Adds a possibility.
    pub(in crate::apply) fn insert(&mut self, text: Option<Digest>) {
        if let Err(place) = self.0.binary_search(&text) {
            self.0.insert(place, text);
        }
    }

    /// The possibilities, sorted.
    pub(in crate::apply) fn all(&self) -> &[Option<Digest>] {
        &self.0
    }

    /// Whether it is one of the possibilities.
    pub(in crate::apply) fn contains(&self, text: Option<Digest>) -> bool {
        self.0.binary_search(&text).is_ok()
    }
}

impl From<Vec<Option<Digest>>> for Known {
    fn from(mut texts: Vec<Option<Digest>>) -> Self {
        texts.sort();
        texts.dedup();
        // A decoder leaves room for more.
        texts.shrink_to_fit();
        Self(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn possibilities_are_listed_once() {
        let [a, b] = ["a", "b"].map(|text| Some(Digest::of(text)));
        let mut known = Known::only(a);
        for text in [b, None, a] {
            known.insert(text);
        }
        assert_eq!(known, Known::from(vec![a, b, None, b]));
        assert_eq!(known.all().len(), 3);
        assert!(known.contains(None) && !Known::only(a).contains(b));
    }
}
