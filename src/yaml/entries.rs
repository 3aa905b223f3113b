//! The entries of a mapping while it is read, and where the key of each comes from.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use super::tree::Entry;

/// The way a key came into its mapping: written there, or merged from another mapping by `<<`.
#[derive(Clone, Copy)]
pub(super) enum KeyOrigin {
    Written,
    Merged,
}

/// The entries read so far; an entry replaces an earlier one with the same key.
#[derive(Default)]
pub(super) struct Entries<'t> {
    pub(super) list: Vec<Entry<'t>>,
    /// The indices of the entries that are merged.
    merged: BTreeSet<usize>,
    /// Indices by key for entries beyond the first few, which are searched one by one.
    index: HashMap<Cow<'t, str>, usize>,
}

impl<'t> Entries<'t> {
    const SEARCHED: usize = 16;

    /// Sets an entry. If it replaces one, returns the index and the origin of the replaced entry.
    pub(super) fn set(&mut self, entry: Entry<'t>, origin: KeyOrigin) -> Option<(usize, KeyOrigin)> {
        match self.find(&entry.key.text) {
            Some(i) => {
                self.list[i] = entry;
                let was_merged = self.merged.contains(&i);
                self.note(i, origin);
                Some((
                    i,
                    if was_merged {
                        KeyOrigin::Merged
                    } else {
                        KeyOrigin::Written
                    },
                ))
            }
            None => {
                if self.list.len() >= Self::SEARCHED {
                    self.index.insert(entry.key.text.clone(), self.list.len());
                }
                self.note(self.list.len(), origin);
                self.list.push(entry);
                None
            }
        }
    }

    fn note(&mut self, i: usize, origin: KeyOrigin) {
        match origin {
            KeyOrigin::Written => self.merged.remove(&i),
            KeyOrigin::Merged => self.merged.insert(i),
        };
    }

    pub(super) fn find(&self, key: &str) -> Option<usize> {
        (self.list.iter().take(Self::SEARCHED))
            .position(|entry| entry.key.text == key)
            .or_else(|| self.index.get(key).copied())
    }
}
