//! The files of the last compilation.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::artifact::{Files, Fragments, ProxyKey};
use super::env::RenderEnv;
use super::shape::Shaped;
use crate::diag::Diagnostics;
use crate::keep::carry;

/// The files of the last compilation, with the proxies that they were rendered from.
#[derive(Debug, Default)]
pub struct Cache {
    env: Option<RenderEnv>,
    known: Vec<Worked>,
    fragments: Arc<Fragments>,
    rendered: usize,
}

/// A proxy with its files, and the findings about it.
#[derive(Debug)]
pub(super) struct Worked {
    pub(super) shaped: Shaped,
    /// `None` for a proxy that may not be published.
    pub(super) files: Option<Files>,
    pub(super) findings: Diagnostics,
}

impl Cache {
    /// The number of proxies that the last compilation rendered.
    #[must_use]
    pub fn rendered(&self) -> usize {
        self.rendered
    }

    /// The proxies of the last compilation.
    pub(super) fn known(&self) -> &[Worked] {
        &self.known
    }

    /// The files of all proxies of the last compilation that have some.
    pub(super) fn fragments(&self) -> &Arc<Fragments> {
        &self.fragments
    }

    /// Goes on to the next compilation, with files that `render` makes of those proxies that are not as in the last one.
    /// Those proxies and the ones that are gone are the result; `None` if all may have other files.
    pub(super) fn update(
        &mut self,
        all: &[&Shaped],
        env: &RenderEnv,
        render: impl FnOnce(&[&Shaped]) -> Vec<Worked>,
    ) -> Option<BTreeSet<ProxyKey>> {
        let is_comparable = self.env.as_ref() == Some(env);
        if !is_comparable {
            *self = Self {
                env: Some(env.clone()),
                ..Self::default()
            };
        }
        let updated = carry::update(
            &mut self.known,
            all,
            |known, shaped| known.key().cmp(&shaped.proxy.key),
            |known, shaped| known.shaped.is_same(shaped),
            render,
        );
        self.rendered = updated.made.len();
        // Nobody else has the map any more, unless the last compilation is still looked at.
        let fragments = Arc::make_mut(&mut self.fragments);
        for gone in &updated.gone {
            fragments.remove(gone.key());
        }
        let new = updated.made.into_iter().map(|i| &self.known[i]);
        for one in new.clone() {
            match &one.files {
                Some(files) => drop(fragments.insert(one.key().clone(), files.clone())),
                None => drop(fragments.remove(one.key())),
            }
        }
        let changed = updated.gone.iter().chain(new).map(|one| one.key().clone());
        is_comparable.then(|| changed.collect())
    }
}

impl Worked {
    /// The key of the proxy.
    pub(super) fn key(&self) -> &ProxyKey {
        &self.shaped.proxy.key
    }
}
