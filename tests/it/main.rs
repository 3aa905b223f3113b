//! The one integration test crate.

mod determinism;
mod golden;
mod props;
mod tidy;
