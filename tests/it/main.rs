//! The one integration test crate.

mod determinism;
mod tidy;
