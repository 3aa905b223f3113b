//! Reads a commit out of Git's objects, by Git's own program.
//!
//! What a commit holds never changes, so that a snapshot of it is whole by construction. Git knows all forms of
//! repositories; what it refuses is told in its words. It is asked for objects alone: it changes nothing, waits for
//! no lock, and reaches for no network.

mod error;

mod repository;

mod program;

mod tree;

mod commit;

pub(super) use commit::Tree;
pub use error::GitError;
pub(super) use repository::{Repository, find};
