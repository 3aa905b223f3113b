//! Names of texts that are computed from their content.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The first half of a text's BLAKE3 hash, as 32 hexadecimal digits. Equal digests mean equal texts, and a digest is
/// safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The number of hexadecimal digits.
    const LENGTH: usize = 32;

    /// The digest of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(blake3::hash(text.as_bytes()).to_hex()[..Self::LENGTH].to_owned())
    }

    /// The hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == Self::LENGTH && text.bytes().all(is_digit) {
            Ok(Self(text))
        } else {
            Err(format!(
                "`{text}` is not a digest of {} hexadecimal digits",
                Self::LENGTH
            ))
        }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_read_back() {
        let digest = Digest::of("a");
        assert_eq!(Digest::try_from(digest.to_string()), Ok(digest));
        for text in [
            "",
            "../../../../../../../etc/passwd0",
            "ABCDEF00ABCDEF00ABCDEF00ABCDEF00",
        ] {
            assert!(Digest::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
