//! What is on our disk: published files, the list of those that are ours, the history, and other files of
//! meshtraced's own.
//!
//! No Envoy is known here; `envoy` asks them, and `publish` knows both.

pub(in crate::apply) mod dir;

pub(in crate::apply) mod output;

pub(in crate::apply) mod document;

pub(in crate::apply) mod lock;

pub(in crate::apply) mod files;

pub(in crate::apply) mod shard;

pub(in crate::apply) mod known;

pub(in crate::apply) mod inventory;

pub mod intent;

pub mod file_meshes;

pub mod disposable;

pub mod secrets;

pub mod observe;

pub mod watch;

pub mod history;

pub use lock::Lock;
pub(in crate::apply) use output::OpenOutput;
pub use output::OutputDir;
