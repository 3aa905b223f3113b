//! The instances, endpoints and protocol of every service.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::kuma::Fidelity;
use crate::resource::kinds::dataplane::{BackendRef, Dataplane, Inbound};
use crate::resource::kinds::external_service::ExternalService;
use crate::resource::kinds::mesh_service::{Backing, MeshService, Port};
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::{SERVICE, Tags};
use crate::resource::{Effective, Origin, Resources, Text};

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

/// The instances of every service of every mesh.
#[derive(Debug, Default)]
pub struct Services<'a> {
    meshes: BTreeMap<&'a str, ServicesOfMesh<'a>>,
    /// Whether a reference by name alone may lead to a service of another zone or namespace.
    anywhere: bool,
}

/// The services of one mesh.
#[derive(Debug, Default)]
struct ServicesOfMesh<'a> {
    /// The instances by the value of their tag `kuma.io/service`.
    tagged: HashMap<&'a str, Instances<'a>>,
    external: HashMap<&'a str, Vec<&'a ExternalService>>,
    /// The service resources, sorted by name.
    resources: Vec<&'a MeshService>,
    /// The service resources by kind and display name.
    named: HashMap<(&'a str, &'a str), Vec<&'a MeshService>>,
    /// The service resources by their labels.
    labelled: ByPair<'a, &'a MeshService>,
    dataplanes: &'a [Arc<Dataplane>],
    /// The inbounds that can have a tag or a label of their dataplane.
    inbounds: OnceLock<Inbounds<'a>>,
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
    /// The protocol by the tag of the inbound.
    fn protocol(&self) -> Effective<Protocol> {
        Effective::of(self.inbound.tagged_protocol.as_ref(), Protocol::Unknown)
    }

    /// Address and port for other dataplanes.
    #[must_use]
    pub fn endpoint(&self) -> (Text, u16) {
        let own = || self.inbound.address.as_ref().map(|address| address.value.canonical());
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

/// The instances of one service.
#[derive(Debug)]
struct Instances<'a> {
    all: Vec<Instance<'a>>,
    /// Their common protocol.
    protocol: Effective<Protocol>,
    by_tag: OnceLock<ByPair<'a, Instance<'a>>>,
    /// The common protocol of those with several tags; `None` when no instance has all of them.
    narrowed: Mutex<HashMap<Tags, Option<Effective<Protocol>>>>,
}

impl<'a> Instances<'a> {
    fn new(instance: Instance<'a>) -> Self {
        Self {
            protocol: instance.protocol(),
            all: vec![instance],
            by_tag: OnceLock::new(),
            narrowed: Mutex::default(),
        }
    }

    fn add(&mut self, instance: Instance<'a>) {
        self.protocol = common_of_two(self.protocol.clone(), instance.protocol());
        self.all.push(instance);
    }

    /// The instances that can have all of the tags: those with the rarest of them, in the order of their dataplanes.
    fn candidates<'s>(&'s self, tags: &'s Tags) -> &'s [Instance<'a>] {
        if tags.is_empty() {
            return &self.all;
        }
        let by_tag = self.by_tag.get_or_init(|| {
            let mut by_tag = ByPair::default();
            let tagged = self.all.iter();
            tagged.for_each(|instance| by_tag.add(&instance.inbound.tags, *instance));
            by_tag
        });
        by_tag.rarest(pairs(tags)).unwrap_or_default()
    }

    /// The instances with all of the tags, in the order of their dataplanes.
    fn with<'s>(&'s self, tags: &'s Tags) -> impl Iterator<Item = &'s Instance<'a>> {
        let candidates = self.candidates(tags).iter();
        candidates.filter(|instance| has(&instance.inbound.tags, tags))
    }

    /// The common protocol of the instances with all of the tags; `None` when there are none.
    fn narrowed(&self, tags: &Tags) -> Option<Effective<Protocol>> {
        if tags.is_empty() {
            return Some(self.protocol.clone());
        }
        let mut narrowed = self.narrowed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = narrowed.get(tags) {
            return known.clone();
        }
        let protocols = self.with(tags).map(Instance::protocol);
        let common = protocols.reduce(common_of_two);
        narrowed.insert(tags.clone(), common.clone());
        common
    }
}

/// Items by the tags or labels that they have, each a key with its value.
#[derive(Debug)]
struct ByPair<'a, T>(HashMap<(&'a str, &'a str), Vec<T>>);

impl<T> Default for ByPair<'_, T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<'a, T: Copy> ByPair<'a, T> {
    fn add(&mut self, pairs: &'a Tags, item: T) {
        for (key, value) in pairs {
            self.0.entry((key, value)).or_default().push(item);
        }
    }

    /// The items with the pair that the fewest have; `None` when no pair is wanted.
    fn rarest<'s>(&'s self, wanted: impl Iterator<Item = (&'s str, &'s str)>) -> Option<&'s [T]> {
        let with_each = wanted.map(|pair| self.0.get(&pair).map_or(&[][..], Vec::as_slice));
        with_each.min_by_key(|with| with.len())
    }
}

