//! Parts of what both steps of a migration say and look for.

use serde_json::{Map, Value, json};

use super::report::Unmigrated;
use crate::resource::{Form, Header, MESH_LABEL};
use crate::select::Governed;

/// A resource that has no place in the new policies.
pub(super) fn unmigrated(header: &Header, reason: String) -> Unmigrated {
    Unmigrated {
        kind: (&header.id.kind).into(),
        mesh: header.mesh().to_owned(),
        name: header.name().to_owned(),
        file: (&header.at.file.path).into(),
        line: header.at.line(),
        reason,
    }
}

/// The dataplanes of a mesh, of a list that is sorted by mesh.
pub(super) fn governed_of<'s, 'a>(all: &'s [Governed<'a>], mesh: &str) -> &'s [Governed<'a>] {
    let first = all.partition_point(|governed| governed.dataplane.header.mesh() < mesh);
    let count = all[first..].partition_point(|governed| governed.dataplane.header.mesh() == mesh);
    &all[first..first + count]
}

/// A new resource of a kind: its name, its namespace in Kubernetes form, and its labels beside that of the mesh.
pub(super) struct NewResource<'n> {
    pub(super) kind: &'static str,
    pub(super) name: &'n str,
    pub(super) namespace: &'n str,
    pub(super) labels: Vec<(&'n str, &'n str)>,
    pub(super) spec: Value,
}

impl NewResource<'_> {
    /// The document, in the form and the mesh of another resource.
    pub(super) fn beside(self, header: &Header) -> Value {
        let Self {
            kind,
            name,
            namespace,
            labels,
            spec,
        } = self;
        let label = |(key, value): (&str, &str)| (key.to_owned(), json!(value));
        match header.form {
            Form::Universal => {
                let mut resource = Map::new();
                resource.insert("type".to_owned(), json!(kind));
                resource.insert("mesh".to_owned(), json!(header.mesh()));
                resource.insert("name".to_owned(), json!(name));
                if !labels.is_empty() {
                    let labels: Map<String, Value> = labels.into_iter().map(label).collect();
                    resource.insert("labels".to_owned(), Value::Object(labels));
                }
                resource.insert("spec".to_owned(), spec);
                Value::Object(resource)
            }
            Form::Kubernetes => {
                let all = std::iter::once((MESH_LABEL, header.mesh())).chain(labels);
                let labels: Map<String, Value> = all.map(label).collect();
                json!({
                    "apiVersion": "kuma.io/v1alpha1",
                    "kind": kind,
                    "metadata": {"name": name, "namespace": namespace, "labels": labels},
                    "spec": spec,
                })
            }
        }
    }
}
