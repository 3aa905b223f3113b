//! The destinations of outbounds: the endpoints and the protocol of every service.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::instances::{ByPair, Inbounds, Instance, Instances, has, pairs, sorted};
use super::targets;
use crate::keep::Text;
use crate::kuma::Fidelity;
use crate::resource::kinds::dataplane::{BackendRef, Dataplane, Inbound};
use crate::resource::kinds::external_service::ExternalService;
use crate::resource::kinds::mesh_service::{Backing, MeshService, Port};
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::{SERVICE, Tags};
use crate::resource::{Effective, List, Origin, Resources, are_same};
use crate::system::parallel;

pub use super::instances::Endpoint;

/// The destination of an outbound.
#[derive(Debug, Clone, Copy)]
pub enum ResolvedDestination<'a> {
    /// A service, by the tag `kuma.io/service` of the outbound.
    Service(&'a Text),
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

/// The instances of every service of every mesh, kept from one snapshot to the next.
#[derive(Debug, Default)]
pub struct Services {
    meshes: BTreeMap<String, ServicesOfMesh>,
    /// Whether a reference by name alone may lead to a service of another zone or namespace.
    anywhere: bool,
    external_services: List<ExternalService>,
    mesh_services: List<MeshService>,
    /// The number of snapshots in which any service differed.
    pub(super) generation: u64,
    /// The number of snapshots in which a service that is a resource or outside of the mesh differed.
    pub(super) declared_generation: u64,
}

/// The services of one mesh.
#[derive(Debug, Default)]
struct ServicesOfMesh {
    /// The instances by the value of their tag `kuma.io/service`.
    tagged: HashMap<Text, Arc<Instances>>,
    external: HashMap<Text, Vec<Arc<ExternalService>>>,
    /// The service resources, sorted by name.
    resources: Vec<Arc<MeshService>>,
    /// The service resources by display name.
    named: HashMap<Text, Vec<Arc<MeshService>>>,
    /// The service resources by their labels.
    labelled: ByPair<Arc<MeshService>>,
    /// The inbounds that can have a tag or a label of their dataplane, if a service selects its instances so.
    inbounds: Option<Inbounds>,
}

/// The differences between the dataplanes of two snapshots.
#[derive(Debug, Default)]
pub(super) struct DataplaneChanges {
    /// The dataplanes of the earlier snapshot that the later one does not have.
    pub(super) gone: Vec<Arc<Dataplane>>,
    /// The dataplanes of the later snapshot that the earlier one did not have.
    pub(super) new: Vec<Arc<Dataplane>>,
}

impl DataplaneChanges {
    fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }
}

impl Services {
    /// Brings the services up to date with the resources of the next snapshot.
    pub(super) fn update(&mut self, resources: &Resources, changes: &DataplaneChanges, fidelity: Fidelity) {
        self.anywhere = fidelity == Fidelity::Documented;
        let is_same = are_same(&self.external_services, &resources.external_services)
            && are_same(&self.mesh_services, &resources.mesh_services);
        if !is_same {
            self.external_services = Arc::clone(&resources.external_services);
            self.mesh_services = Arc::clone(&resources.mesh_services);
            self.index_resources();
            self.declared_generation += 1;
        }
        let mut differs = !is_same;
        if !changes.is_empty() {
            differs |= self.update_tagged(changes);
        }
        if !changes.is_empty() || !is_same {
            self.index_inbounds(&resources.dataplanes);
            // Any dataplane can be an instance of a service that is a resource.
            differs |= self.meshes.values().any(|of_mesh| !of_mesh.resources.is_empty());
        }
        self.generation += u64::from(differs);
    }