/// Tags or labels as pairs of texts.
fn pairs(tags: &Tags) -> impl Iterator<Item = (&str, &str)> + Clone {
    tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// The inbounds of a mesh that are ready, by what selects them.
#[derive(Debug, Default)]
struct Inbounds<'a> {
    all: Vec<Instance<'a>>,
    by_tag: ByPair<'a, Instance<'a>>,
    by_label: ByPair<'a, Instance<'a>>,
    by_name: HashMap<&'a str, Vec<Instance<'a>>>,
}

impl<'a> Inbounds<'a> {
    fn of(dataplanes: &'a [Arc<Dataplane>]) -> Self {
        let mut inbounds = Self::default();
        for dataplane in dataplanes {
            for inbound in dataplane.inbounds.iter().filter(|inbound| inbound.ready) {
                let (header, instance) = (&dataplane.header, Instance { dataplane, inbound });
                inbounds.all.push(instance);
                inbounds.by_tag.add(&inbound.tags, instance);
                inbounds.by_label.add(&header.labels, instance);
                inbounds.by_name.entry(&header.display_name).or_default().push(instance);
            }
        }
        inbounds
    }

    /// The inbounds that can have all of the tags, labels and the name: those with the rarest of them.
    fn candidates<'s>(&'s self, tags: &'s Tags, labels: &'s Tags, name: Option<&str>) -> &'s [Instance<'a>] {
        let by_tag = self.by_tag.rarest(pairs(tags));
        let by_label = self.by_label.rarest(pairs(labels));
        let by_name = name.map(|name| self.by_name.get(name).map_or(&[][..], Vec::as_slice));
        let rarest = [by_tag, by_label, by_name]
            .into_iter()
            .flatten()
            .min_by_key(|with| with.len());
        rarest.unwrap_or(&self.all)
    }
}

impl<'a> Services<'a> {
    pub(super) fn of(resources: &'a Resources, fidelity: Fidelity) -> Self {
        let mut meshes: BTreeMap<&str, ServicesOfMesh> = BTreeMap::new();
        for dataplanes in (resources.dataplanes).chunk_by(|a, b| a.header.mesh() == b.header.mesh()) {
            let of_mesh = meshes.entry(dataplanes[0].header.mesh()).or_default();
            of_mesh.dataplanes = dataplanes;
            for dataplane in dataplanes {
                for inbound in dataplane.inbounds.iter().filter(|inbound| inbound.ready) {
                    let Some(service) = &inbound.service else { continue };
                    let instance = Instance { dataplane, inbound };
                    match of_mesh.tagged.entry(service.value.as_str()) {
                        Entry::Occupied(known) => known.into_mut().add(instance),
                        Entry::Vacant(new) => drop(new.insert(Instances::new(instance))),
                    }
                }
            }
        }
        for external in &*resources.external_services {
            let of_mesh = meshes.entry(external.header.mesh()).or_default();
            let of_service = of_mesh.external.entry(&external.service.value).or_default();
            of_service.push(external);
        }
        for service in &*resources.mesh_services {
            let header = &service.header;
            let kind = header.id.kind.as_str();
            let of_mesh = meshes.entry(header.mesh()).or_default();
            of_mesh.resources.push(service);
            let named = of_mesh.named.entry((kind, &header.display_name)).or_default();
            named.push(service);
            of_mesh.labelled.add(&header.labels, service);
        }
        Self {
            meshes,
            anywhere: fidelity == Fidelity::Documented,
        }
    }

