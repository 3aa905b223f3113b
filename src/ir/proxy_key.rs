//! The key of a proxy, which all that is known about the proxy shares.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The key of a proxy: mesh and name of its dataplane. A copy shares the names, and equal copies are told without a look at them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProxyKey(Arc<DataplaneName>);

/// The full name of a dataplane.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DataplaneName {
    /// Mesh of the dataplane.
    pub mesh: String,
    /// Name of the dataplane in its mesh.
    pub dataplane: String,
}

impl ProxyKey {
    /// The key of a dataplane's proxy.
    pub fn new(mesh: impl Into<String>, dataplane: impl Into<String>) -> Self {
        Self(Arc::new(DataplaneName {
            mesh: mesh.into(),
            dataplane: dataplane.into(),
        }))
    }

    /// Whether both are copies of one key.
    #[must_use]
    pub fn is_copy_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for ProxyKey {
    type Target = DataplaneName;

    fn deref(&self) -> &DataplaneName {
        &self.0
    }
}

impl PartialOrd for ProxyKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ProxyKey {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.is_copy_of(other) {
            true => Ordering::Equal,
            false => self.0.cmp(&other.0),
        }
    }
}

impl fmt::Display for ProxyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.mesh, self.dataplane)
    }
}
