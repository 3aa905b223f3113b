//! meshtraced compiles Kuma tracing policies into Envoy configuration, without a control plane.
//!
//! Data moves one way, one noun per arrow:
//!
//! ```text
//! files -> Snapshot -> Resources -> Selection -> Tracing -> Fragments -> Plan -> files on disk -> Envoy
//!       source     resource      select        ir       envoy       plan     apply
//! ```
//!
//! The modules below stand in that order, each in a group of its own so that no tool sorts them, and a
//! module uses only those above it; `tests/it/tidy/order.rs` checks it, here and inside every folder.

pub mod words;

pub mod sorted;

#[macro_use]
pub mod settings_value;

pub mod keep;

pub mod system;

pub mod source;

pub mod diag;

pub mod yaml;

pub mod kuma;

pub mod collectors;

pub mod resource;

pub mod schema;

pub mod select;

pub mod spans;

pub mod ir;

pub mod envoy;

pub mod adopt;

pub mod compilation;

pub mod shapes;

pub mod explain;

pub mod check;

pub mod compile;

pub mod migrate;

pub mod plan;

pub mod settings;

pub mod telemetry;

pub mod apply;

pub mod reconcile;

pub mod daemon;

pub mod cli;
