//! The entries of a mapping while it is read, and where the key of each comes from.

use std::collections::HashMap;

use super::tree::Entry;

/// The way a key came into its mapping: written there, or merged from another mapping by `<<`.
#[derive(Clone, Copy)]
pub(super) enum KeyOrigin {
    Written,
    Merged,
}

/// The entries read so far; an entry replaces an earlier one with the same key.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) list: Vec<Entry>,
    origins: Vec<KeyOrigin>,
    /// Indices by key for entries beyond the first few, which are searched one by one.
    index: HashMap<String, usize>,
}

impl Entries {
    const SEARCHED: usize = 16;

    /// Sets an entry. If it replaces one, returns the index and the origin of the replaced entry.
    pub(super) fn set(&mut self, entry: Entry, origin: KeyOrigin) -> Option<(usize, KeyOrigin)> {
        match self.find(&entry.key.text) {
            Some(i) => {
                self.list[i] = entry;
                Some((i, std::mem::replace(&mut self.origins[i], origin)))
            }
            None => {
                if self.list.len() >= Self::SEARCHED {
                    self.index.insert(entry.key.text.clone(), self.list.len());
                }
                self.list.push(entry);
                self.origins.push(origin);
                None
            }
        }
    }

    pub(super) fn find(&self, key: &str) -> Option<usize> {
        (self.list.iter().take(Self::SEARCHED))
            .position(|entry| entry.key.text == key)
            .or_else(|| self.index.get(key).copied())
    }
}
