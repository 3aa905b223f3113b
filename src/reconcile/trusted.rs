//! The published files as they were left, which are not read again.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::compile::Compiled;
use crate::envoy::artifact::ProxyKey;
use crate::plan::{Applied, Desired};

/// The published files as the last reconciliation left them.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) published: Arc<Applied>,
    /// The proxies with other files than the policies asked for then; `None` if that is not known of all.
    pub(super) open: Option<BTreeSet<ProxyKey>>,
    /// The proxies whose files somebody may have touched since.
    pub(super) touched: BTreeSet<ProxyKey>,
}

impl Trusted {
    /// The files that were published by a reconciliation that looked at the proxies of `looked_at`; `None` stands for all.
    pub(super) fn after(
        published: &Arc<Applied>,
        compiled: Option<&Compiled>,
        looked_at: Option<&BTreeSet<ProxyKey>>,
    ) -> Self {
        let open = compiled.map(|compiled| {
            let desired = Desired::new(Some(&compiled.fragments), looked_at);
            desired.differing(published).cloned().collect()
        });
        Self {
            published: Arc::clone(published),
            open,
            touched: BTreeSet::new(),
        }
    }

    /// The proxies that may not have the files that the policies ask for now, after a compile with the given `changed` ones; `None` if
    /// any may not.
    pub(super) fn open_now(&self, changed: &BTreeSet<ProxyKey>) -> Option<BTreeSet<ProxyKey>> {
        let open = self.open.as_ref()?;
        Some(open.iter().chain(changed).chain(&self.touched).cloned().collect())
    }
}
