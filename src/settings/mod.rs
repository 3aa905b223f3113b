//! meshtraced's own configuration.
//!
//! Settings come from one YAML file, then from `MESHTRACED_*` variables, then from options of the command line; each
//! overrides the ones before. [`Settings`] declares every key once, with its type, default, meaning and an example;
//! the names of the variables, the JSON Schema and `docs/settings.md` are derived from the declaration.
//!
//! Two languages of globs exist side by side. `include` and `exclude` match paths with `globset`, where `**` crosses
//! directories; `select` and the rules of `reload` and `shapes` match names with `*` alone, as in `words::fits`.

mod error;

mod ids;

mod values;

mod policies;

pub mod reload;

pub mod shapes;

mod model;

pub mod keys;

mod load;

pub use error::SettingsError;
pub use ids::{Group, User};
pub use model::{Control, EnvoySettings, OnDrift, OnError, Overrides, Settings};
pub use policies::Policies;
pub use values::{Admin, FileMode, LoopbackAddress, ProgramPath};
