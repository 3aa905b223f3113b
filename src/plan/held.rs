//! The meshes and proxies that keep what is applied, because of errors in their policies.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diag::{Diagnostic, Holds};
use crate::envoy::artifact::ProxyKey;
use crate::words::{few, printable};

/// The meshes and proxies that keep their published files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Whether every mesh is held.
    pub all: bool,
    /// The names of the held meshes.
    pub meshes: BTreeSet<String>,
    /// The proxies that are held without their meshes.
    pub proxies: BTreeSet<ProxyKey>,
}

impl Held {
    /// No mesh.
    pub const NOTHING: Self = Self {
        all: false,
        meshes: BTreeSet::new(),
        proxies: BTreeSet::new(),
    };

    /// The meshes and proxies that findings hold.
    #[must_use]
    pub fn by<'d>(findings: impl IntoIterator<Item = &'d Arc<Diagnostic>>) -> Self {
        let mut held = Self::default();
        for finding in findings {
            match &finding.holds {
                Holds::Nothing => {}
                Holds::Proxies(proxies) => {
                    let keys = proxies.iter().map(|(mesh, name)| ProxyKey::new(mesh, name));
                    held.proxies.extend(keys);
                }
                Holds::Meshes(meshes) => held.meshes.extend(meshes.iter().cloned()),
                Holds::All => held.all = true,
            }
        }
        let Self { all, meshes, proxies } = &mut held;
        proxies.retain(|proxy| !*all && !meshes.contains(&proxy.mesh));
        held
    }

    /// Every mesh if any is held, for `on_error: hold-all`.
    #[must_use]
    pub fn all_or_nothing(self) -> Self {
        Self {
            all: !self.is_empty(),
            ..self
        }
    }

    /// Whether the whole mesh is held.
    #[must_use]
    pub fn contains(&self, mesh: &str) -> bool {
        self.all || self.meshes.contains(mesh)
    }

    /// Whether the proxy is held, by its own name or with its mesh.
    #[must_use]
    pub fn contains_proxy(&self, proxy: &ProxyKey) -> bool {
        self.contains(&proxy.mesh) || self.proxies.contains(proxy)
    }

    /// The names of what is held, after a noun: `mesh payments`, `the meshes default, payments`.
    #[must_use]
    pub fn names(&self) -> String {
        if self.all {
            return "everything".to_owned();
        }
        let mut parts = Vec::new();
        let meshes: Vec<&str> = self.meshes.iter().map(String::as_str).collect();
        match meshes.as_slice() {
            [] => {}
            [mesh] => parts.push(format!("mesh {mesh}")),
            meshes => parts.push(format!("the meshes {}", meshes.join(", "))),
        }
        let proxies: Vec<String> = self.proxies.iter().map(ToString::to_string).collect();
        match proxies.as_slice() {
            [] => {}
            [proxy] => parts.push(format!("proxy {proxy}")),
            proxies => parts.push(format!("the proxies {}", few(proxies))),
        }
        parts.join(" and ")
    }

    /// The consequence, as it follows a count of findings: `; nothing was written for mesh payments`.
    #[must_use]
    pub fn consequence(&self) -> String {
        match (self.all, self.is_empty()) {
            (true, _) => "; nothing was written".to_owned(),
            (false, true) => String::new(),
            (false, false) => format!("; nothing was written for {}", printable(&self.names())),
        }
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && self.meshes.is_empty() && self.proxies.is_empty()
    }
}
