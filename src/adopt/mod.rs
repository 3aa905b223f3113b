//! A Dataplane for an Envoy that somebody configured: what its configuration says of listeners and destinations.

mod fields;

mod existing;

mod proposal;

pub use existing::{Existing, NotEnvoy};
pub use proposal::propose;
