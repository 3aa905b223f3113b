//! Kuma's resources, with the origin of every value.
//!
//! Start with [`parse()`] and [`Resources`]. Every kind has a file in `kinds` that decodes it and checks its fields
//! as Kuma would. Relations between resources belong to later stages, except for the identity of a resource:
//! its mesh and its name.

pub mod decode;

pub mod value;

pub mod document;

pub mod kinds;

mod resources;

mod synthesized;

mod complete;

mod documents;

mod cache;

mod parse;

pub use cache::{Cache, ParseOptions};
pub use decode::{Effective, Located, Origin, Provenance, Spanned, TextMap};
pub use document::{
    DISPLAY_NAME, Form, Header, Kind, MESH_LABEL, NAMESPACE, Role, VERIFY_COLLECTOR, WORKLOAD, ZONE_LABEL,
    is_qualified_name,
};
pub use parse::parse;
pub use resources::{Contributions, Gaps, List, Resources, are_same};
