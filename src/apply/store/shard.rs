//! The parts in which the proxies of an output directory are listed.
//!
//! The inventory and the history have a file for each part, so that the change of one proxy reads and writes the lists of a
//! few others, and not those of all.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::envoy::artifact::ProxyKey;

/// One of 256 parts, by the hash of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub(in crate::apply) struct Shard(u8);

/// The shards that are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::apply) enum Shards {
    /// All shards.
    All,
    /// Some shards.
    Some(BTreeSet<Shard>),
}

impl Shard {
    /// The shard of a proxy.
    pub(in crate::apply) fn of(proxy: &ProxyKey) -> Self {
        Self(blake3::hash(proxy.directory().as_bytes()).as_bytes()[0])
    }
}

impl From<Shard> for String {
    fn from(Shard(number): Shard) -> Self {
        format!("{number:02x}")
    }
}

impl TryFrom<Cow<'_, str>> for Shard {
    type Error = String;

    fn try_from(name: Cow<'_, str>) -> Result<Self, String> {
        let shard = u8::from_str_radix(&name, 16).map(Self);
        let named = shard.ok().filter(|shard| String::from(*shard) == *name);
        named.ok_or_else(|| format!("`{name}` is not the name of a shard"))
    }
}

impl Shards {
    /// The shards of some proxies.
    pub(in crate::apply) fn of<'p>(proxies: impl Iterator<Item = &'p ProxyKey>) -> Self {
        Self::Some(proxies.map(Shard::of).collect())
    }

    /// Whether a shard is among them.
    pub(in crate::apply) fn has(&self, shard: Shard) -> bool {
        match self {
            Self::All => true,
            Self::Some(shards) => shards.contains(&shard),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_shard() {
        for number in 0..=u8::MAX {
            let name = String::from(Shard(number));
            assert_eq!(Shard::try_from(Cow::from(&name)), Ok(Shard(number)));
        }
        for other in ["", "1", "+1", "1F", "100", "..", "é"] {
            assert!(Shard::try_from(Cow::from(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn proxies_are_spread_over_all_shards() {
        let shards: BTreeSet<Shard> = (0..5_000)
            .map(|i| Shard::of(&ProxyKey::new("default", format!("web-{i}"))))
            .collect();
        assert_eq!(shards.len(), 256);
    }
}
