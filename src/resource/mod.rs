//! Kuma's nouns, each with the places its values came from.
//!
//! Start with [`parse()`] and [`Resources`]. Every kind has a file in `kinds` that decodes it and checks its fields as
//! Kuma would; looking from one resource to another is left to later stages, but for what makes a resource
//! belong: its mesh and its name.

pub mod decode;

pub mod value;

pub mod document;

pub mod kinds;

mod resources;

mod synthesized;

mod parse;

pub use decode::{Effective, Located, Origin, Provenance, TextMap};
pub use document::{DISPLAY_NAME, Header, Kind, NAMESPACE, Role, WORKLOAD, ZONE_LABEL};
pub use parse::parse;
pub use resources::{Contributions, Gaps, Resources};
