//! Labels: those that a control plane knows, what it refuses in them, and those that it adds.

use std::collections::BTreeMap;

use super::decode::{Origin, TextMap, key_path};
use super::decoder::Decoder;
use super::header::{Header, is_subdomain};
use super::kind::{Form, Kind};
use super::{Context, Fidelity, Version};
use crate::diag::Code;

/// The label of the mesh of a resource.
pub(super) const MESH: &str = "kuma.io/mesh";
/// The label of where a resource was written: `global` or `zone`.
pub(super) const ORIGIN: &str = "kuma.io/origin";
/// The label of the zone of a resource.
pub const ZONE_LABEL: &str = "kuma.io/zone";
/// The label of the name that people gave to a resource.
pub const DISPLAY_NAME: &str = "kuma.io/display-name";
/// The label of the namespace of a resource.
pub const NAMESPACE: &str = "k8s.kuma.io/namespace";
/// The label of what runs beside a dataplane.
pub const WORKLOAD: &str = "kuma.io/workload";
/// The label of what a policy may select.
pub(super) const ROLE: &str = "kuma.io/policy-role";
/// The label, or annotation, by which meshtraced is asked to verify the certificates of https collectors. Kuma does
/// not know it, and ignores it.
const VERIFY: &str = "meshtraced/verify-collector";

/// Whether somebody wants certificates verified, and where it is written.
pub(super) fn verify_collector(decoder: &mut Decoder, labels: &TextMap) -> Option<Origin> {
    let asked = labels.get(VERIFY)?;
    match asked.value.as_str() {
        "true" => Some(asked.origin.clone()),
        "false" => None,
        other => {
            let Origin { path, at, .. } = &asked.origin;
            let message = format!("`{VERIFY}` is `{other}`; it is \"true\" or \"false\"");
            decoder.error(Code::UnknownValue, at, path, message);
            None
        }
    }
}

/// Checks the labels of a resource.
pub(super) fn check_labels(decoder: &mut Decoder, context: &Context, labels: &TextMap) {
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

/// Labels that a control plane computes, and refuses with another value.
fn check_computed_labels(decoder: &mut Decoder, context: &Context, labels: &TextMap) {
    let text = |key: &str| labels.get(key).map(|value| value.value.as_str());
    let mesh = decoder.resource.mesh.clone();
    let mut refuse = |key: &str, code: Code, message: String| {
        let Origin { at, .. } = &labels[key].origin;
        decoder.error(code, at, &key_path("labels", key), message);
    };
    let origin = text(ORIGIN).filter(|origin| !origin.is_empty());
    if let Some(origin) = origin.filter(|origin| !matches!(*origin, "global" | "zone")) {
        refuse(
            ORIGIN,
            Code::UnknownValue,
            format!("the origin is `global` or `zone`, not `{origin}`"),
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

/// The labels with those that a control plane adds on write.
pub(super) fn computed_labels(
    context: &Context,
    kind: Kind,
    form: Form,
    header: &Header,
    written: &TextMap,
) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = (written.iter())
        .map(|(key, value)| (key.clone(), value.value.clone()))
        .collect();
    let mut add = |key: &str, value: &str| {
        labels.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    };
    if kind == Kind::Mesh {
        return labels;
    }
    add(MESH, header.mesh());
    // A service of several zones belongs to none.
    let has_zone = kind.is_target() && kind != Kind::MeshMultiZoneService;
    if kind == Kind::Dataplane || has_zone {
        add(ORIGIN, "zone");
        if written.get(ORIGIN).is_none_or(|origin| origin.value != "global") {
            add(ZONE_LABEL, &context.kuma.zone);
            let environment = match form {
                Form::Universal => "universal",
                Form::Kubernetes => "kubernetes",
            };
            add("kuma.io/env", environment);
        }
        if context.names_are_labels(kind) {
            add(DISPLAY_NAME, &header.display_name);
        }
    }
    if form == Form::Kubernetes {
        labels.insert(DISPLAY_NAME.to_owned(), header.display_name.clone());
    }
    labels
}

impl Context<'_> {
    /// Whether the name of a resource counts as its label `kuma.io/display-name`.
    ///
    /// From 3.0 on a control plane adds it. The documentation promises it for backends before that already.
    fn names_are_labels(&self, kind: Kind) -> bool {
        self.kuma.version >= Version::V3_0
            || (kind == Kind::MeshOpenTelemetryBackend && self.kuma.fidelity == Fidelity::Documented)
    }
}

fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => prefix.len() <= 253 && is_subdomain(prefix) && !name.is_empty() && is_label_value(name),
        None => !key.is_empty() && is_label_value(key),
    }
}

fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let ends_well = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
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
