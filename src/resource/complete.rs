//! From the resources of single documents to those of a snapshot: unknown meshes, order, and services that a control
//! plane synthesizes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::diag::{Code, Diagnostic, Diagnostics, ResourceId};
use crate::kuma::{Fidelity, Kuma, Version};
use crate::resource::kinds::dataplane::Inbound;
use crate::resource::resources::Resources;
use crate::resource::synthesized;
use crate::resource::value::names::is_mesh_name;
use crate::resource::value::tags::ZONE;
use crate::source::Location;
use crate::words::closest;

/// The position of a resource.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) name: Location,
    pub(super) mesh: Location,
    pub(super) document: usize,
}

/// Completes the resources of a snapshot. `places` has the first position of every resource.
pub(super) fn complete(
    mut resources: Resources,
    places: &HashMap<&ResourceId, &Placed>,
    kuma: &Kuma,
    diagnostics: &mut Diagnostics,
) -> Resources {
    let is_mesh = |id: &&&ResourceId| id.kind == "Mesh";
    resources.declared = places.keys().filter(is_mesh).map(|id| id.name.clone()).collect();
    resources.declared.insert("default".to_owned());
    let Resources { declared, gaps, .. } = &resources;
    // A mesh with an invalid document exists nevertheless.
    let exists = |mesh: &str| declared.contains(mesh) || !gaps.has_all_documents(mesh);
    let unknown: BTreeSet<&str> = places
        .keys()
        .map(|id| id.mesh.as_str())
        .filter(|mesh| !exists(mesh))
        .collect();
    let unknown: BTreeSet<String> = unknown.into_iter().map(str::to_owned).collect();
    // An invalid name has a finding already.
    let of_unknown = places
        .iter()
        .filter(|(id, _)| unknown.contains(&id.mesh) && is_mesh_name(&id.mesh));
    for (id, placed) in of_unknown {
        let message = format!("`{}` is in the mesh `{}`, which does not exist", id.name, id.mesh);
        let help = match closest(&id.mesh, declared.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("declare it: `type: Mesh` with `name: {}`", id.mesh),
        };
        let diagnostic = Diagnostic::error(Code::UnknownMesh, &placed.mesh, message).path("mesh");
        diagnostics.push(diagnostic.help(help).resource(placed.document, (*id).clone()));
    }
    /// Keeps the resources of existing meshes, sorted, and of several with one name the first.
    macro_rules! tidy {
        ($($list:ident)+) => {$(
            resources.$list.retain(|resource| !unknown.contains(resource.header.mesh()));
            resources.$list.sort_by(|a, b| a.header.order().cmp(&b.header.order()));
            resources.$list.dedup_by(|a, b| a.header.id == b.header.id);
        )+};
    }
    tidy! {
        traffic_traces traffic_routes dataplanes mesh_traces mesh_gateways http_routes tcp_routes otel_backends
        external_services mesh_services other_policies
    }
    if kuma.fidelity == Fidelity::Exact && kuma.version >= Version::V2_14 {
        forget_zones_of_tagless(&mut resources);
    }
    let synthesized = synthesized::mesh_services(&resources, kuma);
    resources.mesh_services.extend(synthesized.into_iter().map(Arc::new));
    (resources.mesh_services).sort_by(|a, b| a.header.order().cmp(&b.header.order()));
    resources
}

/// Removes the zone tag of inbounds without other tags, which Kuma does not add where services are resources.
fn forget_zones_of_tagless(resources: &mut Resources) {
    for dataplane in &mut resources.dataplanes {
        let mesh = resources.meshes.get(dataplane.header.mesh());
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
