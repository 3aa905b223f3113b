//! Values that are kept rather than made again: shared by several, or carried over to the next list.

pub mod carry;

mod digest;

mod packed;

mod shared;

mod text;

pub use digest::Digest;
pub use packed::Packed;
pub use shared::Shared;
pub use text::{Text, Texts};

use std::sync::Arc;

/// Whether two lists have the very same items.
#[must_use]
pub fn are_same<T>(a: &[Arc<T>], b: &[Arc<T>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}
