//! The files of a proxy, with their paths.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The key of a proxy: mesh and name of its dataplane.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProxyKey {
    /// Mesh of the dataplane.
    pub mesh: String,
    /// Name of the dataplane.
    pub dataplane: String,
}

impl ProxyKey {
    /// The key of a dataplane's proxy.
    pub fn new(mesh: impl Into<String>, dataplane: impl Into<String>) -> Self {
        Self {
            mesh: mesh.into(),
            dataplane: dataplane.into(),
        }
    }

    /// The directory of the proxy, relative to the output directory.
    ///
    /// The result has two plain directory names, whatever characters the key has, and different keys have
    /// different directories.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("{}/{}", file_name(&self.mesh), file_name(&self.dataplane))
    }
}

impl fmt::Display for ProxyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.mesh, self.dataplane)
    }
}

/// One of the files of a proxy, in the order in which they are written:
/// clusters before the listeners that refer to them, and `effective.yaml` last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Artifact {
    /// `xds/cds.yaml`: clusters.
    #[serde(rename = "xds/cds.yaml")]
    Cds,
    /// `xds/lds.yaml`: listeners.
    #[serde(rename = "xds/lds.yaml")]
    Lds,
    /// `xds/rtds.yaml`: the sampling, where it changes without a change of listeners.
    #[serde(rename = "xds/rtds.yaml")]
    Rtds,
    /// `bootstrap.yaml`: the bootstrap of a complete proxy.
    #[serde(rename = "bootstrap.yaml")]
    Bootstrap,
    /// `fragment.yaml`: a part to merge into a user's own bootstrap.
    #[serde(rename = "fragment.yaml")]
    Fragment,
    /// `effective.yaml`: the effective tracing with the origin of every value.
    #[serde(rename = "effective.yaml")]
    Effective,
}

impl Artifact {
    /// All artifacts, in the order of writing.
    pub const ALL: [Self; 6] = [
        Self::Cds,
        Self::Lds,
        Self::Rtds,
        Self::Bootstrap,
        Self::Fragment,
        Self::Effective,
    ];

    /// The path relative to the directory of the proxy.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Cds => "xds/cds.yaml",
            Self::Lds => "xds/lds.yaml",
            Self::Rtds => "xds/rtds.yaml",
            Self::Bootstrap => "bootstrap.yaml",
            Self::Fragment => "fragment.yaml",
            Self::Effective => "effective.yaml",
        }
    }
}

/// The texts of the files of one proxy, which compilations that do not change them share.
pub type Files = BTreeMap<Artifact, Arc<str>>;

/// The absolute paths of those files of a proxy that are not below its directory.
pub type Elsewhere = BTreeMap<Artifact, PathBuf>;

/// The texts of all files of all proxies.
pub type Fragments = BTreeMap<ProxyKey, Files>;

/// A name as a file name, with `%xx` for every byte that is not plain.
fn file_name(name: &str) -> String {
    let plain = |i: usize, b: u8| {
        b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_') || (b == b'.' && i > 0)
    };
    let encode = |(i, b): (usize, u8)| {
        if plain(i, b) {
            char::from(b).to_string()
        } else {
            format!("%{b:02x}")
        }
    };
    match name.bytes().enumerate().map(encode).collect::<String>() {
        empty if empty.is_empty() => "%".to_owned(),
        encoded => encoded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_stay_as_they_are() {
        assert_eq!(ProxyKey::new("default", "web-01.eu").directory(), "default/web-01.eu");
    }

    #[test]
    fn no_name_leaves_the_directory() {
        for name in [
            "..",
            ".",
            "",
            "../../etc",
            "/etc",
            "a/b",
            "A",
            "ä",
            "a\0b",
            ".meshtraced",
            "%2e",
        ] {
            let directory = ProxyKey::new(name, name).directory();
            let parts: Vec<&str> = directory.split('/').collect();
            assert_eq!(parts.len(), 2, "{name:?} -> {directory:?}");
            let plain = |part: &&str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\0']);
            assert!(parts.iter().all(plain), "{name:?} -> {directory:?}");
        }
    }
}
