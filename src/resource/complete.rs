//! From the resources of documents to those of a snapshot: what a control plane adds and takes away.

use std::sync::Arc;

use crate::kuma::{Fidelity, Kuma, Version};
use crate::resource::kinds::dataplane::Inbound;
use crate::resource::resources::Resources;
use crate::resource::synthesized;
use crate::resource::value::tags::ZONE;

/// Completes the resources of a snapshot.
pub(super) fn complete(mut resources: Resources, kuma: &Kuma) -> Resources {
    if kuma.fidelity == Fidelity::Exact && kuma.version >= Version::V2_14 {
        forget_zones_of_tagless(&mut resources);
    }
    let synthesized = synthesized::mesh_services(&resources, kuma);
    if !synthesized.is_empty() {
        let services = Arc::make_mut(&mut resources.mesh_services);
        services.extend(synthesized.into_iter().map(Arc::new));
        services.sort_by(|a, b| a.header.order().cmp(&b.header.order()));
    }
    resources
}

/// Removes the zone tag of inbounds without other tags, which Kuma does not add where services are resources.
fn forget_zones_of_tagless(resources: &mut Resources) {
    let Resources { meshes, dataplanes, .. } = resources;
    if !meshes.values().any(|mesh| mesh.has_exclusive_mesh_services) {
        return;
    }
    for dataplane in Arc::make_mut(dataplanes) {
        let mesh = meshes.get(dataplane.header.mesh());
        if mesh.is_some_and(|mesh| mesh.has_exclusive_mesh_services) {
            let is_tagless = |inbound: &Inbound| inbound.service.is_none() && inbound.tags.contains_key(ZONE);
            if !dataplane.inbounds.iter().any(is_tagless) {
                continue;
            }
            let inbounds = &mut Arc::make_mut(dataplane).inbounds;
            let tagless = inbounds.iter_mut().filter(|inbound| is_tagless(inbound));
            tagless.for_each(|inbound| drop(inbound.tags.remove(ZONE)));
        }
    }
}
