//! Decoding of fields, with findings about errors and the origin of every value.

pub(in crate::resource) mod origin;

pub(in crate::resource) mod effective;

pub(in crate::resource) mod context;

pub(in crate::resource) mod decoder;

pub(in crate::resource) mod number;

pub(in crate::resource) mod object;

pub use effective::{Effective, Provenance};
pub use object::TextMap;
pub use origin::{Located, Origin, Spanned};
