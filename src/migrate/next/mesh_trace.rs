//! Policies as 3.0 takes them: they select by labels, and refer to OpenTelemetry collectors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::labels::NewTarget;
use crate::migrate::edits::Changes;
use crate::migrate::part::NewResource;
use crate::resource::kinds::mesh_open_telemetry_backend::MeshOpenTelemetryBackend;
use crate::resource::kinds::mesh_trace::{Backend, MeshTrace, OpenTelemetryBackend};
use crate::resource::kinds::target_ref::Target;
use crate::resource::value::otlp_endpoint::Otlp;
use crate::resource::{DISPLAY_NAME, Form};
use crate::yaml::edit::Edit;

/// The collectors of a mesh that policies refer to.
pub(super) struct Backends {
    taken: BTreeSet<String>,
    /// The new ones, by host and port.
    new: BTreeMap<(String, u16), String>,
}

impl Backends {
    /// The collectors that a mesh has already.
    pub(super) fn of(existing: &[Arc<MeshOpenTelemetryBackend>]) -> Self {
        Self {
            taken: existing
                .iter()
                .map(|backend| backend.header.display_name.to_string())
                .collect(),
            new: BTreeMap::new(),
        }
    }

    /// The number of new collectors.
    pub(super) fn count(&self) -> usize {
        self.new.len()
    }

    /// The name of the collector at an endpoint, and whether it is new.
    fn name(&mut self, endpoint: &Otlp) -> (String, bool) {
        let key = (endpoint.host.clone(), endpoint.port);
        if let Some(known) = self.new.get(&key) {
            return (known.clone(), false);
        }
        let clean = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        };
        let host: String = endpoint.host.chars().map(clean).collect();
        let host = format!("otel-{}", host.trim_matches('-')).replace("otel-otel-", "otel-");
        let base: String = host.chars().take(50).collect();
        let base = base.trim_end_matches('-').to_owned();
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        let name = std::iter::once(base.clone())
            .chain(numbered)
            .find(|name| !self.taken.contains(name));
        let name = name.unwrap_or(base);
        self.taken.insert(name.clone());
        self.new.insert(key, name.clone());
        (name, true)
    }
}

/// Adds the changes of a policy with another target or name, or with a collector of its own. Whether there are any.
pub(super) fn change(
    policy: &MeshTrace,
    (target, name): (&NewTarget, &String),
    backends: &mut Backends,
    changes: &mut Changes,
) -> bool {
    let (mut edits, mut added) = (Vec::new(), Vec::new());
    let path = |keys: &[&str]| -> Vec<String> { keys.iter().map(|key| (*key).to_owned()).collect() };
    if policy.header.display_name.as_str() != name {
        let holder = match policy.header.form {
            Form::Universal => path(&[]),
            Form::Kubernetes => path(&["metadata"]),
        };
        edits.push((holder, Edit::set("name", json!(name), "type")));
    }
    if let Some(target) = new_target(&policy.target.target, target) {
        edits.push((path(&["spec"]), Edit::set("targetRef", target, "")));
    }
    if let Some(Backend::OpenTelemetry(OpenTelemetryBackend::Endpoint { endpoint, .. })) = &policy.conf.backend.value {
        let (name, is_new) = backends.name(&endpoint.value);
        let reference = json!({"kind": "MeshOpenTelemetryBackend", "labels": {DISPLAY_NAME: name}});
        let replace = Edit::Replace {
            keys: vec!["endpoint"],
            with: "backendRef".to_owned(),
            value: reference,
        };
        edits.push((path(&["spec", "default", "backends", "0", "openTelemetry"]), replace));
        added.extend(is_new.then(|| backend(policy, &name, &endpoint.value)));
    }
    let is_changed = !edits.is_empty();
    if is_changed {
        let change = changes.of(&policy.header);
        change.edits.extend(edits);
        change.added.extend(added);
    }
    is_changed
}

/// The `targetRef` in 3.0; `None` if it can stay as it is.
fn new_target(old: &Target, new: &NewTarget) -> Option<Value> {
    match (old, new) {
        (
            Target::Mesh {
                subset: false,
                proxy_types,
                ..
            },
            NewTarget::Mesh,
        ) if proxy_types.is_empty() => None,
        (_, NewTarget::Mesh) => Some(json!({"kind": "Mesh"})),
        (
            Target::Dataplane {
                name: None,
                labels: Some(old),
                ..
            },
            NewTarget::Labels(new),
        ) if old
            .iter()
            .map(|(key, value)| (key.as_str(), value.value.as_str()))
            .eq(new.iter().map(|(key, value)| (key.as_str(), value.as_str()))) =>
        {
            None
        }
        (_, NewTarget::Labels(labels)) => Some(json!({"kind": "Dataplane", "labels": labels})),
        (_, NewTarget::Gone) => None,
    }
}

/// The collector at an endpoint as a resource, in the form of the policy.
fn backend(policy: &MeshTrace, name: &str, endpoint: &Otlp) -> Value {
    let resource = NewResource {
        kind: "MeshOpenTelemetryBackend",
        name,
        namespace: policy.header.namespace().unwrap_or_default(),
        // A control plane of 2.14 does not add the label.
        labels: vec![(DISPLAY_NAME, name)],
        spec: json!({
            "endpoint": {"address": endpoint.host, "port": endpoint.port},
            "protocol": "grpc",
        }),
    };
    resource.beside(&policy.header)
}
