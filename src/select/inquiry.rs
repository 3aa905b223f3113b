//! The services that the destinations of one dataplane are found among.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use litemap::LiteMap;

use super::destination::Services;
use super::instances::{Identity, Instances, common_of_two};
use crate::keep::Text;
use crate::resource::Effective;
use crate::resource::kinds::dataplane::{BackendRef, Dataplane};
use crate::resource::kinds::external_service::ExternalService;
use crate::resource::kinds::mesh_service::{MeshService, Port};
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::Tags;

/// The services that were asked for, as they were.
#[derive(Debug, Default)]
pub struct Sources {
    /// The generation of the services when they were asked for, or last found to be the same.
    generation: Cell<u64>,
    declared_generation: u64,
    /// Whether a service that is a resource was asked for: any dataplane can be an instance of it.
    has_resources: bool,
    /// The instances of each service that was asked for by its tag.
    instances: LiteMap<Text, Option<Identity>>,
}

impl Sources {
    /// Whether the dataplane would find the same services, so the same destinations. After an answer of yes, the next one is
    /// cheap as long as no service differs.
    #[must_use]
    pub fn are_current(&self, dataplane: &Dataplane, services: &Services) -> bool {
        if self.generation.get() == services.generation {
            return true;
        }
        let is_same = |(service, known): (&Text, &Option<Identity>)| {
            let found = services
                .tagged(dataplane.header.mesh(), service)
                .map(|instances| &instances.identity);
            known.as_ref() == found
        };
        let are_current = !self.has_resources
            && self.declared_generation == services.declared_generation
            && self.instances.iter().all(is_same);
        if are_current {
            self.generation.set(services.generation);
        }
        are_current
    }
}

/// The services as one dataplane asks for them.
#[derive(Debug)]
pub(super) struct Inquiry<'a> {
    services: &'a Services,
    dataplane: &'a Dataplane,
    has_resources: Cell<bool>,
    /// The instances of each service that was asked for by its tag.
    found: RefCell<LiteMap<Text, Option<&'a Arc<Instances>>>>,
}

impl<'a> Inquiry<'a> {
    pub(super) fn new(services: &'a Services, dataplane: &'a Dataplane) -> Self {
        Self {
            services,
            dataplane,
            has_resources: Cell::default(),
            found: RefCell::default(),
        }
    }

    fn mesh(&self) -> &'a str {
        self.dataplane.header.mesh()
    }

    /// Takes note of a service that the result depends on.
    pub(super) fn note(&self, service: &Text) {
        self.tagged(service);
    }

    /// The instances of a service, on which the result depends from now on.
    fn tagged(&self, service: &Text) -> Option<&'a Arc<Instances>> {
        let mut found = self.found.borrow_mut();
        if let Some(instances) = found.get(service) {
            return *instances;
        }
        let instances = self.services.tagged(self.mesh(), service);
        found.insert(service.clone(), instances);
        instances
    }

    /// Whether a service has instances, and none of them has all of the tags.
    pub(super) fn lacks(&self, service: &Text, tags: &Tags) -> bool {
        let instances = self.tagged(service);
        instances.is_some_and(|instances| instances.narrowed(tags).is_none())
    }

    /// Whether a service has an instance, or an endpoint outside of the mesh.
    pub(super) fn knows(&self, service: &Text) -> bool {
        self.tagged(service).is_some() || !self.services.outside(self.mesh(), service).is_empty()
    }

    /// The common protocol of the instances of a service that have all of the tags, with the origin in the one that decides;
    /// of all instances when none has the tags, and `None` without instances.
    pub(super) fn protocol(&self, service: &Text, tags: &Tags) -> Option<Effective<Protocol>> {
        let of_external =
            |external: &Arc<ExternalService>| Effective::of(external.protocol.as_ref(), Protocol::Unknown);
        match self.tagged(service) {
            None => (self.services.outside(self.mesh(), service).iter())
                .map(of_external)
                .reduce(common_of_two),
            Some(instances) => {
                let narrowed = instances.narrowed(tags);
                Some(narrowed.unwrap_or_else(|| instances.protocol.clone()))
            }
        }
    }

    /// The answer of [`Services::resolve`].
    pub(super) fn resolve(&self, reference: &BackendRef) -> Option<(&'a MeshService, &'a Port)> {
        self.has_resources.set(true);
        self.services.resolve(self.dataplane, reference)
    }

    /// The services that were asked for.
    pub(super) fn into_sources(self) -> Sources {
        let found = self.found.into_inner().into_iter();
        let identity = |instances: &Arc<Instances>| instances.identity.clone();
        Sources {
            generation: self.services.generation.into(),
            declared_generation: self.services.declared_generation,
            has_resources: self.has_resources.get(),
            instances: found.map(|(service, found)| (service, found.map(identity))).collect(),
        }
    }
}
