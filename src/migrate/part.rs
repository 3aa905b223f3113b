//! Parts of what both steps of a migration say and look for.

use std::sync::Arc;

use super::report::Unmigrated;
use crate::resource::Header;

/// A resource that has no place in the new policies.
pub(super) fn unmigrated(header: &Header, reason: String) -> Unmigrated {
    Unmigrated {
        kind: header.id.kind.clone(),
        mesh: header.mesh().to_owned(),
        name: header.name().to_owned(),
        file: header.at.file.path.clone(),
        line: header.at.line(),
        reason,
    }
}

/// The resources of a mesh, of a list that is sorted by mesh.
pub(super) fn of_mesh<T>(all: &[Arc<T>], mesh: &str, header: impl Fn(&T) -> &Header) -> Vec<Arc<T>> {
    let first = all.partition_point(|one| header(one).mesh() < mesh);
    all[first..]
        .iter()
        .take_while(|one| header(one).mesh() == mesh)
        .cloned()
        .collect()
}
