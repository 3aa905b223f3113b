//! The `targetRef` of new policies.

use serde_json::{Map, Value, json};

use super::rule::service_of;
use super::subject::Wanted;
use crate::resource::Text;
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::value::tags::SERVICE;

/// The kinds of `targetRef` that new policies have, by increasing precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Mesh,
    Subset,
    Service,
    ServiceSubset,
}

/// A `targetRef`.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) kind: Kind,
    pub(super) wanted: Wanted,
}

impl Kind {
    /// The narrowest kind that a rule can have.
    pub(super) fn of(wanted: &Wanted) -> Self {
        match (service_of(wanted), wanted.len()) {
            (_, 0) => Self::Mesh,
            (Some(_), 1) => Self::Service,
            (Some(_), _) => Self::ServiceSubset,
            (None, _) => Self::Subset,
        }
    }

    /// The precedence among the kinds of a control plane.
    pub(super) fn precedence(self) -> u8 {
        match self {
            Self::Mesh => 1,
            Self::Subset => 3,
            Self::Service => 5,
            Self::ServiceSubset => 8,
        }
    }
}

impl Target {
    /// The dataplanes of the target, in words.
    pub(super) fn words(&self) -> String {
        let tags = self.wanted.iter().map(|(key, value)| format!("{key}: {value}"));
        match self.wanted.is_empty() {
            true => "the whole mesh".to_owned(),
            false => format!("dataplanes with {}", tags.collect::<Vec<_>>().join(", ")),
        }
    }

    /// The `targetRef` as a resource has it.
    pub(super) fn value(&self) -> Value {
        let tags = |without_service: bool| {
            let wanted = self.wanted.iter();
            let others = wanted.filter(|(key, _)| !without_service || key.as_str() != SERVICE);
            let tags: Map<String, Value> = others
                .map(|(key, value)| (key.to_string(), json!(value.as_str())))
                .collect();
            Value::Object(tags)
        };
        let service = || self.wanted.get(SERVICE).map_or("", Text::as_str);
        match self.kind {
            Kind::Mesh => json!({"kind": "Mesh"}),
            Kind::Subset if self.wanted.is_empty() => json!({"kind": "MeshSubset"}),
            Kind::Subset => json!({"kind": "MeshSubset", "tags": tags(false)}),
            Kind::Service => json!({"kind": "MeshService", "name": service()}),
            Kind::ServiceSubset => json!({"kind": "MeshServiceSubset", "name": service(), "tags": tags(true)}),
        }
    }
}

/// Whether a policy of the tree has the same kind of target as a new one, so that names decide between them.
pub(super) fn is_of_kind(policy: &MeshTrace, kind: Kind) -> bool {
    policy.target.target.target_precedence() == kind.precedence()
}
