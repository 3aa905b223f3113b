//! The services of 3.0 that outbounds refer to. A control plane makes one of each workload; a service of some other dataplanes is
//! declared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::labels::{Labelling, Labels};
use crate::migrate::edits::Changes;
use crate::migrate::part::NewResource;
use crate::resource::WORKLOAD;
use crate::resource::kinds::dataplane::{Dataplane, Destination, Inbound, SERVICELESS_PORT};
use crate::resource::kinds::mesh_service::MeshService;
use crate::resource::value::names::is_dns_label;
use crate::resource::value::protocol::Protocol;
use crate::select::Governed;

/// The services that outbounds refer to.
#[derive(Default)]
pub(super) struct Services {
    /// The port of each service: that of its first inbound.
    ports: BTreeMap<String, u16>,
    /// The labels of each dataplane by which declared services find it.
    pub(super) labels: Vec<Labels>,
}

impl Services {
    /// The services of the outbounds of a mesh. Those that are declared are added behind their first dataplane.
    pub(super) fn of(
        dataplanes: &[&Governed],
        labelling: &Labelling,
        existing: &[Arc<MeshService>],
        changes: &mut Changes,
    ) -> Self {
        let mut inbounds: BTreeMap<&str, Vec<(usize, &Inbound)>> = BTreeMap::new();
        let mut workloads: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for (i, (governed, labels)) in dataplanes.iter().zip(&labelling.labels).enumerate() {
            let dataplane = governed.dataplane;
            for inbound in dataplane
                .inbounds
                .iter()
                .filter(|inbound| inbound.port != SERVICELESS_PORT)
            {
                if let Some(service) = &inbound.service {
                    inbounds.entry(service.as_str()).or_default().push((i, inbound));
                }
            }
            let workload = dataplane
                .header
                .label(WORKLOAD)
                .or(labels.get(WORKLOAD).map(String::as_str));
            workload.map(|workload| workloads.entry(workload).or_default().insert(i));
        }
        let mut services = Self {
            labels: vec![Labels::new(); dataplanes.len()],
            ..Self::default()
        };
        for name in destinations(dataplanes) {
            if let Some(known) = existing
                .iter()
                .find(|service| service.header.name() == name && !service.is_synthesized())
            {
                services
                    .ports
                    .extend(known.ports.first().map(|port| (name.to_owned(), port.number)));
                continue;
            }
            let Some(own) = inbounds.get(name) else { continue };
            services.ports.insert(name.to_owned(), own[0].1.port);
            let members: BTreeSet<usize> = own.iter().map(|(i, _)| *i).collect();
            let first = own[0].1.protocol();
            let is_common = protocol(own) == first || !(first.is_http() || protocol(own).is_http());
            if workloads.get(name) != Some(&members) || !is_common {
                let label = (format!("service/{name}"), "enabled".to_owned());
                members
                    .iter()
                    .for_each(|i| drop(services.labels[*i].insert(label.0.clone(), label.1.clone())));
                let first = dataplanes[own[0].0].dataplane;
                changes.of(&first.header).added.push(declared(first, name, &label, own));
            }
        }
        services
    }

    /// The port of a service; `None` for one without an inbound in the tree.
    pub(super) fn port(&self, name: &str) -> Option<u16> {
        self.ports.get(name).copied()
    }
}

/// The services that outbounds name by tags and that can be resources.
fn destinations<'g>(dataplanes: &[&'g Governed]) -> BTreeSet<&'g str> {
    let outbounds = dataplanes.iter().flat_map(|governed| &governed.dataplane.outbounds);
    let names = outbounds.filter_map(|outbound| match &outbound.to {
        Destination::Service { service, .. } => Some(service.value.as_str()),
        Destination::BackendRef(_) => None,
    });
    names.filter(|name| is_dns_label(name)).collect()
}

/// The protocol of a service in 2.x: the common one of all inbounds that are ready.
fn protocol(inbounds: &[(usize, &Inbound)]) -> Protocol {
    let ready = inbounds.iter().filter(|(_, inbound)| inbound.ready);
    let protocols = ready.map(|(_, inbound)| inbound.protocol_of_service());
    protocols.reduce(Protocol::common).unwrap_or(Protocol::Unknown)
}

/// A `MeshService` for inbounds, in the form of their first dataplane.
fn declared(first: &Dataplane, name: &str, label: &(String, String), inbounds: &[(usize, &Inbound)]) -> Value {
    let protocol = match protocol(inbounds) {
        Protocol::Unknown => Protocol::Tcp,
        known => known,
    };
    let protocol = protocol.to_string();
    let mut seen = BTreeSet::new();
    let ports = inbounds.iter().filter(|(_, inbound)| seen.insert(inbound.port));
    let ports: Vec<Value> = ports
        .map(|(_, inbound)| {
            let port = inbound.port;
            json!({"port": port, "targetPort": port, "appProtocol": protocol})
        })
        .collect();
    let spec = json!({"selector": {"dataplaneLabels": {"matchLabels": {&label.0: label.1}}}, "ports": ports});
    let resource = NewResource {
        kind: "MeshService",
        name,
        namespace: first.header.namespace().unwrap_or("default"),
        labels: Vec::new(),
        spec,
    };
    resource.beside(&first.header)
}
