//! Why a proxy traces as it does: every value with its origin, every policy with its outcome.
//!
//! [`explain`] puts together what the stages before decided; nothing is decided here. [`inspect`] asks the other way
//! round, [`text`] makes both readable, and both can be written as JSON as they are.

mod place;

pub mod policies;

pub mod propagation;

pub mod values;

mod explanation;

pub mod outcomes;

pub mod text;

pub mod inspect;

pub use explanation::{Explanation, ListenerOf, explain};
pub use place::Place;
