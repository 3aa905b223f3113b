//! Commits, read from Git's objects by Git's own program.
//!
//! A commit never changes, so a snapshot of it is whole by construction. Git knows all forms of repositories, and its
//! errors are passed on in its own words. Git is asked for objects alone: it changes nothing, waits for no lock, and
//! uses no network.

mod error;

mod repository;

mod program;

mod tree;

mod commit;

mod difference;

mod revision;

mod submodule;

mod status;

pub(super) use commit::{Part, Tree};
pub use error::GitError;
pub(super) use repository::{Repository, find};
pub use revision::Revision;
pub use status::uncommitted;
