//! The services that the destinations of one dataplane are found among.

use std::cell::{Cell, RefCell};

use litemap::LiteMap;

use super::destination::Services;
use super::instances::Identity;
use crate::keep::Text;
use crate::resource::Effective;
use crate::resource::kinds::dataplane::{BackendRef, Dataplane};
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
    sources: RefCell<Sources>,
}

impl<'a> Inquiry<'a> {
    pub(super) fn new(services: &'a Services, dataplane: &'a Dataplane) -> Self {
        let sources = Sources {
            generation: services.generation.into(),
            declared_generation: services.declared_generation,
            ..Sources::default()
        };
        Self {
            services,
            dataplane,
            sources: sources.into(),
        }
    }

    fn mesh(&self) -> &'a str {
        self.dataplane.header.mesh()
    }

    /// Takes note of a service that the result depends on.
    pub(super) fn note(&self, service: &Text) {
        let mut sources = self.sources.borrow_mut();
        if !sources.instances.contains_key(service) {
            let found = self.services.tagged(self.mesh(), service);
            let identity = found.map(|instances| instances.identity.clone());
            sources.instances.insert(service.clone(), identity);
        }
    }

    /// The answer of [`Services::lacks`].
    pub(super) fn lacks(&self, service: &Text, tags: &Tags) -> bool {
        self.note(service);
        self.services.lacks(self.mesh(), service, tags)
    }

    /// The answer of [`Services::knows`].
    pub(super) fn knows(&self, service: &Text) -> bool {
        self.note(service);
        self.services.knows(self.mesh(), service)
    }

    /// The answer of [`Services::protocol`].
    pub(super) fn protocol(&self, service: &Text, tags: &Tags) -> Option<Effective<Protocol>> {
        self.note(service);
        self.services.protocol(self.mesh(), service, tags)
    }

    /// The answer of [`Services::resolve`].
    pub(super) fn resolve(&self, reference: &BackendRef) -> Option<(&'a MeshService, &'a Port)> {
        self.sources.borrow_mut().has_resources = true;
        self.services.resolve(self.dataplane, reference)
    }

    pub(super) fn into_sources(self) -> Sources {
        self.sources.into_inner()
    }
}
