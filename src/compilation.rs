//! All results of one compile, for commands that inspect them.

use std::sync::Arc;

use crate::collectors::Collectors;
use crate::ir::Proxy;
use crate::kuma::Kuma;
use crate::resource::Resources;
use crate::select::{Governed, Selection};

/// All results of one compile.
#[derive(Debug, Clone, Copy)]
pub struct Compilation<'c, 'a> {
    /// The resources of the snapshot.
    pub resources: &'c Resources,
    /// The policies that govern every dataplane.
    pub selection: &'c Selection<'a>,
    /// The dataplanes that were lowered, in the order of the selection.
    pub lowered: &'c [&'c Governed<'a>],
    /// The effective tracing of each of them.
    pub proxies: &'c [Arc<Proxy>],
    /// The Kuma control plane whose behaviour was compiled.
    pub kuma: &'c Kuma,
    /// The collectors as the settings describe them.
    pub collectors: &'c Collectors,
}

impl<'c, 'a> Compilation<'c, 'a> {
    /// The dataplanes that were lowered, each with its effective tracing.
    pub fn pairs(&self) -> impl Iterator<Item = (&'c Governed<'a>, &'c Proxy)> {
        self.each().map(|lowered| (lowered.governed, lowered.proxy.as_ref()))
    }

    /// The dataplanes that were lowered, each with all that questions about it alone need.
    pub fn each(&self) -> impl Iterator<Item = Lowered<'c, 'a>> {
        let pairs = self.lowered.iter().copied().zip(self.proxies);
        pairs.map(|(governed, proxy)| Lowered {
            governed,
            proxy,
            kuma: self.kuma,
        })
    }

    /// A dataplane with the policies that govern it and its effective tracing.
    #[must_use]
    pub fn find(&self, mesh: &str, name: &str) -> Option<(&'c Governed<'a>, &'c Proxy)> {
        self.pairs()
            .find(|(_, proxy)| proxy.key.mesh == mesh && proxy.key.dataplane == name)
    }
}

/// A dataplane that was lowered.
#[derive(Debug, Clone, Copy)]
pub struct Lowered<'c, 'a> {
    /// The dataplane with the policies that govern it.
    pub governed: &'c Governed<'a>,
    /// The effective tracing of the dataplane.
    pub proxy: &'c Arc<Proxy>,
    /// The Kuma control plane whose behaviour was compiled.
    pub kuma: &'c Kuma,
}
