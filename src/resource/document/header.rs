//! The header of a resource: its type, mesh, name and labels.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset};
use litemap::LiteMap;

use super::kind::Form;
use super::labels::{NAMESPACE, ORIGIN, ROLE, ZONE_LABEL};
use crate::diag::ResourceId;
use crate::keep::Text;
use crate::resource::decode::origin::{Located, Origin, Spanned};
use crate::source::{Location, Span};

/// The mesh that every installation has.
pub(in crate::resource) const DEFAULT_MESH: &str = "default";

/// The header of a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Type, mesh and name; the name of a namespaced resource of Kubernetes is `name.namespace`.
    pub id: Arc<ResourceId>,
    /// The place of the name, or of the document without one.
    pub at: Location,
    /// Index of the document in its file.
    pub document: usize,
    /// The form of the document.
    pub form: Form,
    /// `creationTime`, which decides ties with the setting `kuma.ties: creation-time`.
    pub creation_time: Option<Box<DateTime<FixedOffset>>>,
    /// The labels, with those that a control plane computes. Resources with the same labels share them.
    pub labels: Arc<LiteMap<Text, Text>>,
    /// The display name, by which policies are ordered.
    pub display_name: Text,
    /// The origin of the request to verify the certificates of https collectors.
    pub verify_collector: Option<Box<Origin>>,
}

/// The role of a policy: the dataplanes that it may select, from the widest role to the narrowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Every dataplane.
    System,
    /// Every dataplane, for requests to services of the policy's namespace.
    Producer,
    /// Dataplanes of the policy's namespace, for their outgoing requests.
    Consumer,
    /// Dataplanes of the policy's namespace.
    WorkloadOwner,
}

impl Header {
    /// The mesh of the resource.
    #[must_use]
    pub fn mesh(&self) -> &str {
        &self.id.mesh
    }

    /// The name of the resource.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.id.name
    }

    /// The location of a part of the resource.
    #[must_use]
    pub fn location(&self, span: Span) -> Location {
        Location::within(&self.at.file, span)
    }

    /// A value of the resource with the path of its field.
    pub(in crate::resource) fn located<T: Clone>(&self, written: &Spanned<T>, path: String) -> Located<T> {
        Located {
            value: written.value.clone(),
            origin: Origin {
                resource: Arc::clone(&self.id),
                path: path.into(),
                at: self.location(written.span),
            },
        }
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(Text::as_str)
    }

    /// The value of the label `kuma.io/zone`.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.label(ZONE_LABEL)
    }

    /// The value of the label `k8s.kuma.io/namespace`.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.label(NAMESPACE)
    }

    /// Whether the origin of the resource is one zone, rather than the global control plane.
    #[must_use]
    pub fn is_of_zone(&self) -> bool {
        self.label(ORIGIN) == Some("zone")
    }

    /// The precedence of the resource's origin: global, unknown, zone.
    #[must_use]
    pub fn origin_precedence(&self) -> u8 {
        match self.label(ORIGIN) {
            Some("global") => 0,
            Some("zone") => 2,
            _ => 1,
        }
    }

    /// The role of a policy, by its label.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.label(ROLE) {
            Some("producer") => Role::Producer,
            Some("consumer") => Role::Consumer,
            Some("workload-owner") => Role::WorkloadOwner,
            _ => Role::System,
        }
    }

    /// Whether the role is, or defaults to, `system`. An unknown role does not count.
    pub(in crate::resource) fn is_system(&self) -> bool {
        self.label(ROLE).is_none_or(|role| role == "system")
    }

    /// Whether the resource has the effect `shadow`, and so no effect on proxies.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.label("kuma.io/effect") == Some("shadow")
    }

    /// The sort key: mesh and name.
    pub(crate) fn order(&self) -> (&str, &str) {
        (self.mesh(), self.name())
    }
}
