//! The meshes that keep what is applied, because of errors in their policies.

use std::collections::BTreeSet;

use crate::diag::{Diagnostic, Holds};
use crate::words::printable;

/// The meshes that keep their published files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Whether every mesh is held.
    pub all: bool,
    /// The names of the held meshes.
    pub meshes: BTreeSet<String>,
}

impl Held {
    /// No mesh.
    pub const NOTHING: Self = Self {
        all: false,
        meshes: BTreeSet::new(),
    };

    /// The meshes that findings hold.
    #[must_use]
    pub fn by<'d>(findings: impl IntoIterator<Item = &'d Diagnostic>) -> Self {
        let mut held = Self::default();
        for finding in findings {
            match &finding.holds {
                Holds::Nothing => {}
                Holds::Meshes(meshes) => held.meshes.extend(meshes.iter().cloned()),
                Holds::All => held.all = true,
            }
        }
        held
    }

    /// Every mesh if any is held, for `on_error: hold-all`.
    #[must_use]
    pub fn all_or_nothing(self) -> Self {
        Self {
            all: !self.is_empty(),
            meshes: self.meshes,
        }
    }

    /// Whether a mesh is held.
    #[must_use]
    pub fn contains(&self, mesh: &str) -> bool {
        self.all || self.meshes.contains(mesh)
    }

    /// The consequence, as it follows a count of findings: `; nothing was written for mesh payments`.
    #[must_use]
    pub fn consequence(&self) -> String {
        let meshes: Vec<&str> = self.meshes.iter().map(String::as_str).collect();
        match (self.all, meshes.as_slice()) {
            (true, _) => "; nothing was written".to_owned(),
            (false, []) => String::new(),
            (false, [mesh]) => format!("; nothing was written for mesh {}", printable(mesh)),
            (false, meshes) => format!("; nothing was written for the meshes {}", printable(&meshes.join(", "))),
        }
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && self.meshes.is_empty()
    }
}
