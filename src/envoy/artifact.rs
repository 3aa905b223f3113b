//! The files of a proxy, with their paths.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::{IntoIter, Iter};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file_text::FileText;
use crate::ir::Direction;
pub use crate::ir::ProxyKey;

/// The directory of the files that a running Envoy watches, below that of its proxy.
pub const XDS: &str = "xds";

/// The directory of the files with the tracing of one listener each, below that of their proxy.
pub const TRACING: &str = "tracing";

/// The directories of files below that of their proxy.
pub const SUBDIRECTORIES: [&str; 2] = [XDS, TRACING];

impl ProxyKey {
    /// The directory of the proxy, relative to the output directory.
    ///
    /// The result has two plain directory names, whatever characters the key has, and different keys have
    /// different directories.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("{}/{}", file_name(&self.mesh), file_name(&self.dataplane))
    }
}

/// One of the files of a proxy, in the order in which they are written:
/// clusters before the listeners that refer to them, and `effective.yaml` last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "Cow<'static, str>")]
pub enum Artifact {
    /// `xds/cds.yaml`: clusters.
    Cds,
    /// `xds/lds.yaml`: listeners.
    Lds,
    /// `xds/rtds.yaml`: the sampling, where it changes without a change of listeners.
    Rtds,
    /// `bootstrap.yaml`: the bootstrap of a complete proxy.
    Bootstrap,
    /// `fragment.yaml`: a part to merge into a user's own bootstrap.
    Fragment,
    /// `tracing/*.yaml`: the tracing of one listener, for a user's own template.
    Tracing(Block),
    /// `effective.yaml`: the effective tracing with the origin of every value.
    Effective,
}

/// The kind of a file. A proxy has at most one of each, but for `tracing/*.yaml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ArtifactKind {
    /// The file of clusters.
    #[serde(rename = "xds/cds.yaml")]
    Cds,
    /// The file of listeners.
    #[serde(rename = "xds/lds.yaml")]
    Lds,
    /// The file of the sampling.
    #[serde(rename = "xds/rtds.yaml")]
    Rtds,
    /// The file that an Envoy starts with.
    #[serde(rename = "bootstrap.yaml")]
    Bootstrap,
    /// The part to merge into a bootstrap.
    #[serde(rename = "fragment.yaml")]
    Fragment,
    /// The files with the tracing of one listener each.
    #[serde(rename = "tracing/*.yaml")]
    Tracing,
    /// The file of the effective tracing.
    #[serde(rename = "effective.yaml")]
    Effective,
}

/// The listener that a file in `tracing/` is for, as the name of the file tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The direction of requests.
    pub direction: Direction,
    /// The bound address; `None` for the one that the listeners of this direction have without an address of their own.
    pub address: Option<IpAddr>,
    /// The bound port.
    pub port: u16,
}

impl Artifact {
    /// The files that a proxy has at most one of, in the order of writing.
    pub const SINGLE: [Self; 6] = [
        Self::Cds,
        Self::Lds,
        Self::Rtds,
        Self::Bootstrap,
        Self::Fragment,
        Self::Effective,
    ];

    /// The path relative to the directory of the proxy.
    #[must_use]
    pub fn path(self) -> Cow<'static, str> {
        match self {
            Self::Cds => "xds/cds.yaml".into(),
            Self::Lds => "xds/lds.yaml".into(),
            Self::Rtds => "xds/rtds.yaml".into(),
            Self::Bootstrap => "bootstrap.yaml".into(),
            Self::Fragment => "fragment.yaml".into(),
            Self::Tracing(block) => format!("{TRACING}/{}", block.file_name()).into(),
            Self::Effective => "effective.yaml".into(),
        }
    }

    /// The file at a path relative to the directory of a proxy; `None` if no proxy has such a file.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        match path.strip_prefix(TRACING).and_then(|rest| rest.strip_prefix('/')) {
            Some(name) => Block::of_file(name).map(Self::Tracing),
            None => Self::SINGLE.into_iter().find(|artifact| artifact.path() == path),
        }
    }

    /// The kind of the file.
    #[must_use]
    pub fn kind(self) -> ArtifactKind {
        match self {
            Self::Cds => ArtifactKind::Cds,
            Self::Lds => ArtifactKind::Lds,
            Self::Rtds => ArtifactKind::Rtds,
            Self::Bootstrap => ArtifactKind::Bootstrap,
            Self::Fragment => ArtifactKind::Fragment,
            Self::Tracing(_) => ArtifactKind::Tracing,
            Self::Effective => ArtifactKind::Effective,
        }
    }

    /// Whether a running Envoy reads the file by itself when it changes.
    #[must_use]
    pub fn is_dynamic(self) -> bool {
        self.subdirectory() == Some(XDS)
    }

    /// Whether an Envoy reads the file as it is: the parts for a configuration of somebody else do not tell which Envoy has them.
    #[must_use]
    pub fn is_read_by_envoy(self) -> bool {
        self.is_dynamic() || self == Self::Bootstrap
    }

    /// The last part of the path.
    #[must_use]
    pub fn file_name(self) -> String {
        let path = self.path();
        path.rsplit_once('/').map_or(&*path, |(_, name)| name).to_owned()
    }

    /// The directory below that of the proxy; `None` for a file in that of the proxy itself.
    #[must_use]
    pub fn subdirectory(self) -> Option<&'static str> {
        match self {
            Self::Cds | Self::Lds | Self::Rtds => Some(XDS),
            Self::Tracing(_) => Some(TRACING),
            Self::Bootstrap | Self::Fragment | Self::Effective => None,
        }
    }
}

impl From<Artifact> for Cow<'static, str> {
    fn from(artifact: Artifact) -> Self {
        artifact.path()
    }
}

