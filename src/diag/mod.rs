//! How a finding looks: [`Diagnostic`], its [`Code`] and [`Severity`], and the formats it is shown in.
//!
//! A diagnostic is data, which [`render`] makes readable for people and programs. What is wrong with a policy is
//! decided by the modules that read it.

mod code;

mod diagnostic;

pub mod render;

pub use code::Code;
pub use diagnostic::{Diagnostic, Diagnostics, Holds, Place, ResourceId, Severity, Sorter};
