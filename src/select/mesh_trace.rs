//! The `MeshTrace` policies for a dataplane, in order of precedence and merged.

use std::cmp::Ordering;

use super::target;
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::kinds::mesh_gateway::MeshGateway;
use crate::resource::kinds::mesh_trace::{Backend, MeshTrace, Sampling, Tag};
use crate::resource::kinds::target_ref::Target;

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

/// The policies that match a dataplane.
pub(super) fn traces<'a>(
    dataplane: &'a Dataplane,
    gateway: Option<&'a MeshGateway>,
    policies: &'a [MeshTrace],
) -> Traces<'a> {
    let is_for = |policy: &&MeshTrace| {
        policy.header.mesh() == dataplane.header.mesh()
            && target::mismatch(&policy.header, &policy.target, dataplane, gateway).is_none()
    };
    let mut policies: Vec<&MeshTrace> = policies.iter().filter(is_for).collect();
    sort(&mut policies);
    let merged = merge(&policies);
    Traces { policies, merged }
}

/// Sorts by increasing precedence, as a control plane sorts a list that is ordered by name.
///
/// [`precedence`] is not transitive: a policy for all dataplanes ties with one by name and with one by labels. The
/// result depends on the sorting algorithm, which is therefore the control plane's.
fn sort(policies: &mut [&MeshTrace]) {
    for i in 1..policies.len() {
        let mut j = i;
        while j > 0 && compare(policies[j], policies[j - 1]) == Ordering::Less {
            policies.swap(j, j - 1);
            j -= 1;
        }
    }
}

fn compare(a: &MeshTrace, b: &MeshTrace) -> Ordering {
    precedence(a, b).then_with(|| b.header.display_name.cmp(&a.header.display_name))
}

/// The order of precedence of two policies, without their names.
#[must_use]
pub fn precedence(a: &MeshTrace, b: &MeshTrace) -> Ordering {
    let target_precedence = |policy: &MeshTrace| policy.target.target.target_precedence();
    target_precedence(a)
        .cmp(&target_precedence(b))
        .then_with(|| by_dataplane(&a.target.target, &b.target.target))
        .then_with(|| a.header.origin_precedence().cmp(&b.header.origin_precedence()))
        .then_with(|| a.header.role().cmp(&b.header.role()))
}

/// Orders targets of kind `Dataplane`: one by name is narrower than one by labels.
fn by_dataplane(a: &Target, b: &Target) -> Ordering {
    let by = |target: &Target| match target {
        Target::Dataplane { name: Some(_), .. } => Some(2),
        Target::Dataplane { labels: Some(_), .. } => Some(1),
        Target::Dataplane { .. } | Target::Mesh { .. } | Target::Service { .. } | Target::Gateway { .. } => None,
    };
    match (by(a), by(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => Ordering::Equal,
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
