//! A generation: the files of one publication, as digests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::apply::error::ApplyError;
use crate::apply::store::dir::Dir;
use crate::apply::store::document::{self, Document, Found};
use crate::apply::store::shard::Shard;
use crate::envoy::artifact::{Artifact, ProxyKey};
use crate::keep::Digest;

/// A publication that changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The number; later generations have greater numbers.
    pub id: u64,
    /// The time of the publication; RFC 3339, in UTC.
    pub time: String,
    /// The revision of the policies, as the publisher named it.
    pub revision: String,
    /// The number of proxies that were published then.
    pub proxies: usize,
    /// The numbers of proxies that differ from the generation before.
    pub counts: Counts,
    /// The digests of the manifests of all shards that have proxies.
    pub(super) manifests: BTreeMap<Shard, Digest>,
}

/// The numbers of proxies that a generation changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The number of new proxies.
    pub added: usize,
    /// The number of proxies of which some file changed.
    pub changed: usize,
    /// The number of removed proxies.
    pub removed: usize,
}

impl Counts {
    /// Adds the proxies in which two manifests of a shard differ.
    pub(super) fn add(&mut self, before: &Manifest, after: &Manifest) {
        let changed = |(proxy, files): &(&ProxyKey, _)| before.get(*proxy).is_some_and(|old| old != *files);
        self.added += after.keys().filter(|proxy| !before.contains_key(*proxy)).count();
        self.changed += after.iter().filter(changed).count();
        self.removed += before.keys().filter(|proxy| !after.contains_key(*proxy)).count();
    }
}

/// The files of a proxy, as digests.
pub(super) type Digests = BTreeMap<Artifact, Digest>;

/// The files of the proxies of a shard.
pub(super) type Manifest = BTreeMap<ProxyKey, Digests>;

#[derive(Serialize, Deserialize)]
struct GenerationFile {
    time: String,
    revision: String,
    proxies: usize,
    counts: Counts,
    manifests: BTreeMap<Shard, Digest>,
}

impl Document for GenerationFile {
    const FORMAT: u32 = 2;
}

#[derive(Serialize, Deserialize)]
struct ManifestFile {
    proxies: Vec<ProxyFiles>,
}

impl Document for ManifestFile {
    const FORMAT: u32 = 1;
}

#[derive(Serialize, Deserialize)]
struct ProxyFiles {
    mesh: String,
    dataplane: String,
    files: Digests,
}

impl Generation {
    /// The generation with a number in a directory.
    pub(super) fn load(dir: &Dir, id: u64) -> Result<Found<Self>, ApplyError> {
        Ok(match document::load(dir, &file_name(id))? {
            Found::Missing => Found::Missing,
            Found::Invalid(message) => Found::Invalid(message),
            Found::Document(file) => Found::Document(Self::from_file(id, file)),
        })
    }

    fn from_file(id: u64, file: GenerationFile) -> Self {
        Self {
            id,
            time: file.time,
            revision: file.revision,
            proxies: file.proxies,
            counts: file.counts,
            manifests: file.manifests,
        }
    }

    pub(super) fn text(&self) -> String {
        document::text(&GenerationFile {
            time: self.time.clone(),
            revision: self.revision.clone(),
            proxies: self.proxies,
            counts: self.counts,
            manifests: self.manifests.clone(),
        })
    }
}

/// The name of the file of a generation.
pub(super) fn file_name(id: u64) -> String {
    format!("{id}.json")
}

/// The text of a manifest.
pub(super) fn manifest_text(manifest: &Manifest) -> String {
    let proxy = |(proxy, files): (&ProxyKey, &Digests)| ProxyFiles {
        mesh: proxy.mesh.clone(),
        dataplane: proxy.dataplane.clone(),
        files: files.clone(),
    };
    let proxies = manifest.iter().map(proxy).collect();
    document::text(&ManifestFile { proxies })
}

/// The manifest in a text; or the reason why it is not understood.
pub(super) fn manifest(text: &str) -> Result<Manifest, String> {
    let file: ManifestFile = document::parse(text)?;
    let proxies = file.proxies.into_iter();
    let proxies = proxies.map(|proxy| (ProxyKey::new(proxy.mesh, proxy.dataplane), proxy.files));
    Ok(proxies.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_reads_what_it_writes() {
        let files = |text: &str| BTreeMap::from([(Artifact::Lds, Digest::of(text))]);
        let before = Manifest::from([
            (ProxyKey::new("m", "a"), files("1")),
            (ProxyKey::new("m", "b"), files("1")),
        ]);
        let after = Manifest::from([
            (ProxyKey::new("m", "a"), files("2")),
            (ProxyKey::new("m", "c/d"), files("1")),
        ]);
        let mut counts = Counts::default();
        counts.add(&before, &after);
        assert_eq!((counts.added, counts.changed, counts.removed), (1, 1, 1));
        let text = manifest_text(&after);
        assert_eq!(manifest(&text), Ok(after));
        let generation = Generation {
            id: 7,
            time: "2026-01-02T03:04:05Z".to_owned(),
            revision: "9f2c1a".to_owned(),
            proxies: 2,
            counts,
            manifests: BTreeMap::from([(Shard::of(&ProxyKey::new("m", "a")), Digest::of(&text))]),
        };
        let file = document::parse(&generation.text()).expect("a document");
        assert_eq!(Generation::from_file(7, file), generation);
    }
}
