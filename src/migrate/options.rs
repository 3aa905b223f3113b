//! The options of a migration.

use crate::compile;
use crate::kuma::Version;

/// The options of a migration.
#[derive(Debug, Clone)]
pub struct Options {
    /// The options of compiles; fidelity, scope and extent do not matter.
    pub compile: compile::Options,
    /// The version of Kuma that the tree is for afterwards.
    pub to: Version,
    /// Whether the older policies stay, with the new ones beside them that have no effect yet.
    pub keep: bool,
}
