//! The destinations of outbounds with their endpoints, which all proxies that call one share.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::naming::Naming;
use super::proxy::Destination;
use crate::keep::Shared;
use crate::keep::Text;
use crate::resource::value::tags::{MESH, SERVICE, Tags};
use crate::select::destination::{Endpoint, ResolvedDestination, Services, Target};
use crate::select::route::ResolvedOutbound;

/// A service with the tags that narrow it down, or a port of a resource, by its identity.
type Key<'a> = (&'a str, &'a Text, Tags);

/// The destinations that were made so far.
#[derive(Debug)]
pub(super) struct Destinations<'a> {
    pub(super) services: &'a Services,
    of_services: Shared<Key<'a>, Arc<Destination>>,
    of_ports: Shared<(usize, usize), Arc<[Endpoint]>>,
}

impl<'a> Destinations<'a> {
    pub(super) fn new(services: &'a Services) -> Self {
        Self {
            services,
            of_services: Shared::default(),
            of_ports: Shared::default(),
        }
    }

    /// The destination of an outbound of a dataplane in the given mesh.
    pub(super) fn get(
        &self,
        mesh: &'a str,
        routed: &ResolvedOutbound<'a>,
        target: &Target<'a>,
        naming: &Naming,
    ) -> Arc<Destination> {
        match target.to {
            ResolvedDestination::Service(service) => {
                let key = (mesh, service, target.tags.clone());
                self.of_services.get(&key, || {
                    let cluster = cluster_name(service, &target.tags);
                    let endpoints = self.services.endpoints(mesh, service, &target.tags);
                    Arc::new(Destination::new(
                        service.clone(),
                        target.tags.clone(),
                        cluster,
                        endpoints,
                    ))
                })
            }
            ResolvedDestination::Resource(service, port) => {
                let key = (std::ptr::from_ref(service).addr(), std::ptr::from_ref(port).addr());
                let endpoints = || self.services.endpoints_of(service, port);
                let cluster = naming.resource_cluster(routed, service, port);
                let (name, endpoints) = (service.header.display_name.clone(), self.of_ports.get(&key, endpoints));
                Arc::new(Destination::new(name, target.tags.clone(), cluster, endpoints))
            }
        }
    }
}

/// Kuma's name for the cluster of a service: the service, with a hash of all tags if it is narrowed down by some.
fn cluster_name(service: &str, tags: &Tags) -> String {
    if tags.is_empty() {
        return service.to_owned();
    }
    let mut all = tags.clone();
    all.insert(SERVICE.into(), service.into());
    let mut hash = Sha256::new();
    for (tag, value) in &all {
        hash.update(tag.as_bytes());
        hash.update(value.as_bytes());
    }
    let digest: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    match tags.get(MESH) {
        Some(mesh) => format!("{service}-{digest}_{mesh}"),
        None => format!("{service}-{digest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_named_as_kuma_names_them() {
        let tags = Tags::from_iter([("version".into(), "2.0".into())]);
        assert_eq!(cluster_name("backend", &Tags::new()), "backend");
        // SHA-256 of `kuma.io/servicebackendversion2.0`, in hexadecimal, begins so.
        assert_eq!(cluster_name("backend", &tags), "backend-7ca7868fd5459179");
        let other = Tags::from_iter([(MESH.into(), "other".into())]);
        assert!(cluster_name("backend", &other).ends_with("_other"));
    }
}
