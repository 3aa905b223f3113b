//! The files of the last compilation.

use super::artifact::Files;
use super::env::RenderEnv;
use super::shape::Shaped;
use crate::diag::Diagnostics;
use crate::keep::carry;

/// The files of the last compilation, with the proxies that they were rendered from.
#[derive(Debug, Default)]
pub struct Cache {
    env: Option<RenderEnv>,
    known: Vec<Worked<Files>>,
    rendered: usize,
}

/// A proxy with the result of some work for it, and the findings about it.
#[derive(Debug)]
pub(super) struct Worked<T> {
    pub(super) shaped: Shaped,
    /// `None` for a proxy that may not be published.
    pub(super) result: Option<T>,
    pub(super) findings: Diagnostics,
}

impl Cache {
    /// The number of proxies that the last compilation rendered.
    #[must_use]
    pub fn rendered(&self) -> usize {
        self.rendered
    }

    /// The files of those proxies that were rendered before; `None` for those to render.
    pub(super) fn take(&mut self, all: &[&Shaped], env: &RenderEnv) -> Vec<Option<Worked<Files>>> {
        let known = std::mem::take(&mut self.known);
        if self.env.as_ref() != Some(env) {
            self.env = Some(env.clone());
            return all.iter().map(|_| None).collect();
        }
        let order = |known: &Worked<Files>, shaped: &&Shaped| known.shaped.proxy.key.cmp(&shaped.proxy.key);
        let carried = carry::over(known, all, order).known.into_iter().zip(all);
        let current = carried.map(|(known, shaped)| known.filter(|known| known.shaped.is_same(shaped)));
        current.collect()
    }

    /// Keeps the files of this compilation, of which some were rendered.
    pub(super) fn put(&mut self, known: Vec<Worked<Files>>, rendered: usize) {
        (self.known, self.rendered) = (known, rendered);
    }
}