    fn tagged(&self, mesh: &str, service: &str) -> Option<&Instances<'a>> {
        self.meshes.get(mesh)?.tagged.get(service)
    }

    fn outside(&self, mesh: &str, service: &str) -> &[&'a ExternalService] {
        let external = self.meshes.get(mesh).and_then(|of_mesh| of_mesh.external.get(service));
        external.map_or(&[], Vec::as_slice)
    }

    /// The endpoints of a service: its instances with all of the tags or, without any instance, its endpoints outside
    /// of the mesh, which Kuma does not narrow down by tags.
    ///
    /// The tag `kuma.io/mesh` leads to gateways of another mesh, which only a control plane knows.
    #[must_use]
    pub fn endpoints(&self, mesh: &str, service: &str, tags: &Tags) -> Vec<(Text, u16)> {
        match self.tagged(mesh, service) {
            None => (self.outside(mesh, service).iter())
                .map(|external| (external.host.clone(), external.port))
                .collect(),
            Some(instances) => instances.with(tags).map(Instance::endpoint).collect(),
        }
    }

    /// Whether a service has instances, and none of them has all of the tags.
    #[must_use]
    pub fn lacks(&self, mesh: &str, service: &str, tags: &Tags) -> bool {
        let instances = self.tagged(mesh, service);
        instances.is_some_and(|instances| instances.narrowed(tags).is_none())
    }

    /// Whether a service has an instance, or an endpoint outside of the mesh.
    #[must_use]
    pub fn knows(&self, mesh: &str, service: &str) -> bool {
        self.tagged(mesh, service).is_some() || !self.outside(mesh, service).is_empty()
    }

    /// The places that ask for TLS to a destination outside of the mesh.
    pub fn tls(&self, mesh: &str, destination: ResolvedDestination<'a>) -> Vec<&'a Origin> {
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
    pub fn resolve(&self, dataplane: &Dataplane, reference: &BackendRef) -> Option<(&'a MeshService, &'a Port)> {
        let own = &dataplane.header;
        let namespace = (reference.namespace.as_ref()).map_or(own.namespace(), |written| Some(&written.value));
        let is_near =
            |service: &MeshService| service.header.zone() == own.zone() && service.header.namespace() == namespace;
        let of_mesh = self.meshes.get(own.mesh())?;
        let kind = reference.kind.value.as_str();
        let candidates: Vec<&'a MeshService> = match &reference.name {
            Some(name) => {
                let named = of_mesh.named.get(&(kind, name.value.as_str())).into_iter();
                let named = named.flatten().copied();
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
    pub fn endpoints_of(&self, service: &MeshService, port: &Port) -> Vec<(Text, u16)> {
        let Some(of_mesh) = self.meshes.get(service.header.mesh()) else {
            return Vec::new();
        };
        match &service.backing {
            Backing::Endpoints { endpoints, .. } => endpoints.clone(),
            Backing::MeshServices { labels } => {
                let meant = of_mesh.labelled("MeshService", pairs(labels)).into_iter();
                let port_of = |other: &'a MeshService| Some((other, other.port(port.number.value)?));
                meant
                    .filter_map(port_of)
                    .flat_map(|(other, port)| self.endpoints_of(other, port))
                    .collect()
            }
            Backing::Dataplanes { tags, labels, name } => {
                let target = port.target.clone().unwrap_or_else(|| port.number.value.to_string());
                let is_target =
                    |inbound: &Inbound| target == inbound.port.value.to_string() || target == inbound.section();
                let is_meant = |instance: &Instance| {
                    let Instance { dataplane, inbound } = instance;
                    let is_named = name.as_ref().is_none_or(|name| *name == dataplane.header.display_name);
                    is_named && has(&dataplane.header.labels, labels) && has(&inbound.tags, tags) && is_target(inbound)
                };
                let candidates = match tags.get(SERVICE) {
                    Some(service) => {
                        let instances = of_mesh.tagged.get(service.as_str());
                        instances.map_or(&[][..], |instances| instances.candidates(tags))
                    }
                    None => {
                        let inbounds = of_mesh.inbounds.get_or_init(|| Inbounds::of(of_mesh.dataplanes));
                        inbounds.candidates(tags, labels, name.as_deref())
                    }
                };
                let meant = candidates.iter().filter(|instance| is_meant(instance));
                meant.map(Instance::endpoint).collect()
            }
        }
    }

    /// The common protocol of the instances of a service that have all of the tags, with the origin in the one that decides;
    /// of all instances when none has the tags, and `None` without instances.
    #[must_use]
    pub fn protocol(&self, mesh: &str, service: &str, tags: &Tags) -> Option<Effective<Protocol>> {
        let of_external = |external: &&ExternalService| Effective::of(external.protocol.as_ref(), Protocol::Unknown);
        match self.tagged(mesh, service) {
            None => (self.outside(mesh, service).iter())
                .map(of_external)
                .reduce(common_of_two),
            Some(instances) => {
                let narrowed = instances.narrowed(tags);
                Some(narrowed.unwrap_or_else(|| instances.protocol.clone()))
            }
        }
    }
}

impl<'a> ServicesOfMesh<'a> {
    /// The resources of a kind with all of the labels, looked for among those with the rarest.
    fn labelled<'l>(
        &'l self,
        kind: &str,
        labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
    ) -> Vec<&'a MeshService> {
        let rarest = self.labelled.rarest(labels.clone());
        let is_meant = |service: &&MeshService| {
            let mut labels = labels.clone();
            service.header.id.kind == kind && labels.all(|(key, value)| service.header.label(key) == Some(value))
        };
        let candidates = rarest.unwrap_or(&self.resources).iter().copied();
        candidates.filter(is_meant).collect()
    }
}

/// The common protocol of two, with the origin of the one that decides.
pub(super) fn common_of_two(a: Effective<Protocol>, b: Effective<Protocol>) -> Effective<Protocol> {
    let value = a.value.common(b.value);
    let is_of_second = value != a.value && value == b.value;
    let source = if is_of_second { b.source } else { a.source };
    Effective { value, source }
}

/// Whether `there` contains all `wanted` tags.
fn has(there: &Tags, wanted: &Tags) -> bool {
    wanted.iter().all(|(key, value)| there.get(key) == Some(value))
}
