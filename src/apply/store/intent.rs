//! What operators asked for by command: a freeze, and the approval of a plan.
//!
//! An intent that cannot be read is an error, and the caller publishes nothing: there may have been a freeze, and to
//! publish through a freeze is what must not happen. It does not count as a freeze either, since nobody could say
//! since when and why. Writing never reads, so that `freeze`, `thaw` and `approve` each make a good file of a bad
//! one.

use serde::{Deserialize, Serialize};

use super::document::{self, Document, Found};
use super::lock::{Lock, held};
use super::output::OutputDir;
use crate::apply::error::{ApplyError, Result};

const NAME: &str = "intent.json";

/// The wishes of the operators that outlive a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The freeze; while there is one nothing new is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
    /// The id of the plan that may be carried out although it exceeds the guard, as in
    /// [`GuardViolation`](crate::plan::guard::GuardViolation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<String>,
}

/// A freeze.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// The time of the freeze; RFC 3339, in UTC, as [`now`](crate::apply::now) gives it.
    pub since: String,
    /// The reason, in the words of the operator.
    pub why: String,
    /// The generation that was rolled back to, if a rollback is the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

impl Document for Intent {
    const FORMAT: u32 = 1;
}

impl Intent {
    /// The intent as it was written last; an empty one when there is none.
    ///
    /// # Errors
    /// When the file is there and cannot be read or understood. Nothing must be published then.
    pub fn read(out: &OutputDir) -> Result<Self> {
        let Some((_, meta)) = out.open()? else {
            return Ok(Self::default());
        };
        match document::load(&meta, NAME)? {
            Found::Missing => Ok(Self::default()),
            Found::Document(intent) => Ok(intent),
            Found::Invalid(message) => Err(ApplyError::Intent {
                path: meta.path().join(NAME),
                message,
            }),
        }
    }

    /// Replaces the intent; the new one is on disk when this returns.
    ///
    /// # Errors
    /// When the file cannot be written; the intent before then holds.
    pub fn write(&self, out: &OutputDir, lock: &Lock) -> Result<()> {
        let (_, meta) = held(out, lock)?;
        document::replace(out, &meta, NAME, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_that_is_not_understood_is_not_taken_for_an_empty_one() {
        let error = document::parse::<Intent>(r#"{"format": 1, "frozen": true}"#).expect_err("frozen is no boolean");
        assert!(error.contains("invalid type"), "{error}");
        assert_eq!(document::parse(r#"{"format": 1}"#), Ok(Intent::default()));
    }
}
