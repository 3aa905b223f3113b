//! Names of texts that are computed from their content.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// The first half of a BLAKE3 hash, mostly that of a text, written as 32 hexadecimal digits. Equal digests mean equal texts, and a digest is
/// safe as a file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "Cow<'_, str>")]
pub struct Digest([u8; 16]);

impl Digest {
    /// The digest of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        blake3::hash(text.as_bytes()).into()
    }

    /// The half of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(std::array::from_fn(|i| hash.as_bytes()[i]))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl TryFrom<Cow<'_, str>> for Digest {
    type Error = String;

    fn try_from(text: Cow<'_, str>) -> Result<Self, String> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let is_digest = text.len() == 32 && text.bytes().all(is_digit);
        let half = u128::from_str_radix(&text, 16).ok().filter(|_| is_digest);
        half.map(|half| Self(half.to_be_bytes()))
            .ok_or_else(|| format!("`{text}` is not a digest of 32 hexadecimal digits"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_read_back() {
        let digest = Digest::of("a");
        assert_eq!(digest.to_string(), blake3::hash(b"a").to_hex()[..32]);
        assert_eq!(Digest::try_from(Cow::from(digest.to_string())), Ok(digest));
        for text in [
            "",
            "../../../../../../../etc/passwd0",
            "ABCDEF00ABCDEF00ABCDEF00ABCDEF00",
            "abcdef00abcdef00abcdef00abcdef0",
            "abcdef00abcdef00abcdef00abcdef000",
            "abcdef00abcdef00abcdef00abcdef00ab",
        ] {
            assert!(Digest::try_from(Cow::from(text)).is_err(), "{text}");
        }
    }
}