impl TryFrom<String> for Artifact {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        Self::at(&path).ok_or_else(|| format!("`{path}` is no file of a proxy"))
    }
}

impl Block {
    /// The name of the file: `inbound-8080.yaml`, or `outbound-10.1.2.3-8080.yaml`.
    fn file_name(self) -> String {
        let address = self.address.map(|ip| file_name(&ip.to_string()) + "-");
        format!(
            "{}-{}{}.yaml",
            self.direction.as_str(),
            address.unwrap_or_default(),
            self.port
        )
    }

    /// The block whose file has this name, exactly.
    fn of_file(name: &str) -> Option<Self> {
        let (direction, place) = name.strip_suffix(".yaml")?.split_once('-')?;
        let (address, port) = match place.rsplit_once('-') {
            Some((address, port)) => (Some(address.replace("%3a", ":").parse().ok()?), port),
            None => (None, place),
        };
        let block = Self {
            direction: Direction::ALL.into_iter().find(|known| known.as_str() == direction)?,
            address,
            port: port.parse().ok()?,
        };
        (block.file_name() == name).then_some(block)
    }
}

/// The texts of the files of one proxy. A copy shares them, and equal copies are told without a look at them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(Arc<BTreeMap<Artifact, FileText>>);

/// The number of proxies up to which texts are kept as they are, at hand at once; those of more are kept by their differences
/// from a [sample](Files::sample), in a fifth of the room.
pub(crate) const FEW_PROXIES: usize = 64;

/// The texts of all files of all proxies.
pub type Fragments = BTreeMap<ProxyKey, Files>;

impl Files {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same files, with texts in the room of their differences from another one; as they are if there is none.
    #[must_use]
    pub fn like(self, another: Option<&Arc<str>>) -> Self {
        match another {
            Some(another) => self
                .iter()
                .map(|(artifact, text)| (*artifact, text.like(another)))
                .collect(),
            None => self,
        }
    }

    /// The texts one after the other, which those of other proxies are like.
    #[must_use]
    pub fn sample(&self) -> Arc<str> {
        let texts: String = self.values().map(FileText::text).collect();
        texts.into()
    }

    /// Whether both are copies of one set of files.
    #[must_use]
    pub fn is_copy_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for Files {
    type Target = BTreeMap<Artifact, FileText>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Files {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl FromIterator<(Artifact, FileText)> for Files {
    fn from_iter<I: IntoIterator<Item = (Artifact, FileText)>>(files: I) -> Self {
        Self(Arc::new(files.into_iter().collect()))
    }
}

impl<const N: usize> From<[(Artifact, FileText); N]> for Files {
    fn from(files: [(Artifact, FileText); N]) -> Self {
        files.into_iter().collect()
    }
}

impl IntoIterator for Files {
    type Item = (Artifact, FileText);
    type IntoIter = IntoIter<Artifact, FileText>;

    fn into_iter(self) -> Self::IntoIter {
        Arc::unwrap_or_clone(self.0).into_iter()
    }
}

impl<'f> IntoIterator for &'f Files {
    type Item = (&'f Artifact, &'f FileText);
    type IntoIter = Iter<'f, Artifact, FileText>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// The absolute paths of those files of a proxy that are not below its directory.
pub type Elsewhere = BTreeMap<Artifact, PathBuf>;

/// A name as a file name, with `%xx` for every byte that is not plain.
fn file_name(name: &str) -> String {
    let plain = |i: usize, b: u8| {
        b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_') || (b == b'.' && i > 0)
    };
    if name.is_empty() {
        return "%".to_owned();
    }
    let mut encoded = String::with_capacity(name.len());
    for (i, b) in name.bytes().enumerate() {
        if plain(i, b) {
            encoded.push(char::from(b));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{b:02x}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_stay_as_they_are() {
        assert_eq!(ProxyKey::new("default", "web-01.eu").directory(), "default/web-01.eu");
    }

    #[test]
    fn a_path_tells_its_file() {
        let block = |direction, address: Option<&str>, port| {
            let address = address.map(|ip| ip.parse().expect("an address"));
            Artifact::Tracing(Block {
                direction,
                address,
                port,
            })
        };
        let blocks = [
            (block(Direction::Inbound, None, 8080), "tracing/inbound-8080.yaml"),
            (
                block(Direction::Outbound, Some("10.1.2.3"), 80),
                "tracing/outbound-10.1.2.3-80.yaml",
            ),
            (
                block(Direction::Inbound, Some("fd00::1"), 1),
                "tracing/inbound-fd00%3a%3a1-1.yaml",
            ),
        ];
        let single = Artifact::SINGLE.map(|artifact| (artifact, artifact.path()));
        let blocks = blocks.map(|(block, path)| (block, path.into()));
        for (artifact, path) in single.into_iter().chain(blocks) {
            assert_eq!((artifact.path(), Artifact::at(&path)), (path.clone(), Some(artifact)));
            let kind = serde_json::to_value(artifact.kind()).expect("a name").to_string();
            let (parent, name) = path
                .rsplit_once('/')
                .map_or((None, &*path), |(dir, name)| (Some(dir), name));
            assert_eq!(artifact.subdirectory(), parent);
            assert!(kind.contains(name) || kind == "\"tracing/*.yaml\"", "{kind} {path}");
        }
        for other in [
            "tracing/inbound-08080.yaml",
            "tracing/inbound-+1.yaml",
            "tracing/inbound-fd00:0:0::1-1.yaml",
            "tracing/../inbound-1.yaml",
            "tracing/side-1.yaml",
            "tracinginbound-1.yaml",
            "xds/../bootstrap.yaml",
            "",
        ] {
            assert_eq!(Artifact::at(other), None, "{other}");
        }
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
