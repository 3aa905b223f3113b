//! The proxies of the last compilation.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::proxy::Proxy;
use crate::collectors::Collectors;
use crate::diag::Diagnostics;
use crate::keep::carry;
use crate::kuma::Kuma;
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::value::protocol::Protocol;
use crate::select::inquiry::Sources;
use crate::select::{Governed, Policies, Selection};
use crate::spans::Spans;

/// The proxies of the last compilation, with what they were lowered from.
#[derive(Debug, Default)]
pub struct Cache {
    /// The control plane, and the protocols, collectors and spans of the settings.
    of: Option<(Kuma, BTreeMap<String, Protocol>, Collectors, Spans)>,
    known: Vec<Known>,
    proxies: Arc<Vec<Arc<Proxy>>>,
    lowered: usize,
}

/// A proxy with everything that it was lowered from, and the findings about it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) dataplane: Arc<Dataplane>,
    pub(super) policies: Arc<Policies>,
    pub(super) is_complete: bool,
    pub(super) sources: Sources,
    pub(super) proxy: Arc<Proxy>,
    pub(super) found: Diagnostics,
}

impl Known {
    fn is_current(&self, governed: &Governed, selection: &Selection) -> bool {
        Arc::ptr_eq(&self.dataplane, governed.dataplane)
            && Arc::ptr_eq(&self.policies, governed.policies)
            && self.is_complete == governed.is_complete
            && self.sources.are_current(&self.dataplane, selection.services)
    }
}

impl Cache {
    /// The number of proxies that the last compilation lowered.
    #[must_use]
    pub fn lowered(&self) -> usize {
        self.lowered
    }

    /// Goes on to the next compilation, with proxies that `lower` makes of those dataplanes whose proxies are not as they were.
    pub(super) fn update<'g>(
        &mut self,
        dataplanes: &[&'g Governed<'g>],
        selection: &Selection,
        spans: &Spans,
        lower: impl FnOnce(&[&'g Governed<'g>]) -> Vec<Known>,
    ) -> (&[Known], &Arc<Vec<Arc<Proxy>>>) {
        let options = selection.options;
        let of = (
            options.kuma.clone(),
            options.hints.clone(),
            options.collectors.clone(),
            spans.clone(),
        );
        if self.of.as_ref() != Some(&of) {
            self.of = Some(of);
            self.known.clear();
            self.proxies = Arc::default();
        }
        let updated = carry::update(
            &mut self.known,
            dataplanes,
            |known, governed| known.dataplane.cmp_by_name(governed.dataplane),
            |known, governed| known.is_current(governed, selection),
            lower,
        );
        self.lowered = updated.made.len();
        let proxy = |known: &Known| Arc::clone(&known.proxy);
        if updated.replaced.is_some() {
            // Nobody else has the list any more, unless the last compilation is still looked at.
            let proxies = Arc::make_mut(&mut self.proxies);
            for i in updated.made {
                proxies[i] = proxy(&self.known[i]);
            }
        } else {
            self.proxies = Arc::new(self.known.iter().map(proxy).collect());
        }
        (&self.known, &self.proxies)
    }
}
