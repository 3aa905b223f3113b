//! A commit, with the names that people know it by.

use serde::{Deserialize, Serialize};

/// A commit that was read, or that `HEAD` names beside the files that were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The whole id, as hexadecimal digits.
    pub id: String,
    /// The branch that `HEAD` names; `None` when `HEAD` is detached.
    pub branch: Option<String>,
    /// The first line of the message.
    pub subject: String,
    /// Whether the files that were read differ from those of the commit.
    pub is_modified: bool,
}

impl Commit {
    /// The abbreviated id, as people write it.
    pub(super) fn short(&self) -> String {
        self.id.chars().take(7).collect()
    }

    /// The name of the commit for people: `main@3f2c1ab`, with a `+` where the files differ from the commit.
    #[must_use]
    pub fn name(&self) -> String {
        let short = self.short();
        let branch = self
            .branch
            .as_ref()
            .map_or(String::new(), |branch| format!("{branch}@"));
        let modified = if self.is_modified { "+" } else { "" };
        format!("{branch}{short}{modified}")
    }
}
