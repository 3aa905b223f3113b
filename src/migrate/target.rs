//! The `targetRef` of new policies.

use serde_json::{Map, Value, json};

use super::field::present;
use super::rule::service_of;
use super::subject::Wanted;
use crate::resource::kinds::target_ref::TargetKind;
use crate::resource::value::tags::SERVICE;

/// A `targetRef`.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) kind: TargetKind,
    pub(super) wanted: Wanted,
}

/// The narrowest kind that a rule can have.
pub(super) fn narrowest_kind(wanted: &Wanted) -> TargetKind {
    match (service_of(wanted), wanted.len()) {
        (_, 0) => TargetKind::Mesh,
        (Some(_), 1) => TargetKind::MeshService,
        (Some(_), _) => TargetKind::MeshServiceSubset,
        (None, _) => TargetKind::MeshSubset,
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

    /// The `targetRef` as a resource has it: the service is its name where the kind asks for one, else a tag.
    pub(super) fn value(&self) -> Value {
        let is_named = matches!(self.kind, TargetKind::MeshService | TargetKind::MeshServiceSubset);
        let (name, tags): (Vec<_>, Vec<_>) =
            (self.wanted.iter()).partition(|(key, _)| is_named && key.as_str() == SERVICE);
        let tags: Map<String, Value> = (tags.into_iter())
            .map(|(key, value)| (key.to_string(), json!(value.as_str())))
            .collect();
        let name = name.first().map(|(_, name)| json!(name.as_str()));
        present([
            ("kind", Some(json!(self.kind.as_str()))),
            ("name", name),
            ("tags", (!tags.is_empty()).then_some(Value::Object(tags))),
        ])
    }
}
