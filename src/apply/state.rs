//! What people told a publisher by command: that it is frozen, and which plan they approved.
//!
//! A state that cannot be read is an error, and the caller publishes nothing: it may have been a freeze, and publishing
//! through a freeze is what must not happen. It is not taken for a freeze either, since nobody could say since when and why.
//! Writing never reads, so that `freeze`, `thaw` and `approve` each make a good state of a bad one.

use serde::{Deserialize, Serialize};

use super::lock::held;
use super::tree::Content;
use super::{ApplyError, Lock, Result, Target, open};

const NAME: &str = "state.json";

/// Says which form the file has.
const FORMAT: u32 = 1;

/// What people told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Nothing is published while this is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
    /// The plan that may be carried out though it changes very much: the id of a
    /// [`GuardViolation`](crate::plan::guard::GuardViolation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<String>,
}

/// That somebody stopped publishing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Since when; RFC 3339, in UTC. [`now`](super::now) gives it.
    pub since: String,
    /// Why, in the words of whoever did.
    pub why: String,
    /// The generation that was brought back, if that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    #[serde(flatten)]
    state: State,
}

impl State {
    /// What was told last; nothing when nothing was.
    ///
    /// # Errors
    /// When it is there and cannot be read or understood. Nothing must be published then.
    pub fn read(target: &Target) -> Result<Self> {
        let Some((_, meta)) = open(target)? else {
            return Ok(Self::default());
        };
        let invalid = |message: String| ApplyError::State {
            path: meta.path().join(NAME),
            message,
        };
        match meta.read(NAME)? {
            Content::Missing => Ok(Self::default()),
            Content::Text(text) => Self::parse(&text).map_err(invalid),
            Content::Binary | Content::Other => Err(invalid("it is no readable text file".to_owned())),
        }
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        super::check_format(text, FORMAT)?;
        let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(written.state)
    }

    /// Replaces what was told; durable when it returns.
    ///
    /// # Errors
    /// When it cannot be written; what was told before then holds.
    pub fn write(&self, target: &Target, lock: &Lock) -> Result<()> {
        let (_, meta) = held(target, lock)?;
        let written = Written {
            format: FORMAT,
            state: self.clone(),
        };
        let text = serde_json::to_string_pretty(&written).expect("plain data always is JSON");
        super::replace(target, &meta, NAME, &(text + "\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_does_not_understand_it_refuses() {
        for (text, expected) in [
            ("", "EOF"),
            ("{}", "missing field `format`"),
            (r#"{"format": 2}"#, "format 2"),
            (r#"{"format": 1, "frozen": true}"#, "invalid type"),
        ] {
            let error = State::parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert_eq!(State::parse(r#"{"format": 1}"#), Ok(State::default()));
    }
}
