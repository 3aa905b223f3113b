//! All results of one compile, for commands that inspect them.

use crate::ir::Proxy;
use crate::kuma::Kuma;
use crate::resource::Resources;
use crate::select::{Governed, Selection};

/// All results of one compile.
#[derive(Debug, Clone, Copy)]
pub struct Compilation<'a> {
    /// The resources of the snapshot.
    pub resources: &'a Resources,
    /// The policies that govern every dataplane.
    pub selection: &'a Selection<'a>,
    /// The effective tracing, in the order of the selection.
    pub proxies: &'a [Proxy],
    /// The Kuma control plane whose behaviour was compiled.
    pub kuma: &'a Kuma,
}

impl<'a> Compilation<'a> {
    /// A dataplane with the policies that govern it and its effective tracing.
    #[must_use]
    pub fn find(&self, mesh: &str, name: &str) -> Option<(&'a Governed<'a>, &'a Proxy)> {
        let pairs = self.selection.dataplanes.iter().zip(self.proxies);
        pairs
            .into_iter()
            .find(|(_, proxy)| proxy.mesh == mesh && proxy.name == name)
    }
}
