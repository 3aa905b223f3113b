//! The cache of one reconciliation after another.

use crate::compile::Compiler;
use crate::source::Reader;

/// The files that were read and compiled last, so that the next reconciliation repeats less of the work.
///
/// Nothing that is decided or published depends on it: with an empty cache the result is the same, at more cost.
#[derive(Debug, Default)]
pub struct Cache {
    pub(super) reader: Reader,
    pub(super) compiler: Compiler,
}
