//! The sources of policies: the files of one moment, and locations inside them.
//!
//! Start with [`Snapshot`]. This module knows text and positions, and nothing of the meaning of a text.
//! [`read()`] fills a snapshot from directories and commits, and [`watch`] tells when it is time for the next one.

pub mod filter;

mod form;

mod file;

mod source_files;

mod location;

mod proxy_path;

mod sources;

mod base;

mod commit;

mod text;

mod known;

mod git;

mod committed;

mod error;

mod dir;

mod read_mode;

mod worktree;

mod seal;

mod snapshot;

mod read;

mod wanted;

pub mod watch;

mod changing;

mod reader;

pub use base::BaseFiles;
pub use changing::ReadWork;
pub use commit::Commit;
pub use error::ReadError;
pub use file::{Link, LinkFault, LinkKind, SourceFile, Unreadable, UnreadableReason, Vars};
pub use git::{GitError, Revision, uncommitted};
pub use location::{Location, Opened, Span};
pub use proxy_path::ProxyPath;
pub use read_mode::{Consistency, describe};
pub use reader::{Reader, Scan, read};
pub use seal::look;
pub use snapshot::{ReadOrigin, Snapshot};
pub use source_files::SourceFiles;
pub use sources::{Mode, Root, Sources};
