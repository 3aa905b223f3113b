//! Values that several others share, made when the first of those needs them.

use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use foldhash::HashMap;

/// The values made so far, by what they were made from.
#[derive(Debug)]
pub struct Shared<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Shared<K, V> {
    /// The value of the key, made if there is none. While it is made, others wait, so that it is made once.
    pub fn get(&self, key: &K, make: impl FnOnce() -> V) -> V {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(key) {
            return known.clone();
        }
        let value = make();
        made.insert(key.clone(), value.clone());
        value
    }
}
