//! Labels: the keys that a control plane knows, and its checks of their values.

use crate::diag::Code;
use crate::kuma::Fidelity;
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::object::{TextMap, key_path};
use crate::resource::decode::origin::Origin;
use crate::resource::value::names::{is_label_value, is_subdomain};

/// The label with the mesh of a resource.
pub const MESH: &str = "kuma.io/mesh";
/// The label with the origin of a resource: `global` or `zone`.
pub(in crate::resource) const ORIGIN: &str = "kuma.io/origin";
/// The label with the zone of a resource.
pub const ZONE_LABEL: &str = "kuma.io/zone";
/// The label with the display name of a resource.
pub const DISPLAY_NAME: &str = "kuma.io/display-name";
/// The label with the namespace of a resource.
pub const NAMESPACE: &str = "k8s.kuma.io/namespace";
/// The label with the workload of a dataplane.
pub const WORKLOAD: &str = "kuma.io/workload";
/// The label with the role of a policy.
pub(in crate::resource) const ROLE: &str = "kuma.io/policy-role";
/// The label or annotation that makes meshtraced verify the certificates of https collectors. Kuma does
/// not know the label, and ignores it.
pub const VERIFY_COLLECTOR: &str = "meshtraced/verify-collector";

/// The origin of the request to verify certificates; `None` without a request.
pub(in crate::resource) fn verify_collector(decoder: &mut Decoder, labels: &TextMap) -> Option<Origin> {
    let asked = labels.get(VERIFY_COLLECTOR)?;
    match asked.value.as_str() {
        "true" => Some(asked.origin.clone()),
        "false" => None,
        other => {
            let Origin { path, at, .. } = &asked.origin;
            let message = format!("`{VERIFY_COLLECTOR}` is `{other}`; it must be \"true\" or \"false\"");
            decoder.error(Code::UnknownValue, at, path, message);
            None
        }
    }
}

/// Checks the labels of a resource.
pub(in crate::resource) fn check_labels(decoder: &mut Decoder, context: &Context, labels: &TextMap) {
    for (key, value) in labels {
        let Origin { path, at, .. } = &value.origin;
        if !is_qualified_name(key) {
            let message = format!("the label `{key}` must have the form `name` or `prefix/name`");
            decoder.error(Code::InvalidValue, at, path, message);
        } else if !is_label_value(&value.value) {
            let message = format!(
                "the value `{}` of a label must be at most 63 letters, digits and `-_.`",
                value.value
            );
            decoder.error(Code::InvalidValue, at, path, message);
        }
    }
    check_computed_labels(decoder, context, labels);
}

/// Checks the labels that a control plane computes itself; it rejects other values.
fn check_computed_labels(decoder: &mut Decoder, context: &Context, labels: &TextMap) {
    let text = |key: &str| labels.get(key).map(|value| value.value.as_str());
    let mesh = decoder.resource.mesh.clone();
    let mut refuse = |key: &str, code: Code, message: String| {
        if let Some(label) = labels.get(key) {
            decoder.error(code, &label.origin.at, &key_path("labels", key), message);
        }
    };
    let origin = text(ORIGIN).filter(|origin| !origin.is_empty());
    if let Some(origin) = origin.filter(|origin| !matches!(*origin, "global" | "zone")) {
        refuse(
            ORIGIN,
            Code::UnknownValue,
            format!("the origin must be `global` or `zone`, not `{origin}`"),
        );
    }
    if text(MESH).is_some_and(|label| label != mesh) && origin != Some("global") {
        refuse(
            MESH,
            Code::NotAllowed,
            format!("the label must not differ from the mesh of the resource, `{mesh}`"),
        );
    }
    let zone = &context.kuma.zone;
    let foreign_zone = text(ZONE_LABEL).is_some_and(|label| label != zone) && origin != Some("global");
    if foreign_zone && context.kuma.fidelity == Fidelity::Exact {
        refuse(
            ZONE_LABEL,
            Code::NotAllowed,
            format!("the label must be the zone of the control plane, `{zone}`"),
        );
    }
}

/// Whether a text is the key of a label: `name`, or `prefix/name`.
#[must_use]
pub fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => prefix.len() <= 253 && is_subdomain(prefix) && !name.is_empty() && is_label_value(name),
        None => !key.is_empty() && is_label_value(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_the_form_of_kubernetes() {
        assert!(is_qualified_name("kuma.io/zone") && is_qualified_name("A_b") && is_label_value(""));
        assert!(
            !is_qualified_name("a b")
                && !is_qualified_name("/x")
                && !is_qualified_name("a/b/c")
                && !is_label_value("-x")
        );
    }
}
