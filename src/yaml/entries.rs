//! The entries of a mapping while it is read, each with where its key comes from.

use std::collections::HashMap;

use super::tree::Entry;

/// Where an entry of a mapping comes from.
#[derive(Clone, Copy)]
pub(super) enum KeyOrigin {
    Written,
    Merged,
}

/// Entries of a mapping as they gather; a later one takes the place of an earlier one with its key.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) list: Vec<Entry>,
    origins: Vec<KeyOrigin>,
    /// Indices by key, once there are too many to look at one after the other.
    index: HashMap<String, usize>,
}

impl Entries {
    const LOOKED_AT: usize = 16;

    /// Sets an entry; its index and where the one it replaces came from, if it replaces one.
    pub(super) fn set(&mut self, entry: Entry, origin: KeyOrigin) -> Option<(usize, KeyOrigin)> {
        match self.find(&entry.key.text) {
            Some(i) => {
                self.list[i] = entry;
                Some((i, std::mem::replace(&mut self.origins[i], origin)))
            }
            None => {
                if self.list.len() >= Self::LOOKED_AT {
                    self.index.insert(entry.key.text.clone(), self.list.len());
                }
                self.list.push(entry);
                self.origins.push(origin);
                None
            }
        }
    }

    pub(super) fn find(&self, key: &str) -> Option<usize> {
        (self.list.iter().take(Self::LOOKED_AT))
            .position(|entry| entry.key.text == key)
            .or_else(|| self.index.get(key).copied())
    }
}
