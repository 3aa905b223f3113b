//! The instances, endpoints and protocol of every service.

use std::collections::BTreeMap;

use crate::kuma::Fidelity;
use crate::resource::kinds::dataplane::{BackendRef, Dataplane, Inbound};
use crate::resource::kinds::external_service::ExternalService;
use crate::resource::kinds::mesh_service::{Backing, MeshService, Port};
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::{SERVICE, Tags};
use crate::resource::{Effective, Origin, Resources};

/// The destination of an outbound.
#[derive(Debug, Clone, Copy)]
pub enum ResolvedDestination<'a> {
    /// A service, by the tag `kuma.io/service` of the outbound.
    Service(&'a str),
    /// A port of a service that is a resource.
    Resource(&'a MeshService, &'a Port),
}

/// One of the destinations among which the requests of an outbound are split.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// The service, or the port of a service that is a resource.
    pub to: ResolvedDestination<'a>,
    /// The tags that an instance of the service must have beside `kuma.io/service`.
    pub tags: Tags,
    /// The share of requests, in relation to the sum of all weights beside it.
    pub weight: u32,
    /// The protocol of the destination.
    pub protocol: Effective<Protocol>,
}

/// The instances of every service of every mesh.
#[derive(Debug, Clone, Default)]
pub struct Services<'a> {
    /// The instances by mesh, then by service.
    instances: BTreeMap<&'a str, BTreeMap<&'a str, Vec<Instance<'a>>>>,
    external: &'a [ExternalService],
    real: &'a [MeshService],
    /// The service resources by mesh, kind and display name.
    named: BTreeMap<(&'a str, &'a str, &'a str), Vec<&'a MeshService>>,
    dataplanes: &'a [Dataplane],
    /// Whether a reference by name alone may lead to a service of another zone or namespace.
    anywhere: bool,
}

/// One inbound that receives the requests of a service.
#[derive(Debug, Clone, Copy)]
pub struct Instance<'a> {
    /// The dataplane of the inbound.
    pub dataplane: &'a Dataplane,
    /// The inbound that receives the requests.
    pub inbound: &'a Inbound,
}