    /// Makes the instances of those services anew to which a changed dataplane belongs; `true` if others see a difference.
    fn update_tagged(&mut self, changes: &DataplaneChanges) -> bool {
        let mut differs = false;
        let address = |dataplane: &Arc<Dataplane>| Arc::as_ptr(dataplane).addr();
        let gone: HashSet<usize> = changes.gone.iter().map(address).collect();
        let mut concerned: BTreeMap<&str, HashMap<&Text, Vec<Instance>>> = BTreeMap::new();
        for dataplane in &changes.gone {
            let of_mesh = concerned.entry(dataplane.header.mesh()).or_default();
            let services = dataplane.inbounds.iter().filter_map(|inbound| inbound.service.as_ref());
            of_mesh.extend(services.map(|service| (service, Vec::new())));
        }
        for dataplane in &changes.new {
            let of_mesh = concerned.entry(dataplane.header.mesh()).or_default();
            for instance in Instance::all_of(dataplane) {
                if let Some(service) = &dataplane.inbounds[instance.position].service {
                    of_mesh.entry(service).or_default().push(instance);
                }
            }
        }
        for (mesh, services) in concerned {
            let tagged = &mut self.meshes.entry(mesh.to_owned()).or_default().tagged;
            let services: Vec<(&Text, Vec<Instance>)> = services.into_iter().collect();
            let threads = parallel::threads_for(services.len());
            let made = parallel::map("finding services", &services, threads, |(service, new)| {
                let known = tagged.get(*service);
                let stay = known.into_iter().flat_map(|known| &known.all);
                let stay = stay.filter(|instance| !gone.contains(&address(&instance.dataplane)));
                let mut all: Vec<Instance> = stay.chain(new).cloned().collect();
                all.sort_by(|a, b| (a.dataplane.header.order()).cmp(&b.dataplane.header.order()));
                let instances = Instances::of(all, known.map(Arc::as_ref));
                let identity = instances.as_ref().map(|instances| &instances.identity);
                let is_other = known.map(|known| &known.identity) != identity;
                (instances, is_other)
            });
            for ((service, _), (instances, is_other)) in services.into_iter().zip(made) {
                differs |= is_other;
                match instances {
                    Some(instances) => drop(tagged.insert(service.clone(), Arc::new(instances))),
                    None => drop(tagged.remove(service)),
                }
            }
        }
        differs
    }

    /// Indexes the services that are resources, and those outside of the mesh.
    fn index_resources(&mut self) {
        for of_mesh in self.meshes.values_mut() {
            let tagged = std::mem::take(&mut of_mesh.tagged);
            *of_mesh = ServicesOfMesh {
                tagged,
                ..ServicesOfMesh::default()
            };
        }
        for external in &*self.external_services {
            let of_mesh = self.meshes.entry(external.header.mesh().to_owned()).or_default();
            let of_service = of_mesh.external.entry(external.service.value.clone()).or_default();
            of_service.push(Arc::clone(external));
        }
        for service in &*self.mesh_services {
            let header = &service.header;
            let of_mesh = self.meshes.entry(header.mesh().to_owned()).or_default();
            of_mesh.resources.push(Arc::clone(service));
            let named = of_mesh.named.entry(header.display_name.clone()).or_default();
            named.push(Arc::clone(service));
            of_mesh.labelled.add(&header.labels, service);
        }
    }

    /// Indexes the inbounds of meshes with services that need more of them than the tag `kuma.io/service`.
    fn index_inbounds(&mut self, dataplanes: &[Arc<Dataplane>]) {
        for (mesh, of_mesh) in &mut self.meshes {
            let is_by_inbounds = |service: &Arc<MeshService>| {
                let backing = &service.backing;
                matches!(backing, Backing::Dataplanes { tags, .. } if !tags.contains_key(SERVICE))
            };
            let is_needed = of_mesh.resources.iter().any(is_by_inbounds);
            let dataplanes = || targets::of_mesh(dataplanes, mesh, |dataplane| &dataplane.header);
            of_mesh.inbounds = is_needed.then(|| Inbounds::of(dataplanes()));
        }
    }

    /// The instances of a service by its tag.
    pub(super) fn tagged(&self, mesh: &str, service: &str) -> Option<&Arc<Instances>> {
        self.meshes.get(mesh)?.tagged.get(service)
    }

    /// The endpoints of a service outside of the mesh.
    pub(super) fn outside(&self, mesh: &str, service: &str) -> &[Arc<ExternalService>] {
        let external = self.meshes.get(mesh).and_then(|of_mesh| of_mesh.external.get(service));
        external.map_or(&[], Vec::as_slice)
    }

    /// The endpoints of a service: its instances with all of the tags or, without any instance, its endpoints outside
    /// of the mesh, which Kuma does not narrow down by tags.
    ///
    /// The tag `kuma.io/mesh` leads to gateways of another mesh, which only a control plane knows.
    #[must_use]
    pub fn endpoints(&self, mesh: &str, service: &str, tags: &Tags) -> Arc<[Endpoint]> {
        match self.tagged(mesh, service) {
            None => sorted(self.outside(mesh, service).iter().map(|external| Endpoint {
                host: external.host.clone(),
                port: external.port,
            })),
            Some(instances) => instances.endpoints(tags),
        }
    }

    /// The places that ask for TLS to a destination outside of the mesh.
    pub fn tls<'a>(&'a self, mesh: &str, destination: ResolvedDestination<'a>) -> Vec<&'a Origin> {
        match destination {
            ResolvedDestination::Service(service) if self.tagged(mesh, service).is_none() => {
                let outside = self.outside(mesh, service).iter();
                outside.filter_map(|external| external.tls.as_ref()).collect()
            }
            ResolvedDestination::Service(_) => Vec::new(),
            ResolvedDestination::Resource(service, _) => match &service.backing {
                Backing::Endpoints { tls, .. } => tls.iter().collect(),
                Backing::Dataplanes { .. } | Backing::MeshServices { .. } => Vec::new(),
            },
        }
    }

