//! meshtraced's own configuration: as it is written, and with its meaning.
//!
//! Settings come from one YAML file, then from `MESHTRACED_*` variables, then from options of the command
//! line; each overrides the ones before. [`Settings`] has them checked and complete.
//!
//! Two languages of globs exist side by side. `include` and `exclude` match paths with `globset`, where `**` crosses directories;
//! `select` and the rules of `reload` match names with `*` alone, as in `select::scope`.

mod error;

pub mod reload;

mod model;

mod raw;

mod env;

mod ids;

mod resolve;

mod load;

pub use error::SettingsError;
pub use model::{Admin, Control, EnvoySettings, OnDrift, OnError, Overrides, Settings};
