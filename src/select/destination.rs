//! Where a service is, and what it speaks.

use std::collections::BTreeMap;

use crate::resource::Chosen;
use crate::resource::dataplane::{Dataplane, Inbound};
use crate::resource::protocol::Protocol;

/// The instances of every service of every mesh.
#[derive(Debug, Clone, Default)]
pub struct Services<'a> {
    /// By mesh, then by service.
    instances: BTreeMap<&'a str, BTreeMap<&'a str, Vec<Instance<'a>>>>,
}

/// One inbound that takes requests for a service.
#[derive(Debug, Clone, Copy)]
pub struct Instance<'a> {
    /// The dataplane it belongs to.
    pub dataplane: &'a Dataplane,
    /// The inbound.
    pub inbound: &'a Inbound,
}

impl Instance<'_> {
    /// Where others reach it.
    #[must_use]
    pub fn endpoint(&self) -> (String, u16) {
        let own = || self.inbound.address.as_ref().map(|address| address.value.to_string());
        let advertised = self
            .dataplane
            .advertised_address
            .as_ref()
            .map(|address| address.value.clone());
        let address = advertised
            .or_else(own)
            .unwrap_or_else(|| self.dataplane.address.value.clone());
        (address, self.inbound.port.value)
    }
}

impl<'a> Services<'a> {
    pub(super) fn of(dataplanes: &'a [Dataplane]) -> Self {
        let mut instances: BTreeMap<&str, BTreeMap<&str, Vec<Instance>>> = BTreeMap::new();
        for dataplane in dataplanes {
            for inbound in dataplane.inbounds.iter().filter(|inbound| inbound.ready) {
                let Some(service) = &inbound.service else { continue };
                let of_mesh = instances.entry(dataplane.header.mesh()).or_default();
                let of_service = of_mesh.entry(service.value.as_str()).or_default();
                of_service.push(Instance { dataplane, inbound });
            }
        }
        Self { instances }
    }

    /// The instances of a service, in the order of their dataplanes; empty when there is none.
    #[must_use]
    pub fn instances(&self, mesh: &str, service: &str) -> &[Instance<'a>] {
        self.instances
            .get(mesh)
            .and_then(|of_mesh| of_mesh.get(service))
            .map_or(&[], Vec::as_slice)
    }

    /// What all instances of a service speak, as the first of them says; `None` when there is none.
    #[must_use]
    pub fn protocol(&self, mesh: &str, service: &str) -> Option<Chosen<Protocol>> {
        let tagged = |instance: &Instance| Chosen::of(instance.inbound.tagged_protocol.as_ref(), Protocol::Unknown);
        let both = |a: Chosen<Protocol>, b: Chosen<Protocol>| Chosen {
            value: a.value.common(b.value),
            ..a
        };
        self.instances(mesh, service).iter().map(tagged).reduce(both)
    }
}
