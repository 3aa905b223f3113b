//! A commit, as people know it.

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its whole id.
    pub id: String,
    /// The branch that it was reached by.
    pub branch: Option<String>,
    /// The first line of its message.
    pub subject: String,
    /// Whether the files that were read are others than its own.
    pub is_modified: bool,
}

impl Commit {
    /// The beginning of its id, as people write it.
    pub(super) fn short(&self) -> String {
        self.id.chars().take(7).collect()
    }

    /// What people call it: `main@3f2c1ab`, with a `+` where the files differ from it.
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
