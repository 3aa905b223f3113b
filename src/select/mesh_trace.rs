//! The `MeshTrace` policies for a dataplane, in order of precedence and merged.

use std::sync::Arc;

use super::target;
use crate::resource::kinds::mesh_trace::{Backend, MeshTrace, Sampling, Tag};

/// The policies that match a dataplane, and the merged policy.
#[derive(Debug, Clone)]
pub struct Traces {
    /// The policies, by increasing precedence.
    pub policies: Vec<Arc<MeshTrace>>,
    /// The merged policy; `None` without a policy.
    pub merged: Option<Merged>,
}

/// Several policies merged: every field from the strongest policy that sets it.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The strongest policy, which provides the backend.
    pub strongest: Arc<MeshTrace>,
    /// The sampling percentages, each from the strongest policy that sets it.
    pub sampling: Sampling,
    /// The strongest policy with a list of tags.
    tagging: Option<Arc<MeshTrace>>,
}

impl Merged {
    /// The backend; `None` when the strongest policy switches tracing off.
    #[must_use]
    pub fn backend(&self) -> Option<&Backend> {
        self.strongest.conf.backend.value.as_ref()
    }

    /// The tags, all from the strongest policy with a list of tags.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        let tags = self.tagging.as_ref().and_then(|policy| policy.conf.tags.as_deref());
        tags.unwrap_or_default()
    }
}

impl Traces {
    /// The given policies, which are in the order of their names.
    pub fn of(mut policies: Vec<Arc<MeshTrace>>) -> Self {
        target::sort(&mut policies);
        let merged = merge(&policies);
        Self { policies, merged }
    }
}

fn merge(policies: &[Arc<MeshTrace>]) -> Option<Merged> {
    let strongest = Arc::clone(policies.last()?);
    let mut sampling = Sampling::default();
    for policy in policies {
        let own = &policy.conf.sampling;
        let stronger = |merged: &mut Option<_>, own: &Option<_>| {
            if own.is_some() {
                merged.clone_from(own);
            }
        };
        stronger(&mut sampling.overall, &own.overall);
        stronger(&mut sampling.client, &own.client);
        stronger(&mut sampling.random, &own.random);
    }
    let tagging = policies.iter().rev().find(|policy| policy.conf.tags.is_some());
    Some(Merged {
        strongest,
        sampling,
        tagging: tagging.cloned(),
    })
}
