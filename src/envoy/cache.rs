//! The files of the last compilation.

use std::sync::Arc;

use super::artifact::{Files, ProxyKey};
use super::env::RenderEnv;
use crate::diag::Diagnostics;
use crate::ir::Proxy;
use crate::system::carry;

/// The files of the last compilation, with the proxies that they were rendered from.
#[derive(Debug, Default)]
pub struct Cache {
    env: Option<RenderEnv>,
    known: Vec<Rendered>,
    rendered: usize,
}

/// A proxy with its files, if it can have any, and the findings about them.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) proxy: Arc<Proxy>,
    pub(super) key: ProxyKey,
    pub(super) files: Option<Files>,
    pub(super) findings: Diagnostics,
}

impl Cache {
    /// The number of proxies that the last compilation rendered.
    #[must_use]
    pub fn rendered(&self) -> usize {
        self.rendered
    }

    /// The files of those proxies that were rendered before; `None` for those to render.
    pub(super) fn take(&mut self, proxies: &[&Arc<Proxy>], env: &RenderEnv) -> Vec<Option<Rendered>> {
        let known = std::mem::take(&mut self.known);
        if self.env.as_ref() != Some(env) {
            self.env = Some(env.clone());
            return proxies.iter().map(|_| None).collect();
        }
        carry::over(
            known,
            proxies,
            |known, proxy| (&known.proxy.mesh, &known.proxy.name).cmp(&(&proxy.mesh, &proxy.name)),
            |known, proxy| Arc::ptr_eq(&known.proxy, proxy),
        )
    }

    /// Keeps the files of this compilation, of which some were rendered.
    pub(super) fn put(&mut self, known: Vec<Rendered>, rendered: usize) {
        (self.known, self.rendered) = (known, rendered);
    }
}
