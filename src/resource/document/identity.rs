//! The identity of a resource: its kind, mesh and name as written, valid or not, with their places.

use crate::diag::ResourceId;
use crate::keep::{Text, Texts};
use crate::resource::document::header::DEFAULT_MESH;
use crate::resource::document::kind::{Form, Kind};
use crate::resource::document::labels::MESH;
use crate::source::Location;
use crate::yaml::Node;

/// The namespace of a resource without one.
pub(in crate::resource) const DEFAULT_NAMESPACE: &str = "default";

/// Kind, mesh and name of a resource, with their places.
pub(in crate::resource) struct Identity {
    /// Kind, mesh and name; empty if missing and without default.
    pub(in crate::resource) id: ResourceId,
    /// The place of the name, or of the mapping without one.
    pub(in crate::resource) name_at: Location,
    /// The place of the mesh, or of the document without one.
    pub(in crate::resource) mesh_at: Location,
}

impl Identity {
    /// Reads the identity from a document.
    pub(in crate::resource) fn read(texts: &Texts, kind: Kind, form: Form, root: &Node) -> Self {
        let metadata = field(Some(root), "metadata");
        let (holder, mesh) = match form {
            Form::Universal => (Some(root), field(Some(root), "mesh")),
            // In the newer kinds, the mesh is a label.
            Form::Kubernetes if kind.is_target() => (metadata, field(field(metadata, "labels"), MESH)),
            Form::Kubernetes => (metadata, field(Some(root), "mesh")),
        };
        let name = field(holder, "name");
        let is_namespaced = form == Form::Kubernetes && kind.is_namespaced();
        let namespace = is_namespaced.then(|| text(field(metadata, "namespace")).unwrap_or(DEFAULT_NAMESPACE));
        let at = |node: Option<&Node>| node.unwrap_or(root).at.clone();
        Self {
            name_at: at(name.or(holder)),
            mesh_at: at(mesh),
            id: id(texts, kind, text(name), text(mesh), namespace),
        }
    }
}

/// The id of a resource, with the namespace as a part of the name.
fn id(texts: &Texts, kind: Kind, name: Option<&str>, mesh: Option<&str>, namespace: Option<&str>) -> ResourceId {
    let name = match (name, namespace) {
        (Some(name), Some(namespace)) => format!("{name}.{namespace}").into(),
        (name, _) => Text::from(name.unwrap_or_default()),
    };
    let mesh = match kind {
        Kind::Mesh => name.clone(),
        _ if kind.is_target() => texts.get(mesh.unwrap_or(DEFAULT_MESH)),
        _ => texts.get(mesh.unwrap_or_default()),
    };
    ResourceId {
        kind: texts.get(kind.as_str()),
        mesh,
        name,
    }
}

/// The value of a field of a mapping.
fn field<'a>(node: Option<&'a Node<'a>>, key: &str) -> Option<&'a Node<'a>> {
    Some(&node?.map()?.get(key)?.value)
}

/// The text of a scalar that is not empty.
fn text<'a>(node: Option<&'a Node<'a>>) -> Option<&'a str> {
    node?.text().filter(|text| !text.is_empty())
}