impl Instance<'_> {
    /// Address and port for other dataplanes.
    #[must_use]
    pub fn endpoint(&self) -> (String, u16) {
        let own = || {
            self.inbound
                .address
                .as_ref()
                .map(|address| address.value.ip.to_string())
        };
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
    pub(super) fn of(resources: &'a Resources, fidelity: Fidelity) -> Self {
        let dataplanes = &resources.dataplanes;
        let mut instances: BTreeMap<&str, BTreeMap<&str, Vec<Instance>>> = BTreeMap::new();
        for dataplane in dataplanes {
            for inbound in dataplane.inbounds.iter().filter(|inbound| inbound.ready) {
                let Some(service) = &inbound.service else { continue };
                let of_mesh = instances.entry(dataplane.header.mesh()).or_default();
                let of_service = of_mesh.entry(service.value.as_str()).or_default();
                of_service.push(Instance { dataplane, inbound });
            }
        }
        let mut named: BTreeMap<(&str, &str, &str), Vec<&MeshService>> = BTreeMap::new();
        for service in &resources.mesh_services {
            let header = &service.header;
            let key = (header.mesh(), header.id.kind.as_str(), header.display_name.as_str());
            named.entry(key).or_default().push(service);
        }
        Self {
            instances,
            external: &resources.external_services,
            real: &resources.mesh_services,
            named,
            dataplanes,
            anywhere: fidelity == Fidelity::Documented,
        }
    }

    /// The instances of a service, in the order of their dataplanes; empty without any.
    #[must_use]
    pub fn instances(&self, mesh: &str, service: &str) -> &[Instance<'a>] {
        self.instances
            .get(mesh)
            .and_then(|of_mesh| of_mesh.get(service))
            .map_or(&[], Vec::as_slice)
    }

    /// The endpoints of a service: its instances with all of the tags or, without any instance, its endpoints outside
    /// of the mesh, which Kuma does not narrow down by tags.
    ///
    /// The tag `kuma.io/mesh` leads to gateways of another mesh, which only a control plane knows.
    #[must_use]
    pub fn endpoints(&self, mesh: &str, service: &str, tags: &Tags) -> Vec<(String, u16)> {
        match self.instances(mesh, service) {
            [] => (self.outside(mesh, service))
                .map(|external| (external.host.clone(), external.port))
                .collect(),
            instances => narrowed(instances, tags).map(Instance::endpoint).collect(),
        }
    }

    /// Whether a service has instances, and none of them has all of the tags.
    #[must_use]
    pub fn lacks(&self, mesh: &str, service: &str, tags: &Tags) -> bool {
        let instances = self.instances(mesh, service);
        !instances.is_empty() && narrowed(instances, tags).next().is_none()
    }

    /// Whether a service has an instance, or an endpoint outside of the mesh.
    #[must_use]
    pub fn knows(&self, mesh: &str, service: &str) -> bool {
        !self.instances(mesh, service).is_empty() || self.outside(mesh, service).next().is_some()
    }

    /// The places that ask for TLS to a destination outside of the mesh.
    pub fn tls(&self, mesh: &str, destination: ResolvedDestination<'a>) -> Vec<&'a Origin> {
        match destination {
            ResolvedDestination::Service(service) if self.instances(mesh, service).is_empty() => self
                .outside(mesh, service)
                .filter_map(|external| external.tls.as_ref())
                .collect(),
            ResolvedDestination::Service(_) => Vec::new(),
            ResolvedDestination::Resource(service, _) => match &service.backing {
                Backing::Endpoints { tls, .. } => tls.iter().collect(),
                Backing::Dataplanes { .. } | Backing::MeshServices { .. } => Vec::new(),
            },
        }
    }

    fn outside(&self, mesh: &str, service: &str) -> impl Iterator<Item = &'a ExternalService> {
        let is_it =
            move |external: &&ExternalService| external.header.mesh() == mesh && external.service.value == service;
        self.external.iter().filter(is_it)
    }

    /// The service and the port that a `backendRef` of a dataplane refers to.
    #[must_use]
    pub fn resolve(&self, dataplane: &Dataplane, reference: &BackendRef) -> Option<(&'a MeshService, &'a Port)> {
        let own = &dataplane.header;
        let namespace = (reference.namespace.as_ref()).map_or(own.namespace(), |written| Some(&written.value));
        let is_near =
            |service: &MeshService| service.header.zone() == own.zone() && service.header.namespace() == namespace;
        let mut candidates: Vec<&'a MeshService> = match &reference.name {
            Some(name) => {
                let key = (own.mesh(), reference.kind.value.as_str(), name.value.as_str());
                let named = self.named.get(&key).into_iter().flatten().copied();
                named.filter(|service| self.anywhere || is_near(service)).collect()
            }
            None => {
                let has_labels = |service: &&MeshService| {
                    let mut wanted = reference.labels.iter();
                    wanted.all(|(key, wanted)| service.header.label(key) == Some(&wanted.value))
                };
                let of_kind = self.real.iter().filter(|service| {
                    service.header.mesh() == own.mesh() && service.header.id.kind == reference.kind.value
                });
                of_kind.filter(has_labels).collect()
            }
        };
        // Kuma prefers the oldest service; a synthesized one is younger than a declared one.
        candidates.sort_by_key(|service| (!is_near(service), service.is_synthesized()));
        let service = candidates.first()?;
        let port = match (&service.backing, &reference.section, &reference.port) {
            (Backing::Endpoints { .. }, _, _) | (_, None, None) => service.ports.first()?,
            (_, Some(section), _) => service.ports.iter().find(|port| port.is_called(&section.value))?,
            (_, None, Some(port)) => service.port(port.value)?,
        };
        Some((service, port))
    }

    /// The endpoints of a port of a service.
    #[must_use]
    pub fn endpoints_of(&self, service: &MeshService, port: &Port) -> Vec<(String, u16)> {
        match &service.backing {
            Backing::Endpoints { endpoints, .. } => endpoints.clone(),
            Backing::MeshServices { labels } => (self.real.iter())
                .filter(|other| other.header.id.kind == "MeshService" && other.header.mesh() == service.header.mesh())
                .filter(|other| has(&other.header.labels, labels))
                .filter_map(|other| Some(self.endpoints_of(other, other.port(port.number.value)?)))
                .flatten()
                .collect(),
            Backing::Dataplanes { tags, labels, name } => {
                let target = port.target.clone().unwrap_or_else(|| port.number.value.to_string());
                let is_target =
                    |inbound: &Inbound| target == inbound.port.value.to_string() || target == inbound.section();
                let is_meant = |instance: &Instance| {
                    let Instance { dataplane, inbound } = instance;
                    let is_named = name.as_ref().is_none_or(|name| *name == dataplane.header.display_name);
                    is_named && has(&dataplane.header.labels, labels) && has(&inbound.tags, tags) && is_target(inbound)
                };
                let candidates = self.candidates(service.header.mesh(), tags);
                candidates
                    .iter()
                    .filter(|instance| is_meant(instance))
                    .map(Instance::endpoint)
                    .collect()
            }
        }
    }

    /// The inbounds of a mesh that can have all of these tags.
    fn candidates(&self, mesh: &str, tags: &Tags) -> Vec<Instance<'a>> {
        if let Some(service) = tags.get(SERVICE) {
            return self.instances(mesh, service).to_vec();
        }
        let of_mesh = self
            .dataplanes
            .iter()
            .filter(|dataplane| dataplane.header.mesh() == mesh);
        let inbounds = of_mesh.flat_map(|dataplane| {
            let ready = dataplane.inbounds.iter().filter(|inbound| inbound.ready);
            ready.map(move |inbound| Instance { dataplane, inbound })
        });
        inbounds.collect()
    }

    /// The common protocol of the instances of a service that have all of the tags, with the origin in the one that decides;
    /// of all instances when none has the tags, and `None` without instances.
    #[must_use]
    pub fn protocol(&self, mesh: &str, service: &str, tags: &Tags) -> Option<Effective<Protocol>> {
        let tagged = |instance: &Instance| Effective::of(instance.inbound.tagged_protocol.as_ref(), Protocol::Unknown);
        let of_external = |external: &ExternalService| Effective::of(external.protocol.as_ref(), Protocol::Unknown);
        match self.instances(mesh, service) {
            [] => self.outside(mesh, service).map(of_external).reduce(common_of_two),
            instances => {
                let of_tagged = narrowed(instances, tags).map(tagged).reduce(common_of_two);
                of_tagged.or_else(|| instances.iter().map(tagged).reduce(common_of_two))
            }
        }
    }
}

/// The common protocol of two, with the origin of the one that decides.
pub(super) fn common_of_two(a: Effective<Protocol>, b: Effective<Protocol>) -> Effective<Protocol> {
    let value = a.value.common(b.value);
    let is_of_second = value != a.value && value == b.value;
    let source = if is_of_second { b.source } else { a.source };
    Effective { value, source }
}

/// The instances with all of the tags.
fn narrowed<'i, 'a>(instances: &'i [Instance<'a>], tags: &'i Tags) -> impl Iterator<Item = &'i Instance<'a>> {
    instances.iter().filter(|instance| has(&instance.inbound.tags, tags))
}

/// Whether `there` contains all `wanted` tags.
fn has(there: &Tags, wanted: &Tags) -> bool {
    wanted.iter().all(|(key, value)| there.get(key) == Some(value))
}
