//! Texts that repeat: keys and values of tags and labels, paths of fields.

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;

use arcstr::ArcStr;
use foldhash::HashSet;
use litemap::LiteMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that many values share, each with a pointer of eight bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(ArcStr);

impl Text {
    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::from("")
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl From<&Text> for String {
    fn from(text: &Text) -> Self {
        text.as_str().to_owned()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<Text> for str {
    fn eq(&self, other: &Text) -> bool {
        self == other.as_str()
    }
}

impl PartialEq<Text> for &str {
    fn eq(&self, other: &Text) -> bool {
        *self == other.as_str()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

/// The value among those that were met, added if it is new.
fn share<T: Eq + Hash>(met: &mut HashSet<Arc<T>>, value: T) -> Arc<T> {
    if let Some(known) = met.get(&value) {
        return Arc::clone(known);
    }
    let new = Arc::new(value);
    met.insert(Arc::clone(&new));
    new
}

/// The texts that were met so far: equal ones are stored once.
#[derive(Debug, Default)]
pub struct Texts {
    met: RefCell<HashSet<Text>>,
    /// The sets of names that were met.
    sets: RefCell<HashSet<Arc<BTreeSet<String>>>>,
    /// The maps that were met.
    maps: RefCell<HashSet<Arc<LiteMap<Text, Text>>>>,
    /// Room in which texts are put together.
    scratch: RefCell<String>,
    /// The number of texts that were in use when this was found out last.
    used: Cell<usize>,
}

impl Texts {
    /// The text, stored if it is new.
    pub fn get(&self, text: &str) -> Text {
        let mut met = self.met.borrow_mut();
        if let Some(known) = met.get(text) {
            return known.clone();
        }
        let new = Text::from(text);
        met.insert(new.clone());
        new
    }

    /// The set, stored if it is new.
    pub fn share_set(&self, set: BTreeSet<String>) -> Arc<BTreeSet<String>> {
        share(&mut self.sets.borrow_mut(), set)
    }

    /// The map, stored if it is new.
    pub fn share_map(&self, map: LiteMap<Text, Text>) -> Arc<LiteMap<Text, Text>> {
        share(&mut self.maps.borrow_mut(), map)
    }

    /// Forgets the texts that nobody else has any more, once there may be many of them.
    pub fn forget_unused(&self) {
        let mut met = self.met.borrow_mut();
        if met.len() > 1_000 + 2 * self.used.get() {
            self.sets.borrow_mut().retain(|set| Arc::strong_count(set) > 1);
            self.maps.borrow_mut().retain(|map| Arc::strong_count(map) > 1);
            met.retain(|text| ArcStr::strong_count(&text.0) != Some(1));
            self.used.set(met.len());
        }
    }

    /// The text that `write` puts together, stored if it is new.
    pub fn written(&self, write: impl FnOnce(&mut String)) -> Text {
        let mut scratch = self.scratch.borrow_mut();
        scratch.clear();
        write(&mut scratch);
        self.get(&scratch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_nobody_has_are_forgotten() {
        let texts = Texts::default();
        let kept = texts.get("kept");
        for i in 0..10_000 {
            texts.get(&i.to_string());
            texts.forget_unused();
        }
        assert!(texts.met.borrow().len() < 1_100);
        assert!(ArcStr::ptr_eq(&kept.0, &texts.get("kept").0));
    }

    #[test]
    fn equal_texts_are_stored_once() {
        let texts = Texts::default();
        let (one, other) = (texts.get("kuma.io/service"), texts.get("kuma.io/service"));
        assert!(ArcStr::ptr_eq(&one.0, &other.0));
        assert_ne!(texts.get("web"), one);
    }
}
