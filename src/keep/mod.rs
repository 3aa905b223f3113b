//! Values that are kept rather than made again: shared by several, or carried over to the next list.

pub mod carry;

mod shared;

pub use shared::Shared;
