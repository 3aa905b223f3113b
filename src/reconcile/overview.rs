//! The policies in words and numbers.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::apply::reload::Entries;
use crate::compile::{Compiled, MeshCounts};
use crate::diag::Diagnostic;
use crate::envoy::artifact::ProxyKey;
use crate::envoy::secrets::KeyHolders;
use crate::explain::outcomes::Outcomes;
use crate::plan::Held;
use crate::settings::OnError;
use crate::source::{Commit, Snapshot};

/// The policies of one snapshot in words and numbers: all that people are told of them, and that reloads depend on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// The name of the files for people.
    pub name: String,
    /// The hash of the files.
    pub revision: String,
    /// The commit that was read, if there is one.
    pub commit: Option<Commit>,
    /// The number of files, with or without a text.
    pub files: usize,
    /// The number of resources that affect tracing.
    pub resources: usize,
    /// The number of resources that do not, by kind.
    pub passed_over: BTreeMap<String, usize>,
    /// The dataplanes of every mesh, in numbers.
    pub meshes: BTreeMap<String, MeshCounts>,
    /// The proxies in scope that have no files, sorted.
    pub without_files: Vec<ProxyKey>,
    /// The numbers of policies that decide, lose or match nothing.
    pub outcomes: Outcomes,
    /// The proxies in scope that hold each of the keys of collectors.
    pub keys: Vec<KeyHolders>,
    /// The index of the first rule of `reload` that fits each dataplane; empty when there are no rules.
    #[serde(with = "entries")]
    pub reload_entries: Entries,
    /// All findings, sorted.
    #[serde(skip)]
    pub findings: Vec<Arc<Diagnostic>>,
    /// The meshes and proxies that the findings hold.
    #[serde(skip)]
    pub held: Held,
}

impl Overview {
    /// The overview of a compile, from which the entries for reloads are taken.
    pub(super) fn take(snapshot: &Snapshot, compiled: &mut Compiled, on_error: OnError) -> Self {
        let findings = compiled.findings();
        let held = Held::by(&findings);
        let held = match on_error {
            OnError::HoldMesh => held,
            OnError::HoldAll => held.all_or_nothing(),
        };
        let passed_over = compiled.passed_over.iter();
        let revision = snapshot.revision();
        Self {
            name: snapshot.describe(&revision),
            revision,
            commit: snapshot.commit().cloned(),
            files: snapshot.len(),
            resources: compiled.resources,
            passed_over: passed_over.map(|(kind, n)| ((*kind).to_owned(), *n)).collect(),
            meshes: compiled.meshes.clone(),
            without_files: compiled.without_files.clone(),
            outcomes: compiled.outcomes,
            keys: mem::take(&mut compiled.secrets.holders),
            reload_entries: mem::take(&mut compiled.reload_entries),
            findings,
            held,
        }
    }
}

/// A map by proxy as a list, since keys in JSON are texts.
mod entries {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::apply::reload::Entries;
    use crate::envoy::artifact::ProxyKey;

    pub(super) fn serialize<S: Serializer>(entries: &Entries, serializer: S) -> Result<S::Ok, S::Error> {
        entries.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Entries, D::Error> {
        Ok(Vec::<(ProxyKey, Option<usize>)>::deserialize(deserializer)?
            .into_iter()
            .collect())
    }
}
