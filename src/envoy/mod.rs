//! From effective tracing to what Envoy reads.
//!
//! Field names, `@type` URLs and cluster names live here; policies do not.

pub mod artifact;
