//! The reasons for the tracing of a proxy: every value with its origin, every policy with its outcome.
//!
//! [`explain`] collects the decisions of the earlier stages and makes none itself. [`inspect`] answers the reverse
//! question, [`text`] writes both for people, and both serialize to JSON.

mod place;

pub mod policies;

pub mod propagation;

pub mod sampling;

pub mod values;

mod explanation;

pub mod outcomes;

pub mod text;

pub mod inspect;

pub use explanation::{Explanation, ListenerOf, explain};
pub use place::Place;
