//! Parts of what both steps of a migration say and look for.

use std::sync::Arc;

use super::report::Unmigrated;
use crate::resource::Header;
use crate::select::Governed;

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

/// The dataplanes of a mesh, of a list that is sorted by mesh.
pub(super) fn governed_of<'s, 'a>(all: &'s [Governed<'a>], mesh: &str) -> &'s [Governed<'a>] {
    let first = all.partition_point(|governed| governed.dataplane.header.mesh() < mesh);
    let count = all[first..].partition_point(|governed| governed.dataplane.header.mesh() == mesh);
    &all[first..first + count]
}
