//! The `MeshService`s that a control plane synthesizes from dataplanes.
//!
//! A control plane in universal mode synthesizes them for meshes with services as resources: one for every value of
//! the service tag, and from 3.0 on one for every value of the workload label. A declared service takes precedence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::diag::ResourceId;
use crate::kuma::{Kuma, Version};
use crate::resource::document::header::Header;
use crate::resource::document::labels::{DISPLAY_NAME, NAMESPACE, WORKLOAD};
use crate::resource::kinds::dataplane::{Dataplane, Inbound};
use crate::resource::kinds::mesh_service::{Backing, GENERATOR, MANAGED_BY, MeshService, Port};
use crate::resource::resources::Resources;
use crate::resource::value::names::is_dns_label;
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::{SERVICE, Tags};

/// The services that are synthesized from the dataplanes, without those that are declared.
pub(in crate::resource) fn mesh_services(resources: &Resources, kuma: &Kuma) -> Vec<MeshService> {
    let by_workload = kuma.version >= Version::V3_0;
    if !by_workload && !resources.meshes.values().any(|mesh| mesh.has_mesh_services) {
        return Vec::new();
    }
    let mut made: BTreeMap<(&str, &str), MeshService> = BTreeMap::new();
    let written = resources.mesh_services.iter().map(|service| &service.header);
    let written: BTreeSet<(&str, &str)> = (written.filter(|own| own.id.kind == "MeshService"))
        .map(|own| (own.mesh(), own.name()))
        .collect();
    let of_universal = |dataplane: &&Arc<Dataplane>| dataplane.header.label(NAMESPACE).is_none();
    for dataplane in resources.dataplanes.iter().filter(of_universal) {
        let mesh = dataplane.header.mesh();
        if !by_workload && !resources.meshes.get(mesh).is_some_and(|mesh| mesh.has_mesh_services) {
            continue;
        }
        for inbound in &dataplane.inbounds {
            let name = match by_workload {
                true => dataplane.header.label(WORKLOAD),
                false => inbound.service.as_deref(),
            };
            let Some(name) = name.filter(|name| is_dns_label(name) && !written.contains(&(mesh, *name))) else {
                continue;
            };
            let service = made
                .entry((mesh, name))
                .or_insert_with(|| empty(dataplane, name, by_workload, kuma));
            // If dataplanes differ, the first one decides.
            if service.header.at == dataplane.header.at {
                service.ports.push(port(&dataplane.header, inbound));
            }
        }
    }
    made.into_values().collect()
}

fn empty(dataplane: &Dataplane, name: &str, by_workload: bool, kuma: &Kuma) -> MeshService {
    let mesh = dataplane.header.mesh();
    let by = |key: &str| Tags::from_iter([(key.into(), name.into())]);
    let labels = [
        ("kuma.io/mesh", mesh),
        (DISPLAY_NAME, name),
        (MANAGED_BY, GENERATOR),
        ("kuma.io/env", "universal"),
        ("kuma.io/zone", &kuma.zone),
        ("kuma.io/origin", "zone"),
    ];
    let id = ResourceId {
        kind: "MeshService".into(),
        mesh: mesh.into(),
        name: name.into(),
    };
    MeshService {
        header: Header {
            id: Arc::new(id),
            labels: Arc::new(
                labels
                    .map(|(key, value)| (key.into(), value.into()))
                    .into_iter()
                    .collect(),
            ),
            display_name: name.into(),
            creation_time: None,
            verify_collector: None,
            ..dataplane.header.clone()
        },
        ports: Vec::new(),
        backing: Backing::Dataplanes {
            tags: if by_workload { Tags::new() } else { by(SERVICE) },
            labels: if by_workload { by(WORKLOAD) } else { Tags::new() },
            name: None,
        },
    }
}

fn port(header: &Header, inbound: &Inbound) -> Port {
    let unknown = |protocol: &Protocol| *protocol == Protocol::Unknown;
    Port {
        name: Some(inbound.section().into()),
        number: inbound.port,
        protocol: inbound
            .located_protocol(header)
            .filter(|protocol| !unknown(&protocol.value)),
        is_lowercase: true,
        target: Some(inbound.port.to_string()),
    }
}
