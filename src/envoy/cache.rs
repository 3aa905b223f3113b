//! The files of the last compilation.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::artifact::{FEW_PROXIES, Files, Fragments, ProxyKey};
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
    /// The findings about features that sidecars lack, unless those may be others now.
    left_out: Option<Diagnostics>,
    /// The text that those of the proxies are like, once they are many.
    sample: Option<Arc<str>>,
    rendered: usize,
}

/// A proxy with its files, and the findings about it.
#[derive(Debug)]
pub(super) struct Worked {
    pub(super) shaped: Arc<Shaped>,
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

    /// The findings about features that sidecars of this compilation lack, which `report` makes if they are not known.
    pub(super) fn left_out(&mut self, report: impl FnOnce() -> Diagnostics) -> &Diagnostics {
        self.left_out.get_or_insert_with(report)
    }

    /// The text that those of `all` proxies are like, if they are many; `make` makes it if none is known for files of `env`.
    pub(super) fn sample(
        &mut self,
        all: usize,
        env: &RenderEnv,
        make: impl FnOnce() -> Option<Arc<str>>,
    ) -> Option<Arc<str>> {
        let known = self.sample.take().filter(|_| self.env.as_ref() == Some(env));
        if all > FEW_PROXIES {
            self.sample = known.or_else(make);
        }
        self.sample.clone()
    }

    /// Goes on to the next compilation, with files that `render` makes of those proxies that are not as in the last one.
    /// Those proxies and the ones that are gone are the result; `None` if all may have other files.
    pub(super) fn update(
        &mut self,
        all: &[&Arc<Shaped>],
        env: &RenderEnv,
        render: impl FnOnce(&[&Arc<Shaped>]) -> Vec<Worked>,
    ) -> Option<BTreeSet<ProxyKey>> {
        let is_comparable = self.env.as_ref() == Some(env);
        if !is_comparable {
            *self = Self {
                env: Some(env.clone()),
                sample: self.sample.take(),
                ..Self::default()
            };
        }
        let updated = carry::update(
            &mut self.known,
            all,
            |known, shaped| known.key().cmp(&shaped.proxy.key),
            |known, shaped| Arc::ptr_eq(&known.shaped, shaped) || known.shaped.is_same(shaped),
            render,
        );
        self.rendered = updated.made.len();
        // Nobody else has the map any more, unless the last compilation is still looked at.
        let fragments = Arc::make_mut(&mut self.fragments);
        for gone in &updated.gone {
            fragments.remove(gone.key());
        }
        let new = updated.made.into_iter().map(|i| &self.known[i]);
        let is_left_out_as_before = updated.replaced.is_some_and(|replaced| {
            let mut pairs = replaced.iter().zip(new.clone());
            pairs.all(|(old, new)| old.shaped.leaves_out_as(&new.shaped))
        });
        self.left_out = self.left_out.take().filter(|_| is_left_out_as_before);
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
