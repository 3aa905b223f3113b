//! The test kit: real programs around meshtraced, and the bad days a machine can have.
//!
//! `tools` fetches the pinned programs. `mesh` is a scenario that runs for real: policies, applications (`app`) and
//! Envoys (`envoy`), whose spans a `collector` takes; `program` and `daemon` run meshtraced itself. Waiting is
//! polling or a condition variable with a deadline that nobody should meet; no test depends on how long a thing took.
//! What a test cannot do on this machine is a panic that says what to install, never a skip.

pub(crate) mod admin;
pub(crate) mod app;
pub(crate) mod collector;
pub(crate) mod daemon;
pub(crate) mod disk;
pub(crate) mod envoy;
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
