//! A migration in words and numbers, beside its proof.

use schemars::JsonSchema;
use serde::Serialize;

/// A migration in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The number of documents in the form of Kuma before 0.7.
    pub older: usize,
    /// The number of `TrafficTrace` resources before.
    pub traffic_traces: usize,
    /// The number of their meshes.
    pub meshes: usize,
    /// The number of new `MeshTrace` resources.
    pub mesh_traces: usize,
    /// The number of `MeshTrace` resources that get another target, name or backend for 3.0.
    pub rewritten: usize,
    /// The number of new `MeshOpenTelemetryBackend` resources.
    pub otel_backends: usize,
    /// The number of new labels of dataplanes.
    pub labels: usize,
}

impl Counts {
    /// Adds the numbers of another step.
    pub(super) fn add(&mut self, other: Self) {
        self.traffic_traces += other.traffic_traces;
        self.meshes += other.meshes;
        self.mesh_traces += other.mesh_traces;
        self.rewritten += other.rewritten;
        self.otel_backends += other.otel_backends;
        self.labels += other.labels;
    }
}

/// A resource, or a part of one, that has no place in the new policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unmigrated {
    /// The kind of the resource.
    pub kind: String,
    /// The mesh of the resource.
    pub mesh: String,
    /// The name of the resource.
    pub name: String,
    /// The file of the resource.
    pub file: String,
    /// The line of the resource in its file.
    pub line: usize,
    /// The reason why it has no place, in words.
    pub reason: String,
}

/// A new policy in the place of several that say the same. It may be wider than they are together, where no dataplane of the tree tells the
/// difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Merged {
    /// The mesh of the policies.
    pub mesh: String,
    /// The name of the new policy.
    pub name: String,
    /// The dataplanes that the new policy is for, in words.
    pub target: String,
    /// The names of the policies that it stands for.
    pub policies: Vec<String>,
}
