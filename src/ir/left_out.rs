//! The features of a control plane's proxy that are left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::proxy::LeftOut;
use crate::resource::Origin;
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::kinds::mesh::Mesh;
use crate::resource::kinds::other_policy::OtherPolicy;
use crate::resource::value::feature::Feature;
use crate::select::destination::Services;
use crate::select::route::ResolvedOutbound;

/// The features that a control plane gives to all proxies of a mesh for which there are the given policies.
pub(super) fn left_out_by_policies(mesh: Option<&Mesh>, others: &[Arc<OtherPolicy>]) -> BTreeSet<LeftOut> {
    let mut found = Noted::default();
    if let Some(mesh) = mesh {
        mesh.mtls.iter().for_each(|origin| found.note(Feature::Mtls, origin));
        mesh.locality
            .iter()
            .for_each(|origin| found.note(Feature::Traffic, origin));
        mesh.metrics
            .iter()
            .for_each(|origin| found.note(Feature::Telemetry, origin));
    }
    let kind_of = |policy: &OtherPolicy| policy.header.id.kind.clone();
    let has_mtls =
        mesh.is_some_and(|mesh| mesh.mtls.is_some()) || (others.iter()).any(|policy| kind_of(policy) == "MeshIdentity");
    for policy in others {
        // These have no effect without TLS, which identifies the callers.
        let needs_mtls = ["TrafficPermission", "MeshTrafficPermission", "MeshTLS"];
        if has_mtls || !needs_mtls.contains(&kind_of(policy).as_str()) {
            let origin = Origin {
                resource: policy.header.id.clone(),
                path: "name".into(),
                at: policy.header.at.clone(),
            };
            found.note(policy.feature, &origin);
        }
    }
    found.0
}

/// The features that a control plane gives to the proxy of one dataplane for its own sake and for its destinations.
pub(super) fn left_out_alone<'a>(
    dataplane: &Dataplane,
    outbounds: &[ResolvedOutbound<'a>],
    services: &'a Services,
) -> BTreeSet<LeftOut> {
    let mut found = Noted::default();
    for inbound in &dataplane.inbounds {
        let probe = inbound.rare(|rare| rare.service_probe.as_ref()).into_iter();
        probe.for_each(|origin| found.note(Feature::Traffic, origin));
    }
    let mesh = dataplane.header.mesh();
    for outbound in outbounds {
        outbound
            .left_out
            .iter()
            .for_each(|rule| found.note(Feature::Routes, rule));
        let balancer = outbound.load_balancer.iter();
        balancer.for_each(|origin| found.note(Feature::Traffic, origin));
        for target in &outbound.targets {
            let tls = services.tls(mesh, target.to);
            tls.into_iter().for_each(|origin| found.note(Feature::Mtls, origin));
        }
    }
    found.0
}

/// The features noted so far.
#[derive(Default)]
struct Noted(BTreeSet<LeftOut>);

impl Noted {
    fn note(&mut self, feature: Feature, origin: &Origin) {
        let origin = origin.clone();
        self.0.insert(LeftOut { feature, origin });
    }
}
