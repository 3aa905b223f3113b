//! Directories whose files Kustomize puts together.

use std::collections::BTreeMap;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::{Location, Snapshot};
use crate::yaml::{self, Limits, Value};

/// The names of the file that makes a directory a kustomization.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The fields of a kustomization that change nothing in the documents that it lists.
const LISTING: [&str; 5] = ["apiVersion", "kind", "metadata", "resources", "bases"];

/// Whether a file is a kustomization, by its path.
pub(in crate::resource) fn is_one(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    NAMES.contains(&name)
}

/// The directories whose files are parts of other documents, each with the place that says so.
#[derive(Debug, Default)]
pub(in crate::resource) struct Kustomizations(BTreeMap<String, Location>);

impl Kustomizations {
    /// The directories of a snapshot with a kustomization that changes documents. One that lists documents alone leaves
    /// them as they are.
    pub(in crate::resource) fn find(snapshot: &Snapshot, limits: &Limits) -> Self {
        let mut found = BTreeMap::new();
        for file in &snapshot.files {
            if !is_one(&file.path) {
                continue;
            }
            let directory = file.path.rsplit_once('/').map_or("", |(directory, _)| directory);
            let prepared = yaml::read::Prepared::new(file);
            let stream = prepared.read(limits, &mut Diagnostics::default());
            let entries = stream.documents.iter().flat_map(|document| match &document.root.value {
                Value::Map(map) => map.entries.as_slice(),
                Value::Scalar(_) | Value::List(_) => &[],
            });
            let mut changing = entries.filter(|entry| !LISTING.contains(&&*entry.key.text));
            if let Some(entry) = changing.next() {
                found.insert(directory.to_owned(), entry.key_at.clone());
            }
        }
        Self(found)
    }

    /// Whether there is no such directory.
    pub(in crate::resource) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory around a file whose files are parts of other documents.
    pub(in crate::resource) fn around(&self, path: &str) -> Option<&str> {
        let mut directory = path;
        while !self.0.is_empty() && !directory.is_empty() {
            directory = directory.rsplit_once('/').map_or("", |(above, _)| above);
            if let Some((found, _)) = self.0.get_key_value(directory) {
                return Some(found);
            }
        }
        None
    }

    /// The errors, one for each directory.
    pub(in crate::resource) fn errors(&self) -> impl Iterator<Item = (&str, Diagnostic)> {
        self.0.iter().map(|(directory, at)| {
            let shown = if directory.is_empty() { "." } else { directory };
            let message = format!("`{shown}` is a kustomization: its files are parts, which Kustomize puts together");
            let help = format!(
                "render it first: `kustomize build {shown}`; and leave out its files with `exclude` in the settings"
            );
            let error = Diagnostic::error(Code::UnrenderedTemplate, at, message).help(help);
            (directory.as_str(), error)
        })
    }
}
