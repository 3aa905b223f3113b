//! Everything that needs the built program, its files or a real Envoy.

mod conformance;
mod kit;
mod kit_test;
