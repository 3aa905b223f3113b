//! From a tree for 2.14 to one that 3.0 takes as well: policies select by labels, dataplanes have the labels, protocols and references
//! that 3.0 asks for, and what 3.0 no longer has is gone.
//!
//! Policies, labels and protocols mean the same to 2.14, so that a control plane can be upgraded after the change. Outbounds with
//! references need services as resources there, too.

mod labels;

mod service;

mod dataplane;

mod mesh_trace;

use std::collections::BTreeSet;

use self::labels::{Labelling, NewTarget};
use self::service::Services;
use super::edits::Changes;
use super::part::{governed_of, unmigrated};
use super::report::{Counts, Unmigrated};
use crate::compilation::Compilation;
use crate::resource::kinds::traffic_route::TrafficRoute;
use crate::select::target::is_builtin;
use crate::select::{Governed, of_mesh};

/// The changes of a tree for 3.0.
#[derive(Debug, Default)]
pub(super) struct Next {
    pub(super) changes: Changes,
    pub(super) unmigrated: Vec<Unmigrated>,
    pub(super) counts: Counts,
}

impl Next {
    /// Plans the changes of every mesh.
    pub(super) fn of(compilation: &Compilation) -> Self {
        let mut next = Self::default();
        let resources = compilation.resources;
        for route in resources.traffic_routes.iter() {
            next.changes.of(&route.header).is_removed = true;
            if !is_plain(route) {
                let reason =
                    "3.0 has no TrafficRoute; what it splits or redirects needs a MeshHTTPRoute or MeshTCPRoute";
                next.unmigrated.push(unmigrated(&route.header, reason.to_owned()));
            }
        }
        for gateway in resources.mesh_gateways.iter() {
            let reason = "3.0 has no built-in gateways; a delegated gateway takes their place";
            next.unmigrated.push(unmigrated(&gateway.header, reason.to_owned()));
        }
        for service in resources.external_services.iter() {
            let reason = "3.0 has no ExternalService; a MeshExternalService takes its place";
            next.unmigrated.push(unmigrated(&service.header, reason.to_owned()));
        }
        let governed = &compilation.selection.dataplanes;
        let of_dataplanes = governed.iter().map(|governed| governed.dataplane.header.mesh());
        let of_policies = resources.mesh_traces.iter().map(|policy| policy.header.mesh());
        let meshes: BTreeSet<&str> = of_dataplanes.chain(of_policies).collect();
        for mesh in meshes {
            next.mesh(compilation, mesh, governed_of(governed, mesh));
        }
        next
    }

    fn mesh(&mut self, compilation: &Compilation, mesh: &str, governed: &[Governed]) {
        let resources = compilation.resources;
        let policies = of_mesh(&resources.mesh_traces, mesh, |policy| &policy.header);
        let (builtin, kept): (Vec<&Governed>, Vec<&Governed>) =
            governed.iter().partition(|governed| is_builtin(governed.dataplane));
        let labelling = Labelling::of(&kept, policies);
        let existing = of_mesh(&resources.mesh_services, mesh, |service| &service.header);
        let services = Services::of(&kept, &labelling, existing, &mut self.changes);
        for (i, governed) in kept.iter().enumerate() {
            let mut labels = labelling.labels[i].clone();
            labels.extend(services.labels[i].clone());
            self.counts.labels += labels.len();
            dataplane::change(
                governed.dataplane,
                &labels,
                &services,
                &mut self.changes,
                &mut self.unmigrated,
            );
        }
        for builtin in builtin {
            let reason = "3.0 has no built-in gateways; a delegated gateway takes their place";
            self.unmigrated
                .push(unmigrated(&builtin.dataplane.header, reason.to_owned()));
        }
        let existing = of_mesh(&resources.otel_backends, mesh, |backend| &backend.header);
        let mut backends = mesh_trace::Backends::of(existing);
        for (i, policy) in policies.iter().enumerate() {
            let (target, name) = (&labelling.targets[i], &labelling.names[i]);
            if *target == NewTarget::Gone {
                let reason = "it is for a built-in gateway, which 3.0 does not have";
                self.unmigrated.push(unmigrated(&policy.header, reason.to_owned()));
                self.changes.of(&policy.header).is_removed = true;
            } else if mesh_trace::change(policy, (target, name), &mut backends, &mut self.changes) {
                self.counts.rewritten += 1;
            }
        }
        self.counts.otel_backends += backends.count();
    }
}

/// Whether a route does nothing but to lead requests to the service that they are for.
fn is_plain(route: &TrafficRoute) -> bool {
    let is_itself = |tags: &crate::resource::value::tags::Tags| tags.values().all(|value| value.as_str() == "*");
    route.http.is_empty() && route.load_balancer.is_none() && route.targets.iter().all(|target| is_itself(&target.tags))
}
