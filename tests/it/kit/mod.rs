//! The test kit: real programs around meshtraced, and failures of the machine.
//!
//! `tools` downloads the pinned programs. `mesh` is a running scenario: policies, applications (`app`) and
//! Envoys (`envoy`), whose spans a `collector` receives; `program` and `daemon` run meshtraced itself. Waiting is
//! polling or a condition variable with a generous deadline; no test depends on elapsed time.
//! A test that cannot run on the machine panics with the missing requirement, and is never skipped.

pub(crate) mod admin;
pub(crate) mod app;
pub(crate) mod collector;
pub(crate) mod daemon;
pub(crate) mod disk;
pub(crate) mod envoy;
pub(crate) mod example;
pub(crate) mod forge;
pub(crate) mod full_disk;
pub(crate) mod git;
pub(crate) mod http;
pub(crate) mod mesh;
pub(crate) mod mounts;
pub(crate) mod parallel;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod publish;
mod self_test;
pub(crate) mod strace;
pub(crate) mod tools;
pub(crate) mod unprivileged;
pub(crate) mod validate;
pub(crate) mod wait;
pub(crate) mod yaml;
