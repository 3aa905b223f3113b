//! The `MeshTrace` policies for a dataplane, in order of precedence and merged.

use super::target;
use crate::resource::kinds::mesh_trace::{Backend, MeshTrace, Sampling, Tag};

/// The policies that match a dataplane, and the merged policy.
#[derive(Debug, Clone)]
pub struct Traces<'a> {
    /// The policies, by increasing precedence.
    pub policies: Vec<&'a MeshTrace>,
    /// The merged policy; `None` without a policy.
    pub merged: Option<Merged<'a>>,
}

/// Several policies merged: every field from the strongest policy that sets it.
#[derive(Debug, Clone)]
pub struct Merged<'a> {
    /// The strongest policy, which provides the backend.
    pub strongest: &'a MeshTrace,
    /// The backend; `None` when the strongest policy switches tracing off.
    pub backend: Option<&'a Backend>,
    /// The sampling percentages, each from the strongest policy that sets it.
    pub sampling: Sampling,
    /// The tags, all from the strongest policy with a list of tags.
    pub tags: &'a [Tag],
}

impl<'a> Traces<'a> {
    /// The given policies, which are in the order of their names.
    pub(super) fn of(mut policies: Vec<&'a MeshTrace>) -> Self {
        target::sort(&mut policies);
        let merged = merge(&policies);
        Self { policies, merged }
    }
}

fn merge<'a>(policies: &[&'a MeshTrace]) -> Option<Merged<'a>> {
    let strongest = *policies.last()?;
    let mut sampling = Sampling::default();
    let mut tags: &[Tag] = &[];
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
        tags = policy.conf.tags.as_deref().unwrap_or(tags);
    }
    Some(Merged {
        strongest,
        backend: strongest.conf.backend.value.as_ref(),
        sampling,
        tags,
    })
}
