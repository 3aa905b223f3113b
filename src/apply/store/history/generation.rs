//! A generation: the files of one publication, as digests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::apply::error::ApplyError;
use crate::apply::store::dir::Dir;
use crate::apply::store::document::{self, Document, Found};
use crate::envoy::artifact::{Artifact, ProxyKey};
use crate::plan::digest::Digest;

/// The files that were published at one moment, as digests.
pub type Manifest = BTreeMap<ProxyKey, BTreeMap<Artifact, Digest>>;

/// A publication that changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The number; later generations have greater numbers.
    pub id: u64,
    /// The time of the publication; RFC 3339, in UTC.
    pub time: String,
    /// The revision of the policies, as the publisher named it.
    pub revision: String,
    /// The numbers of proxies that differ from the generation before.
    pub counts: Counts,
    /// The files that were published.
    pub manifest: Manifest,
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
    pub(super) fn between(before: &Manifest, after: &Manifest) -> Self {
        let changed = |(proxy, files): &(&ProxyKey, _)| before.get(*proxy).is_some_and(|old| old != *files);
        Self {
            added: after.keys().filter(|proxy| !before.contains_key(*proxy)).count(),
            changed: after.iter().filter(changed).count(),
            removed: before.keys().filter(|proxy| !after.contains_key(*proxy)).count(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct GenerationFile {
    time: String,
    revision: String,
    counts: Counts,
    proxies: Vec<ProxyFiles>,
}

impl Document for GenerationFile {
    const FORMAT: u32 = 1;
}

#[derive(Serialize, Deserialize)]
struct ProxyFiles {
    mesh: String,
    dataplane: String,
    files: BTreeMap<Artifact, Digest>,
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
        let entry = |proxy: ProxyFiles| (ProxyKey::new(proxy.mesh, proxy.dataplane), proxy.files);
        Self {
            id,
            time: file.time,
            revision: file.revision,
            counts: file.counts,
            manifest: file.proxies.into_iter().map(entry).collect(),
        }
    }

    pub(super) fn text(&self) -> String {
        let proxy = |(proxy, files): (&ProxyKey, &BTreeMap<Artifact, Digest>)| ProxyFiles {
            mesh: proxy.mesh.clone(),
            dataplane: proxy.dataplane.clone(),
            files: files.clone(),
        };
        document::text(&GenerationFile {
            time: self.time.clone(),
            revision: self.revision.clone(),
            counts: self.counts,
            proxies: self.manifest.iter().map(proxy).collect(),
        })
    }
}

/// The name of the file of a generation.
pub(super) fn file_name(id: u64) -> String {
    format!("{id}.json")
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
        let generation = Generation {
            id: 7,
            time: "2026-01-02T03:04:05Z".to_owned(),
            revision: "9f2c1a".to_owned(),
            counts: Counts::between(&before, &after),
            manifest: after,
        };
        assert_eq!(
            (
                generation.counts.added,
                generation.counts.changed,
                generation.counts.removed
            ),
            (1, 1, 1)
        );
        let file = document::parse(&generation.text()).expect("a document");
        assert_eq!(Generation::from_file(7, file), generation);
    }
}
