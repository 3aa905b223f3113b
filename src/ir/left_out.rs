//! The features of a control plane's proxy that are left out.

use std::collections::BTreeSet;

use super::proxy::LeftOut;
use crate::resource::Origin;
use crate::resource::kinds::other_policy::OtherPolicy;
use crate::resource::value::feature::Feature;
use crate::select::Governed;
use crate::select::destination::Services;

/// The features that a control plane gives to the proxy of a dataplane, beside its listeners, destinations and
/// tracing.
pub(super) fn left_out(governed: &Governed, services: &Services) -> BTreeSet<LeftOut> {
    let mut found = BTreeSet::new();
    let mut note = |feature, origin: &Origin| {
        let origin = origin.clone();
        found.insert(LeftOut { feature, origin });
    };
    if let Some(mesh) = governed.mesh {
        mesh.mtls.iter().for_each(|origin| note(Feature::Mtls, origin));
        mesh.locality.iter().for_each(|origin| note(Feature::Traffic, origin));
        mesh.metrics.iter().for_each(|origin| note(Feature::Telemetry, origin));
    }
    let kind_of = |policy: &OtherPolicy| policy.header.id.kind.clone();
    let has_mtls = governed.mesh.is_some_and(|mesh| mesh.mtls.is_some())
        || (governed.others.iter()).any(|policy| kind_of(policy) == "MeshIdentity");
    for policy in &governed.others {
        // These have no effect without TLS, which identifies the callers.
        let needs_mtls = ["TrafficPermission", "MeshTrafficPermission", "MeshTLS"];
        if has_mtls || !needs_mtls.contains(&kind_of(policy).as_str()) {
            let origin = Origin {
                resource: policy.header.id.clone(),
                path: "name".to_owned(),
                at: policy.header.at.clone(),
            };
            note(policy.feature, &origin);
        }
    }
    for inbound in &governed.dataplane.inbounds {
        let probe = inbound.service_probe.iter();
        probe.for_each(|origin| note(Feature::Traffic, origin));
    }
    let mesh = governed.dataplane.header.mesh();
    for outbound in &governed.outbounds {
        outbound.left_out.iter().for_each(|rule| note(Feature::Routes, rule));
        let balancer = outbound.load_balancer.iter();
        balancer.for_each(|origin| note(Feature::Traffic, origin));
        for target in &outbound.targets {
            let tls = services.tls(mesh, target.to);
            tls.into_iter().for_each(|origin| note(Feature::Mtls, origin));
        }
    }
    found
}
