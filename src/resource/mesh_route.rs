//! `MeshHTTPRoute` and `MeshTCPRoute`: of them only whether they apply, and to which destinations.

use super::decode::Object;
use super::decoder::Decoder;
use super::header::Body;
use super::target_ref::{self, TargetRef};
use super::{Context, Header};

/// A route of the newer kind.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshRoute {
    /// What every resource has.
    pub header: Header,
    /// `spec.targetRef`: whose outbounds it is for.
    pub target: TargetRef,
    /// The services that `spec.to` names.
    pub services: Vec<String>,
}

/// Decodes either kind. How requests are matched and where they go is not meshtraced's business, and not checked.
pub(super) fn decode(decoder: &mut Decoder, context: &Context, header: Header, body: &Body) -> Option<MeshRoute> {
    let spec = body.object(decoder, &["targetRef", "to"])?;
    let target = target_ref::shape(decoder, context, &spec, "targetRef");
    let target = target_ref::meaning(decoder, context, target, header.role())?;
    let mut services = Vec::new();
    for (path, node) in spec.list(decoder, "to") {
        let Some(to) = Object::new(decoder, node, path, &["targetRef", "hostnames", "rules"]) else {
            continue;
        };
        let reference = to.open_object(decoder, "targetRef");
        let name = reference.and_then(|reference| reference.text(decoder, "name"));
        services.extend(name.map(|name| name.value));
    }
    Some(MeshRoute {
        header,
        target,
        services,
    })
}