    /// The service and the port that a `backendRef` of a dataplane refers to.
    #[must_use]
    pub fn resolve<'a>(&'a self, dataplane: &Dataplane, reference: &BackendRef) -> Option<(&'a MeshService, &'a Port)> {
        let own = &dataplane.header;
        let namespace = (reference.namespace.as_ref()).map_or(own.namespace(), |written| Some(&written.value));
        let is_near =
            |service: &MeshService| service.header.zone() == own.zone() && service.header.namespace() == namespace;
        let of_mesh = self.meshes.get(own.mesh())?;
        let kind = reference.kind.value.as_str();
        let candidates: Vec<&MeshService> = match &reference.name {
            Some(name) => {
                let named = of_mesh.named.get(name.value.as_str()).into_iter().flatten();
                let named = named.map(Arc::as_ref).filter(|service| service.header.id.kind == kind);
                named.filter(|service| self.anywhere || is_near(service)).collect()
            }
            None => {
                let labels = reference.labels.iter();
                of_mesh.labelled(kind, labels.map(|(key, wanted)| (key.as_str(), wanted.value.as_str())))
            }
        };
        // Kuma prefers the oldest service; a synthesized one is younger than a declared one.
        let by_preference = |service: &&&MeshService| (!is_near(service), service.is_synthesized());
        let service = *candidates.iter().min_by_key(by_preference)?;
        let port = match (&service.backing, &reference.section, &reference.port) {
            (Backing::Endpoints { .. }, _, _) | (_, None, None) => service.ports.first()?,
            (_, Some(section), _) => service.ports.iter().find(|port| port.is_called(&section.value))?,
            (_, None, Some(port)) => service.port(port.value)?,
        };
        Some((service, port))
    }

    /// The endpoints of a port of a service.
    #[must_use]
    pub fn endpoints_of(&self, service: &MeshService, port: &Port) -> Arc<[Endpoint]> {
        sorted(self.found_behind(service, port).into_iter())
    }

    fn found_behind(&self, service: &MeshService, port: &Port) -> Vec<Endpoint> {
        let Some(of_mesh) = self.meshes.get(service.header.mesh()) else {
            return Vec::new();
        };
        match &service.backing {
            Backing::Endpoints { endpoints, .. } => {
                let endpoints = endpoints.iter().cloned();
                endpoints.map(|(host, port)| Endpoint { host, port }).collect()
            }
            Backing::MeshServices { labels } => {
                let meant = of_mesh.labelled("MeshService", pairs(labels)).into_iter();
                let port_of = |other| Some((other, MeshService::port(other, port.number)?));
                meant
                    .filter_map(port_of)
                    .flat_map(|(other, port)| self.found_behind(other, port))
                    .collect()
            }
            Backing::Dataplanes { tags, labels, name } => {
                let target = port.target.clone().unwrap_or_else(|| port.number.to_string());
                let is_target = |inbound: &Inbound| target == inbound.port.to_string() || target == inbound.section();
                let is_meant = |instance: &Instance| {
                    let (dataplane, inbound) = (&instance.dataplane, instance.inbound());
                    let is_named = name.as_ref().is_none_or(|name| *name == dataplane.header.display_name);
                    is_named && has(&dataplane.header.labels, labels) && has(&inbound.tags, tags) && is_target(inbound)
                };
                let candidates = match tags.get(SERVICE) {
                    Some(service) => {
                        let instances = of_mesh.tagged.get(service.as_str());
                        instances.map_or(&[][..], |instances| instances.candidates(tags))
                    }
                    None => {
                        let inbounds = of_mesh.inbounds.as_ref();
                        inbounds.map_or(&[][..], |inbounds| inbounds.candidates(tags, labels, name.as_deref()))
                    }
                };
                let meant = candidates.iter().filter(|instance| is_meant(instance));
                meant.map(Instance::endpoint).collect()
            }
        }
    }
}

impl ServicesOfMesh {
    /// The resources of a kind with all of the labels, looked for among those with the rarest.
    fn labelled<'s, 'l>(
        &'s self,
        kind: &str,
        labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
    ) -> Vec<&'s MeshService> {
        let rarest = self.labelled.rarest(labels.clone());
        let is_meant = |service: &&MeshService| {
            let mut labels = labels.clone();
            service.header.id.kind == kind && labels.all(|(key, value)| service.header.label(key) == Some(value))
        };
        let candidates = rarest.unwrap_or(&self.resources).iter().map(Arc::as_ref);
        candidates.filter(is_meant).collect()
    }
}
