//! The one integration test crate: everything that needs the built program, its files or a real Envoy.

mod accepted;
mod bad_days;
mod cli;
mod conformance;
mod crash;
mod determinism;
mod drift;
mod end_to_end;
mod findings;
mod golden;
mod history;
mod kit;
mod kit_test;
mod mesh;
mod places;
mod propagation;
mod props;
mod publish;
mod readme;
mod schema;
mod starting;
mod stubborn;
mod tidy;
