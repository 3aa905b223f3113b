//! The cache of one reconciliation after another.

use crate::compile::Compiler;
use crate::source::Reader;
use crate::source::watch::{Health, Watcher};

/// The files that were read and compiled last, so that the next reconciliation repeats less of the work.
///
/// Nothing that is decided or published depends on it: with an empty cache the result is the same, at more cost.
#[derive(Default)]
pub struct Cache {
    pub(super) reader: Reader,
    pub(super) compiler: Compiler,
}

impl Cache {
    /// A cache whose reader may rely on a watch.
    pub fn watch(&mut self, watcher: Watcher) {
        self.reader.watch(watcher);
    }

    /// The health of the watch, if there is one.
    #[must_use]
    pub fn watch_health(&self) -> Option<Health> {
        self.reader.health()
    }
}
