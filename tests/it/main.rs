//! The one integration test crate: everything that needs the built program, its files or a real Envoy.

mod determinism;
mod golden;
mod kit;
mod kit_test;
mod props;
mod tidy;
