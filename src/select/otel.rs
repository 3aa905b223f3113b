//! The collectors that a `backendRef` of a `MeshTrace` can refer to.

use std::sync::Arc;

use crate::resource::TextMap;
use crate::resource::kinds::mesh_open_telemetry_backend::MeshOpenTelemetryBackend;

/// The backends of a mesh with all the labels, the effective one first: the oldest, then the one
/// with the smallest name.
#[must_use]
pub fn backends<'a>(
    all: &'a [Arc<MeshOpenTelemetryBackend>],
    mesh: &str,
    labels: &TextMap,
) -> Vec<&'a Arc<MeshOpenTelemetryBackend>> {
    let has_all = |backend: &&Arc<MeshOpenTelemetryBackend>| {
        labels
            .iter()
            .all(|(key, wanted)| backend.header.label(key) == Some(&wanted.value))
    };
    let of_mesh = all.iter().filter(|backend| backend.header.mesh() == mesh);
    of_mesh.filter(has_all).collect()
}
