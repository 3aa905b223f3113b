//! The header of a resource: its type, mesh, name and labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, FixedOffset};

use super::labels::{NAMESPACE, ORIGIN, ROLE, ZONE_LABEL};
use crate::diag::ResourceId;
use crate::resource::decode::origin::Origin;
use crate::source::Location;

/// The mesh that every installation has.
pub(in crate::resource) const DEFAULT_MESH: &str = "default";

/// The header of a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Type, mesh and name; the name of a namespaced resource of Kubernetes is `name.namespace`.
    pub id: Arc<ResourceId>,
    /// Where the name stands, or the document where it has none.
    pub at: Location,
    /// Index of the document in its file.
    pub document: usize,
    /// `creationTime`, which decides ties when the settings say so.
    pub creation_time: Option<DateTime<FixedOffset>>,
    /// The labels, with those that a control plane computes.
    pub labels: BTreeMap<String, String>,
    /// The name that people gave to it, by which policies are ordered.
    pub display_name: String,
    /// Where it is asked that the certificates of https collectors are verified.
    pub verify_collector: Option<Origin>,
}

/// The dataplanes that a policy may select, from the widest role to the narrowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Every dataplane.
    System,
    /// Every dataplane, for what its own namespace offers.
    Producer,
    /// Dataplanes of its own namespace, for what they use.
    Consumer,
    /// Dataplanes of its own namespace.
    WorkloadOwner,
}

impl Header {
    /// The mesh it belongs to.
    #[must_use]
    pub fn mesh(&self) -> &str {
        &self.id.mesh
    }

    /// The name of the resource.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.id.name
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
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

    /// Whether it was written in a zone, and not for all of them.
    #[must_use]
    pub fn is_of_zone(&self) -> bool {
        self.label(ORIGIN) == Some("zone")
    }

    /// How near to a dataplane it was written: for all zones, without saying, in a zone.
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

    /// Whether its role is, or counts as, `system`, and no word that Kuma does not know.
    pub(in crate::resource) fn is_system(&self) -> bool {
        self.label(ROLE).is_none_or(|role| role == "system")
    }

    /// Whether it is there to be looked at only.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.label("kuma.io/effect") == Some("shadow")
    }

    /// By mesh and name.
    pub(in crate::resource) fn order(&self) -> (&str, &str) {
        (self.mesh(), self.name())
    }
}
